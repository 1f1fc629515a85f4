/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_JOIN_H
#define THINMIRROR_JOIN_H

/* Which jobs with small gaps between them are moved by one command. Pure.
 *
 * What a READ fetches of a gap is dropped, so joining reads costs nothing but the time that the gap
 * takes on the line; each job is written on its own. What a WRITE carries for a gap is zeros, and
 * they could cost the secondary storage: see join_costs_nothing. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan.h"

/* The longest gap that is read. */
#define JOIN_GAP_BYTES (16 * 1024)

struct join_limits {
    uint64_t max_blocks;     /* of one READ, gaps included */
    uint64_t max_gap_blocks; /* 0: nothing is joined */
    size_t max_jobs;
};

/* How many of the jobs, which are in LBA order and do not touch, one READ fetches: at least one.
 * Of the first it takes first_blocks; when those are not all of it, nothing is joined to them.
 * *ret_blocks: from where the first begins to where the last ends. */
size_t join_reads(const struct job *jobs, size_t count, uint64_t first_blocks,
                  const struct join_limits *limits, uint64_t *ret_blocks);

/* Whether writing zeros to the gap [start, end) takes no storage that writing the blocks before and
 * behind it does not take: it lies, with one of the two, in one unit that the logical unit
 * allocates (SBC-4 6.6.4, OPTIMAL UNMAP GRANULARITY and UNMAP GRANULARITY ALIGNMENT). */
bool join_costs_nothing(uint64_t start, uint64_t end, uint64_t granularity, uint64_t alignment);

#endif
