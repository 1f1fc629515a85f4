/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_EXTENT_RUNS_H
#define THINMIRROR_BASE_EXTENT_RUNS_H

/* Extents that follow each other without gaps, from 0 on. Two that repeat are kept once: a disk of
 * tracks of which each but its begin is free takes a few bytes, however many tracks it has. The
 * unit is the owner's. */

#include <stddef.h>
#include <stdint.h>

#include "extents.h"

/* Two extents side by side, repeated. */
struct extent_run {
    uint64_t start;
    uint64_t lengths[2]; /* the second one is 0 in the last run when it has not come yet */
    uint64_t count;
    enum extent_status statuses[2];
};

/* Zero-initialise. */
struct extent_runs {
    struct extent_run *items;
    size_t count;
    size_t capacity;
    struct extent last; /* behind the runs, as it may still grow */
};

/* Goes on from the end. Length 0 adds nothing; joined to the last extent when that has the same
 * status. -EINVAL when it would wrap, -ENOMEM; the extents are unchanged then. */
int extent_runs_append(struct extent_runs *runs, uint64_t length, enum extent_status status);

/* The extent that covers position, whole; its length is 0 when position is beyond the end.
 * O(log count). */
struct extent extent_runs_find(const struct extent_runs *runs, uint64_t position);

/* Where the last extent ends; 0 when there is none. */
uint64_t extent_runs_end(const struct extent_runs *runs);

/* The summed length of all extents of this status. */
uint64_t extent_runs_total(const struct extent_runs *runs, enum extent_status status);

/* For CLEANUP(extent_runs_free) too. */
void extent_runs_free(struct extent_runs *runs);

#endif
