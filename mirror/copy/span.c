/* SPDX-License-Identifier: Apache-2.0 */
#include "span.h"

#include <errno.h>
#include <stdlib.h>

int span_pool_init(struct span_pool *pool, size_t count, uint64_t bytes)
{
    *pool = (struct span_pool){.spans = calloc(count, sizeof(*pool->spans))};
    if (!pool->spans || arena_init(&pool->arena, bytes) < 0) {
        span_pool_free(pool);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        pool->spans[i].next = pool->free;
        pool->free = &pool->spans[i];
    }
    return 0;
}

void span_pool_free(struct span_pool *pool)
{
    arena_free(&pool->arena);
    free(pool->spans);
    *pool = (struct span_pool){0};
}

struct span *span_take(struct span_pool *pool, uint64_t bytes, uint64_t most_bytes)
{
    uint64_t taken = arena_taken_bytes(&pool->arena);
    struct span *span = pool->free;
    uint8_t *memory;

    if (!span || (taken > 0 && taken + bytes > most_bytes))
        return NULL;
    memory = arena_take(&pool->arena, bytes);
    if (!memory)
        return NULL;
    pool->free = span->next;
    *span = (struct span){.memory = memory, .bytes = bytes};
    return span;
}

void span_leave(struct span_pool *pool, struct span *span)
{
    if (--span->users > 0)
        return;
    arena_give(&pool->arena, span->memory, span->bytes);
    span->next = pool->free;
    pool->free = span;
}
