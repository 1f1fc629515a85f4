/* SPDX-License-Identifier: Apache-2.0 */
#include "join.h"

size_t join_reads(const struct job *jobs, size_t count, uint64_t first_blocks,
                  const struct join_limits *limits, uint64_t *ret_blocks)
{
    size_t joined = 1;

    *ret_blocks = first_blocks;
    if (first_blocks < jobs[0].blocks)
        return 1;
    while (joined < count && joined < limits->max_jobs) {
        const struct job *next = &jobs[joined];
        uint64_t end = jobs[0].lba + *ret_blocks;

        if (next->lba < end || next->lba - end > limits->max_gap_blocks ||
            next->lba - jobs[0].lba >= limits->max_blocks ||
            next->blocks > limits->max_blocks - (next->lba - jobs[0].lba))
            break;
        *ret_blocks = next->lba + next->blocks - jobs[0].lba;
        joined++;
    }
    return joined;
}

bool join_costs_nothing(uint64_t start, uint64_t end, uint64_t granularity, uint64_t alignment)
{
    /* Counted from one unit before LBA 0, so that what lies before the first boundary is a unit. */
    uint64_t shift = granularity - alignment % granularity;
    uint64_t before = (start - 1 + shift) / granularity, behind = (end + shift) / granularity;

    return (end - 1 + shift) / granularity == before || (start + shift) / granularity == behind;
}
