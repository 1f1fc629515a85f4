/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BUFFERS_H
#define THINMIRROR_BUFFERS_H

/* A block of page-aligned memory cut into equal buffers. */

#include <stddef.h>
#include <stdint.h>

#include "endpoint.h"

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

/* All buffers of a copy or a comparison together take no more, however many there are. */
#define BUFFERS_BYTES (32 * 1024 * 1024)

/* The blocks that one READ or WRITE had better not exceed: its most, and the OPTIMAL TRANSFER
 * LENGTH when the unit tells one that makes sense. */
uint32_t buffers_limit_blocks(const struct endpoint_info *info);

/* The same of one WRITE: so few, too, that its data take the fewest round trips. */
uint32_t buffers_write_limit_blocks(const struct endpoint_info *info);

/* At most blocks blocks, and a multiple of what both units like to transfer: of the secondary's
 * alone when both together are too much, and unchanged when that is. */
uint64_t buffers_align_blocks(uint64_t blocks, const struct endpoint_info *primary,
                              const struct endpoint_info *secondary);

/* The blocks to move at a time with count buffers: what both limits (in blocks) allow, 256 KiB at
 * most, and so few that all buffers stay within BUFFERS_BYTES. Never 0. */
uint64_t buffers_chunk_blocks(uint32_t block_size, uint32_t limit, uint32_t other_limit,
                              size_t count);

#endif
