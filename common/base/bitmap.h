/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_BITMAP_H
#define THINMIRROR_BASE_BITMAP_H

/* A bitmap of fixed length, one bit an element; the memory store's truth about what is mapped. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bitmap {
    uint64_t *words;
    uint64_t bits;
};

/* All bits clear. -ENOMEM. */
int bitmap_init(struct bitmap *bitmap, uint64_t bits);
void bitmap_free(struct bitmap *bitmap);

/* Grows or shrinks; new bits are clear. -ENOMEM leaves the bitmap as it was. */
int bitmap_resize(struct bitmap *bitmap, uint64_t bits);

bool bitmap_test(const struct bitmap *bitmap, uint64_t bit);

/* Sets (clears) the bits [from, from + count), which must lie within the bitmap. */
void bitmap_set(struct bitmap *bitmap, uint64_t from, uint64_t count);
void bitmap_clear(struct bitmap *bitmap, uint64_t from, uint64_t count);

/* The first bit at or after from whose value differs from that of bit from; bits when there is
 * none. */
uint64_t bitmap_run_end(const struct bitmap *bitmap, uint64_t from);

#endif
