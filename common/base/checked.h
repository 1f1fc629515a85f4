/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_CHECKED_H
#define THINMIRROR_BASE_CHECKED_H

/* Overflow-safe arithmetic for lengths and offsets that came from outside. */

#include <stdbool.h>
#include <stdint.h>

/* True when a + b (a * b) overflows uint64_t; otherwise the result is stored in *ret. */
static inline bool add_overflows(uint64_t a, uint64_t b, uint64_t *ret)
{
    return __builtin_add_overflow(a, b, ret);
}

static inline bool mul_overflows(uint64_t a, uint64_t b, uint64_t *ret)
{
    return __builtin_mul_overflow(a, b, ret);
}

/* True when [start, start + length) lies within [0, limit); never overflows. */
static inline bool range_within(uint64_t start, uint64_t length, uint64_t limit)
{
    return length <= limit && start <= limit - length;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Rounds to a multiple of unit, a power of two. align_up saturates at the largest multiple. */
static inline uint64_t align_down(uint64_t value, uint64_t unit)
{
    return value & ~(unit - 1);
}

static inline uint64_t align_up(uint64_t value, uint64_t unit)
{
    uint64_t sum;

    return add_overflows(value, unit - 1, &sum) ? ~(unit - 1) : align_down(sum, unit);
}

static inline bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

#endif
