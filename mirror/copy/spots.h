/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SPOTS_H
#define THINMIRROR_SPOTS_H

/* Spot checks of what need not be read, as both maps call it unmapped and promise zeros for that: a
 * target that only says so is found out, if it does that throughout. Spots lie all over the LUN,
 * one in each of SPOTS parts, at a place that depends on the seed. Pure. */

#include <stdint.h>

#include "plan.h"

#define SPOTS      1024
#define SPOT_BYTES 4096

struct spots {
    uint64_t seed;
    uint64_t end;         /* blocks */
    uint64_t spot_blocks; /* of one spot */
    uint64_t part_blocks;
    uint64_t part;   /* the first one whose spot is still to come */
    uint64_t blocks; /* of all spots that were added */
};

/* Of a LUN of blocks blocks, or of the first blocks of one. */
void spots_init(struct spots *spots, uint64_t blocks, uint32_t block_size, uint64_t seed);

/* Adds JOB_EXPECT_ZEROS to jobs where a spot begins in [lba, end); ranges come in LBA order.
 * -ENOMEM. */
int spots_add(struct spots *spots, uint64_t lba, uint64_t end, struct job_list *jobs);

#endif
