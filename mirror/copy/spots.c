/* SPDX-License-Identifier: Apache-2.0 */
#include "spots.h"

#include "checked.h"

void spots_init(struct spots *spots, uint64_t blocks, uint32_t block_size, uint64_t seed)
{
    uint64_t spot = max_u64(SPOT_BYTES / block_size, 1);

    *spots = (struct spots){
        .seed = seed,
        .end = blocks,
        .spot_blocks = spot,
        .part_blocks = max_u64(blocks / SPOTS + (blocks % SPOTS > 0), spot),
    };
}

/* The finalizer of SplitMix64. */
static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94D049BB133111EB);
    return value ^ (value >> 31);
}

/* Where the spot of the part begins: at a multiple of a spot's length. */
static uint64_t spot_at(const struct spots *spots)
{
    uint64_t begin = spots->part * spots->part_blocks;
    uint64_t places = max_u64(spots->part_blocks / spots->spot_blocks, 1);

    return begin + mix(spots->seed + spots->part) % places * spots->spot_blocks;
}

int spots_add(struct spots *spots, uint64_t lba, uint64_t end, struct job_list *jobs)
{
    for (; spots->part < spots->end / spots->part_blocks + 1; spots->part++) {
        uint64_t at = spot_at(spots), blocks;
        int r;

        if (at >= end)
            return 0;
        if (at < lba)
            continue;
        blocks = min_u64(spots->spot_blocks, end - at);
        r = job_list_append(jobs, JOB_EXPECT_ZEROS, at, blocks);
        if (r < 0)
            return r;
        spots->blocks += blocks;
    }
    return 0;
}
