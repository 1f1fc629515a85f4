/* SPDX-License-Identifier: Apache-2.0 */
#include "bitmap_reply.h"
#include "cleanup.h"
#include "fuzz.h"

/* Input: the VPD page, the block size as a power of two over 512 (1 byte), the LBA asked for, the
 * limit and the capacity (8 bytes each), then the reply. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    size_t page_bytes = size < BITMAP_PAGE_BYTES ? size : BITMAP_PAGE_BYTES;
    struct bitmap_geometry geometry = {0};
    CLEANUP(extent_list_free) struct extent_list list = {0};
    uint64_t lba, limit, next = 0;
    int error = bitmap_page_decode(data, page_bytes, &geometry.page);

    input.data += page_bytes;
    input.left -= page_bytes;
    geometry.block_size = 512u << (fuzz_byte(&input) % 4);
    lba = fuzz_number(&input, 8);
    limit = fuzz_number(&input, 8);
    geometry.blocks = fuzz_number(&input, 8);
    if (error || !bitmap_geometry_is_sound(&geometry) || lba >= limit || limit > geometry.blocks)
        return 0;
    error = bitmap_reply_decode(&geometry, input.data, input.left, lba, limit, &list, &next);
    if (error) {
        FUZZ_CHECK(list.count == 0);
        return 0;
    }
    FUZZ_CHECK(list.count > 0 && list.items[0].start == lba);
    for (size_t i = 0; i < list.count; i++) {
        FUZZ_CHECK(i == 0 ||
                   list.items[i].start == list.items[i - 1].start + list.items[i - 1].length);
        FUZZ_CHECK(list.items[i].status != EXTENT_ANCHORED);
    }
    FUZZ_CHECK(next == extent_list_end(&list) && next > lba && next <= limit);
    return 0;
}
