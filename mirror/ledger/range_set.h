/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RANGE_SET_H
#define THINMIRROR_RANGE_SET_H

/* Which blocks are dealt with. Ranges are added in any order and joined where they touch, so that
 * work that is done about in order makes a short list. Adding near the place of the last addition
 * costs little, however many ranges lie behind it. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No set grows longer than this: memory stays bounded however scattered the work is. */
#define RANGE_SET_MAX 65536

struct range {
    uint64_t start;
    uint64_t end; /* the first block after it; always more than start */
};

/* Zero-initialise. Ranges are in order and never touch. What is not used of items lies in one piece
 * where a range was added last. */
struct range_set {
    struct range *items; /* range_set_at knows where */
    size_t count;
    size_t capacity;
    size_t before;  /* how many of the ranges lie before the unused ones */
    uint64_t total; /* blocks in all ranges */
};

/* The range of this index, below count. */
const struct range *range_set_at(const struct range_set *set, size_t index);

/* Adds [start, start + length); what is in the set already may be added again. Length 0 adds
 * nothing. -EINVAL when it wraps, -ENOMEM, -ENOSPC when the set is full; it is unchanged then. */
int range_set_add(struct range_set *set, uint64_t start, uint64_t length);

/* The first stretch of [from, end) that is not in the set. False: all of it is. NULL is an empty
 * set. */
bool range_set_gap(const struct range_set *set, uint64_t from, uint64_t end, struct range *ret);

/* Makes to the same as from, which may be NULL. -ENOMEM; to is unchanged then. */
int range_set_copy(struct range_set *to, const struct range_set *from);

/* For CLEANUP(range_set_free) too. */
void range_set_free(struct range_set *set);

#endif
