/* SPDX-License-Identifier: Apache-2.0 */
#include "bitmap_scan.h"

#include "byteorder.h"

static bool bit_is_set(const uint8_t *bytes, uint64_t bit)
{
    return bytes[bit / 8] >> bit % 8 & 1;
}

/* Where the run of bits like the one at from ends; whole words at once. */
static uint64_t run_end(const uint8_t *bytes, uint64_t bits, uint64_t from)
{
    bool set = bit_is_set(bytes, from);
    uint64_t word = set ? UINT64_MAX : 0, at = from + 1;

    while (at < bits && at % 64 != 0 && bit_is_set(bytes, at) == set)
        at++;
    if (at < bits && at % 64 != 0)
        return at;
    while (at + 64 <= bits && get_le64(bytes + at / 8) == word)
        at += 64;
    while (at < bits && bit_is_set(bytes, at) == set)
        at++;
    return at < bits ? at : bits;
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
