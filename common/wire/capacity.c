/* SPDX-License-Identifier: Apache-2.0 */
#include "capacity.h"

#include <errno.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"

void capacity_encode_10(const struct capacity *capacity, uint8_t to[static READ_CAPACITY_10_BYTES])
{
    put_be32(to, (uint32_t)min_u64(capacity->blocks - 1, UINT32_MAX));
    put_be32(to + 4, capacity->block_size);
}

void capacity_encode_16(const struct capacity *capacity, uint8_t to[static READ_CAPACITY_16_BYTES])
{
    memset(to, 0, READ_CAPACITY_16_BYTES);
    put_be64(to, capacity->blocks - 1);
    put_be32(to + 8, capacity->block_size);
    to[13] = capacity->physical_exponent & 0x0F;
    put_be16(to + 14, capacity->lowest_aligned_lba & 0x3FFF);
    if (capacity->lbpme)
        to[14] |= 0x80;
    if (capacity->lbprz)
        to[14] |= 0x40;
}

/* Whether it is a size at all: its bytes must be countable. */
static bool is_size(uint64_t blocks, uint32_t block_size)
{
    uint64_t bytes;

    return block_size > 0 && !mul_overflows(blocks, block_size, &bytes);
}

int capacity_decode_16(const uint8_t *from, size_t length, struct capacity *ret)
{
    *ret = (struct capacity){0};
    if (length < 12 || get_be64(from) == UINT64_MAX ||
        !is_size(get_be64(from) + 1, get_be32(from + 8)))
        return -EINVAL;
    ret->blocks = get_be64(from) + 1;
    ret->block_size = get_be32(from + 8);
    if (length >= 14)
        ret->physical_exponent = from[13] & 0x0F;
    if (length >= 16) {
        ret->lbpme = from[14] & 0x80;
        ret->lbprz = from[14] & 0x40;
        ret->lowest_aligned_lba = get_be16(from + 14) & 0x3FFF;
    }
    return 0;
}

int capacity_decode_10(const uint8_t *from, size_t length, struct capacity *ret)
{
    *ret = (struct capacity){0};
    if (length < READ_CAPACITY_10_BYTES || get_be32(from + 4) == 0)
        return -EINVAL;
    if (get_be32(from) == UINT32_MAX)
        return -ERANGE;
    ret->blocks = UINT64_C(1) + get_be32(from);
    ret->block_size = get_be32(from + 4);
    return 0;
}
