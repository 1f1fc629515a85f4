/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SPAN_H
#define THINMIRROR_SPAN_H

/* The memory of one READ, shared by the pieces that it is about: it is free when the last of them
 * has left it. */

#include <stddef.h>
#include <stdint.h>

#include "arena.h"

struct span {
    struct span *next; /* when it is free */
    uint8_t *memory;
    size_t bytes;
    unsigned users; /* counted up by them */
};

struct span_pool {
    struct arena arena;
    struct span *spans;
    struct span *free;
};

/* At most count spans, of bytes bytes together. -ENOMEM. */
int span_pool_init(struct span_pool *pool, size_t count, uint64_t bytes);
/* A zeroed one may be freed. */
void span_pool_free(struct span_pool *pool);

/* Without users. NULL when there is none, or when more than most_bytes would be taken; one may be
 * taken in any case. */
struct span *span_take(struct span_pool *pool, uint64_t bytes, uint64_t most_bytes);

/* One user less. */
void span_leave(struct span_pool *pool, struct span *span);

#endif
