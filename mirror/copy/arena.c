/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static size_t units_of(size_t bytes)
{
    return bytes / ARENA_UNIT_BYTES + (bytes % ARENA_UNIT_BYTES ? 1 : 0);
}

int arena_init(struct arena *arena, size_t bytes)
{
    size_t units = units_of(bytes);
    uint8_t *taken = calloc(units ? units : 1, 1);
    void *memory;

    if (!taken)
        return -ENOMEM;
    memory = mmap(NULL, units * ARENA_UNIT_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        free(taken);
        return -ENOMEM;
    }
    *arena = (struct arena){memory, taken, units, units, 0};
    return 0;
}

void arena_free(struct arena *arena)
{
    if (arena->memory)
        munmap(arena->memory, arena->units * ARENA_UNIT_BYTES);
    free(arena->taken);
    *arena = (struct arena){0};
}

void *arena_take(struct arena *arena, size_t bytes)
{
    size_t wanted = units_of(bytes), run = 0;

    if (wanted == 0 || wanted > arena->free_units)
        return NULL;
    while (arena->lowest < arena->units && arena->taken[arena->lowest])
        arena->lowest++;
    for (size_t i = arena->lowest; i < arena->units; i++) {
        run = arena->taken[i] ? 0 : run + 1;
        if (run < wanted)
            continue;
        memset(arena->taken + i + 1 - wanted, 1, wanted);
        arena->free_units -= wanted;
        return arena->memory + (i + 1 - wanted) * ARENA_UNIT_BYTES;
    }
    return NULL;
}

void arena_give(struct arena *arena, void *memory, size_t bytes)
{
    size_t first = (size_t)((uint8_t *)memory - arena->memory) / ARENA_UNIT_BYTES;

    memset(arena->taken + first, 0, units_of(bytes));
    arena->free_units += units_of(bytes);
    if (first < arena->lowest)
        arena->lowest = first;
}
