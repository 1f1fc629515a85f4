/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "cleanup.h"
#include "fuzz.h"
#include "unmap_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE struct unmap_descriptor *descriptors = NULL;
    CLEANUP_FREE uint8_t *encoded = NULL;
    struct unmap_list list, again;
    int result = unmap_list_decode(data, size, &list);

    if (result) {
        FUZZ_CHECK(result == -EINVAL && size >= 1 && size < UNMAP_HEADER_BYTES && list.count == 0);
        return 0;
    }
    FUZZ_CHECK(list.count == 0 || unmap_list_bytes(list.count) <= size);
    descriptors = calloc(list.count + 1, sizeof(*descriptors));
    encoded = malloc(unmap_list_bytes(list.count));
    FUZZ_CHECK(descriptors && encoded);
    for (size_t i = 0; i < list.count; i++)
        descriptors[i] = unmap_list_get(&list, i);

    unmap_list_encode(encoded, descriptors, list.count);
    FUZZ_CHECK(unmap_list_decode(encoded, unmap_list_bytes(list.count), &again) == 0);
    FUZZ_CHECK(again.count == list.count);
    for (size_t i = 0; i < list.count; i++) {
        struct unmap_descriptor descriptor = unmap_list_get(&again, i);

        FUZZ_CHECK(descriptor.lba == descriptors[i].lba);
        FUZZ_CHECK(descriptor.blocks == descriptors[i].blocks);
    }
    return 0;
}
