/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_PLAN_H
#define THINMIRROR_PLAN_H

/* From the maps of both sides over one window of blocks to the jobs that make the secondary read as
 * the primary does, or that prove that it does. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block_set.h"
#include "extents.h"

enum job_kind {
    JOB_COPY, /* read from the primary, write to the secondary */
    JOB_ZERO, /* make the secondary read as zeros there, deallocated if it can */

    JOB_COMPARE,      /* read both, they must be equal */
    JOB_EXPECT_ZEROS, /* read the secondary, it must be zeros */

    JOB_EXPECT_PRIMARY_ZEROS, /* the same of the primary: the secondary is known to be */
};

struct job {
    enum job_kind kind;
    uint64_t lba;
    uint64_t blocks;
    /* A COPY may be written together with the COPY before it, and zeros for the blocks in between,
     * so many: they are unmapped and promised to read as zeros on both sides, and the zeros cost no
     * storage (join_costs_nothing). 0: no such thing. */
    uint64_t zeros_before;
};

struct job_list {
    struct job *items;
    size_t count;
    size_t capacity;
};

struct plan_params {
    /* Blocks that the secondary's map calls deallocated or anchored are promised to read as zeros
     * (LBPRZ), so nothing needs doing where the primary has nothing either. */
    bool secondary_reads_zeros;
    /* The secondary can deallocate: anchored blocks of its are then given back too. */
    bool secondary_can_unmap;
    /* What the primary's map calls deallocated or anchored is promised to read as zeros. For
     * plan_verify, and for zeros_before: when copying, such blocks become zeros on the secondary in
     * any case. */
    bool primary_reads_zeros;
    /* The unit that the secondary allocates, and where it begins, in blocks; for zeros_before. 0:
     * not told. */
    uint64_t granularity_blocks;
    uint64_t alignment_blocks;
    /* What the map of a side calls deallocated or anchored reads as zeros for certain, as a hole of
     * a file of this machine does; for plan_verify. */
    bool primary_is_certain;
    bool secondary_is_certain;
    /* Promises are believed of blocks that are not mapped on either side; for plan_verify. */
    bool trust_maps;
    /* What is in this settled set matters also where the primary's map calls it unmapped: that
     * reads as zeros, and a file system may count on it. Blocks that are not in it, and not mapped
     * on the primary, may read as anything on the secondary: they are neither emptied nor compared.
     * NULL: every block matters. */
    const struct block_set *used;
};

/* primary covers [start, end) without gaps; secondary covers it too, or is NULL when its map is not
 * known. Rules: mapped on the primary: COPY. Otherwise ZERO, unless the secondary is known to be
 * unmapped there and that reads as zeros. Jobs come in LBA order, the longest possible. -EINVAL
 * when a map does not cover the window; -ENOMEM. */
int plan_window(const struct extent_list *primary, const struct extent_list *secondary,
                uint64_t start, uint64_t end, const struct plan_params *params,
                struct job_list *jobs);

/* What has to be read to know that both sides are equal. Zeros are known without being read where a
 * side's map has nothing and is certain, and on the primary also where it has nothing and what it
 * would read is not defined: then zeros are what the secondary must read as. Nothing where both are
 * known, or, with trust_maps, where neither side has anything mapped and the secondary promises
 * zeros; EXPECT_ZEROS or EXPECT_PRIMARY_ZEROS where one is; otherwise COMPARE. */
int plan_verify(const struct extent_list *primary, const struct extent_list *secondary,
                uint64_t start, uint64_t end, const struct plan_params *params,
                struct job_list *jobs);

/* Appends a job, joined to the last one when it follows on and is of the same kind. -ENOMEM. */
int job_list_append(struct job_list *jobs, enum job_kind kind, uint64_t lba, uint64_t blocks);
void job_list_free(struct job_list *jobs);

#endif
