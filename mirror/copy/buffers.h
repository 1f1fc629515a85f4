/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BUFFERS_H
#define THINMIRROR_BUFFERS_H

/* A block of page-aligned memory cut into equal buffers. */

#include <stddef.h>
#include <stdint.h>

struct buffers {
    uint8_t *memory;
    size_t each_bytes; /* a multiple of the page size, at least what was asked for */
    size_t count;
};

/* -ENOMEM. Memory that is never touched is never really taken. */
int buffers_init(struct buffers *buffers, size_t count, size_t each_bytes);
void buffers_free(struct buffers *buffers);

static inline void *buffers_get(const struct buffers *buffers, size_t index)
{
    return buffers->memory + index * buffers->each_bytes;
}

/* The blocks to move at a time: what both limits (in blocks) allow, and 512 KiB at most. */
uint64_t buffers_chunk_blocks(uint32_t block_size, uint32_t limit, uint32_t other_limit);

#endif
