/* SPDX-License-Identifier: Apache-2.0 */
#include "bitmap_scan.h"

#include "byteorder.h"
#include "checked.h"

static bool bit_is_set(const uint8_t *bytes, uint64_t bit)
{
    return bytes[bit / 8] >> bit % 8 & 1;
}

/* The 64 bits from a multiple of 64 on; what is behind the end is 0. */
static uint64_t word_at(const uint8_t *bytes, uint64_t bits, uint64_t from)
{
    uint64_t word = 0;

    if (from + 64 <= bits)
        return get_le64(bytes + from / 8);
    for (unsigned i = 0; from + 8 * (uint64_t)i < bits; i++)
        word |= (uint64_t)bytes[from / 8 + i] << 8 * i;
    return word;
}

/* Where the run of bits like the one at from ends; whole words at once. */
static uint64_t run_end(const uint8_t *bytes, uint64_t bits, uint64_t from)
{
    uint64_t flip = bit_is_set(bytes, from) ? UINT64_MAX : 0, base = from / 64 * 64;
    uint64_t others = (word_at(bytes, bits, base) ^ flip) & UINT64_MAX << from % 64;

    while (!others && base + 64 < bits) {
        base += 64;
        others = word_at(bytes, bits, base) ^ flip;
    }
    return others ? min_u64(base + (unsigned)__builtin_ctzll(others), bits) : bits;
}

bool bitmap_scan_clear(const uint8_t *bytes, uint64_t bits, uint64_t from, struct bit_run *ret)
{
    if (from < bits && bit_is_set(bytes, from))
        from = run_end(bytes, bits, from);
    if (from >= bits)
        return false;
    *ret = (struct bit_run){from, run_end(bytes, bits, from) - from};
    return true;
}
