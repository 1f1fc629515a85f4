/* SPDX-License-Identifier: Apache-2.0 */
#include "unmap_list.h"

#include <errno.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"

int unmap_list_decode(const uint8_t *bytes, size_t length, struct unmap_list *ret)
{
    uint64_t data, stated;

    *ret = (struct unmap_list){0};
    if (length == 0)
        return 0;
    if (length < UNMAP_HEADER_BYTES)
        return -EINVAL;
    /* UNMAP DATA LENGTH counts from byte 2, UNMAP BLOCK DESCRIPTOR DATA LENGTH from byte 8. */
    data = min_u64(length, 2u + get_be16(bytes));
    stated = get_be16(bytes + 2);
    if (data < UNMAP_HEADER_BYTES)
        return 0;
    ret->descriptors = bytes + UNMAP_HEADER_BYTES;
    ret->count = min_u64(stated, data - UNMAP_HEADER_BYTES) / UNMAP_DESCRIPTOR_BYTES;
    return 0;
}

struct unmap_descriptor unmap_list_get(const struct unmap_list *list, size_t index)
{
    const uint8_t *at = list->descriptors + index * UNMAP_DESCRIPTOR_BYTES;

    return (struct unmap_descriptor){.lba = get_be64(at), .blocks = get_be32(at + 8)};
}

size_t unmap_list_bytes(size_t count)
{
    return UNMAP_HEADER_BYTES + count * UNMAP_DESCRIPTOR_BYTES;
}

void unmap_list_encode(uint8_t *to, const struct unmap_descriptor *descriptors, size_t count)
{
    memset(to, 0, unmap_list_bytes(count));
    put_be16(to, (uint16_t)(unmap_list_bytes(count) - 2));
    put_be16(to + 2, (uint16_t)(count * UNMAP_DESCRIPTOR_BYTES));
    for (size_t i = 0; i < count; i++) {
        uint8_t *at = to + UNMAP_HEADER_BYTES + i * UNMAP_DESCRIPTOR_BYTES;

        put_be64(at, descriptors[i].lba);
        put_be32(at + 8, descriptors[i].blocks);
    }
}
