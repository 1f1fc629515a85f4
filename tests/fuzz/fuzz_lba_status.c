/* SPDX-License-Identifier: Apache-2.0 */
#include "cleanup.h"
#include "fuzz.h"
#include "lba_status.h"

/* Input: the LBA asked for and the capacity, 8 bytes each, then the reply. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint64_t lba = fuzz_number(&input, 8);
    uint64_t capacity = fuzz_number(&input, 8);
    CLEANUP(extent_list_free) struct extent_list list = {0};
    enum lba_status_defect defect;
    uint64_t next, at = lba;

    FUZZ_CHECK(lba_status_decode(input.data, input.left, lba, capacity, &list, &next, &defect) ==
               0);
    FUZZ_CHECK(lba_status_defect_text(defect)[0] != 0);
    FUZZ_CHECK(defect != LBA_STATUS_SOUND || list.count > 0);
    for (size_t i = 0; i < list.count; i++) {
        const struct extent *extent = &list.items[i];

        FUZZ_CHECK(extent->start == at && extent->length > 0);
        FUZZ_CHECK(extent->status <= EXTENT_ANCHORED);
        at += extent->length;
        FUZZ_CHECK(at > extent->start && at <= capacity);
    }
    FUZZ_CHECK(next == at);
    FUZZ_CHECK(list.count <= input.left / LBA_STATUS_DESCRIPTOR_BYTES);
    return 0;
}
