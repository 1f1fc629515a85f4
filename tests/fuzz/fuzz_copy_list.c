/* SPDX-License-Identifier: Apache-2.0 */

/* The parameter list of EXTENDED COPY, under limits of the input's choice. */

#include <errno.h>

#include "cleanup.h"
#include "copy_list.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct copy_list_limits limits = {
        .max_cscds = fuzz_byte(&input) & 0x1F,
        .max_segments = fuzz_byte(&input) & 0x1F,
        .max_descriptor_bytes = (uint32_t)fuzz_number(&input, 2),
    };
    struct copy_list_refusal refusal = {0};
    struct copy_list list;
    size_t length = input.left;
    CLEANUP_FREE uint8_t *exact = malloc(length ? length : 1);
    int result;

    FUZZ_CHECK(exact);
    if (length > 0)
        memcpy(exact, input.data, length);
    result = copy_list_decode(exact, length, &limits, &list, &refusal);
    FUZZ_CHECK(result == 0 || result == -EINVAL);
    FUZZ_CHECK((result != 0) == (refusal.asc_ascq != 0));
    FUZZ_CHECK(!refusal.has_field || refusal.field < length);
    if (result)
        return 0;
    FUZZ_CHECK(list.cscd_count <= limits.max_cscds && list.segment_count <= limits.max_segments);
    FUZZ_CHECK(list.cscd_count * COPY_CSCD_BYTES + list.segment_count * COPY_SEGMENT_BYTES <=
               limits.max_descriptor_bytes);
    for (size_t i = 0; i < list.cscd_count; i++) {
        struct copy_cscd cscd = copy_list_cscd(&list, i);
        uint8_t again[COPY_CSCD_BYTES];

        if (!cscd.naa)
            continue;
        copy_cscd_encode(again, cscd.naa, cscd.block_size);
        FUZZ_CHECK(memcmp(again + 8, cscd.naa, 16) == 0);
    }
    for (size_t i = 0; i < list.segment_count; i++)
        (void)copy_list_segment(&list, i);
    return 0;
}
