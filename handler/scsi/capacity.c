/* SPDX-License-Identifier: Apache-2.0 */

/* READ CAPACITY, SBC-4 5.20 and 5.21. */

#include "capacity.h"

#include "byteorder.h"
#include "checked.h"
#include "lun_internal.h"

/* Beyond this the page cache below writes parts of a granule without reading the rest, so that the
 * cost which LBPPBE warns of is not there. */
#define PHYSICAL_BLOCK_MAX_BYTES 4096

static struct capacity capacity_of(const struct volume *volume)
{
    uint32_t block_size = volume_block_size(volume);
    uint64_t physical = min_u64(volume_granularity(volume), PHYSICAL_BLOCK_MAX_BYTES);

    return (struct capacity){
        .blocks = volume_blocks(volume),
        .block_size = block_size,
        .physical_exponent = (uint8_t)__builtin_ctzll(physical / block_size),
        .lbpme = true,
        .lbprz = true,
    };
}

uint8_t op_read_capacity_10(struct exec *exec)
{
    struct capacity capacity = capacity_of(exec->volume);
    uint8_t bytes[READ_CAPACITY_10_BYTES];

    capacity_encode_10(&capacity, bytes);
    return reply_whole(exec, bytes, sizeof(bytes), sizeof(bytes));
}

uint8_t op_read_capacity_16(struct exec *exec)
{
    struct capacity capacity = capacity_of(exec->volume);
    uint8_t bytes[READ_CAPACITY_16_BYTES];

    capacity_encode_16(&capacity, bytes);
    return reply_whole(exec, bytes, sizeof(bytes), get_be32(exec->cdb + 10));
}
