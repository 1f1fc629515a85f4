/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ARENA_H
#define THINMIRROR_ARENA_H

/* A block of page-aligned memory, given out in runs of any length and taken back in any order. */

#include <stddef.h>
#include <stdint.h>

/* What a run is rounded up to. */
#define ARENA_UNIT_BYTES (16 * 1024)

struct arena {
    uint8_t *memory;
    uint8_t *taken; /* 1 or 0 for each unit */
    size_t units;
    size_t free_units;
    size_t lowest; /* no unit below it is free */
};

/* Of at least this many bytes. -ENOMEM. Memory that is never touched is never really taken. */
int arena_init(struct arena *arena, size_t bytes);
/* Zero-initialised is as good as freed. */
void arena_free(struct arena *arena);

/* The lowest run that is long enough, so that what was used a moment ago is used again; NULL when
 * there is none. An empty arena has one for every length up to its own. */
void *arena_take(struct arena *arena, size_t bytes);
static inline size_t arena_taken_bytes(const struct arena *arena)
{
    return (arena->units - arena->free_units) * ARENA_UNIT_BYTES;
}

/* What arena_take gave for this length. */
void arena_give(struct arena *arena, void *memory, size_t bytes);

#endif
