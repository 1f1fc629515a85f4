/* SPDX-License-Identifier: Apache-2.0 */
#include "buffers.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "checked.h"

/* The longest burst that libiscsi offers (MaxBurstLength, RFC 7143 13.13). */
#define CHUNK_BYTES (256 * 1024)
/* A shorter optimum is not believed: some units tell one block. Shorter bursts are not kept to:
 * what their round trips cost those of other requests overlap, and commands cost more. */
#define LEAST_OPTIMUM_BYTES (64 * 1024)

int buffers_init(struct buffers *buffers, size_t count, size_t each_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *memory;

    each_bytes = align_up(each_bytes, page);
    memory = aligned_alloc(page, count * each_bytes);
    if (!memory)
        return -ENOMEM;
    *buffers = (struct buffers){memory, each_bytes, count};
    return 0;
}

void buffers_free(struct buffers *buffers)
{
    free(buffers->memory);
    *buffers = (struct buffers){0};
}

uint32_t buffers_limit_blocks(const struct endpoint_info *info)
{
    uint32_t optimum = info->optimal_transfer_blocks;

    if (optimum == 0 || (uint64_t)optimum * info->block_size < LEAST_OPTIMUM_BYTES)
        return info->max_transfer_blocks;
    return optimum < info->max_transfer_blocks ? optimum : info->max_transfer_blocks;
}

uint32_t buffers_write_limit_blocks(const struct endpoint_info *info)
{
    uint32_t limit = buffers_limit_blocks(info);
    uint64_t bytes = info->unsolicited_bytes;

    if (bytes < LEAST_OPTIMUM_BYTES)
        bytes = info->max_burst_bytes;
    if (bytes == 0)
        return limit;
    bytes = max_u64(bytes, LEAST_OPTIMUM_BYTES);
    return (uint32_t)min_u64(limit, max_u64(bytes / info->block_size, 1));
}

uint64_t buffers_chunk_blocks(uint32_t block_size, uint32_t limit, uint32_t other_limit,
                              size_t count)
{
    uint64_t blocks = min_u64(max_u64(CHUNK_BYTES / block_size, 1), min_u64(limit, other_limit));

    /* By halves, which leaves pieces on the boundaries of larger blocks. */
    while (blocks > 1 && blocks * block_size > BUFFERS_BYTES / count)
        blocks /= 2;
    return max_u64(blocks, 1);
}

static uint64_t common_multiple(uint64_t a, uint64_t b)
{
    uint64_t x = a, y = b;

    while (y > 0) {
        uint64_t rest = x % y;

        x = y;
        y = rest;
    }
    return a / x * b;
}

uint64_t buffers_align_blocks(uint64_t blocks, const struct endpoint_info *primary,
                              const struct endpoint_info *secondary)
{
    uint64_t unit = max_u64(secondary->transfer_granularity_blocks, 1);
    uint64_t both = common_multiple(unit, max_u64(primary->transfer_granularity_blocks, 1));

    if (both <= blocks)
        unit = both;
    return unit <= blocks ? blocks - blocks % unit : blocks;
}
