/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_COMPARER_H
#define THINMIRROR_COMPARER_H

/* Reads both sides (or one alone that is expected to be zeros) with many requests in flight and
 * notes where they differ. queue_depth pieces are in flight at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffers.h"
#include "control.h"
#include "endpoint.h"
#include "extents.h"
#include "job_queue.h"
#include "pacer.h"

/* How many ranges are remembered. */
#define DIFFERENCES_KEPT 16

/* The lowest ranges that differ, in LBA order, and how much differs in all. */
struct differences {
    struct extent first[DIFFERENCES_KEPT + 1]; /* one over, for inserting */
    size_t count;
    uint64_t blocks;
};

/* Ranges come in any order but never overlap. */
void differences_add(struct differences *differences, uint64_t lba, uint64_t blocks);

struct pair_piece;

struct comparer {
    struct endpoint *primary; /* NULL when every job is JOB_EXPECT_ZEROS */
    struct endpoint *secondary;
    const struct copy_control *control;
    uint64_t chunk_blocks;
    struct job_queue jobs;
    struct buffers buffers;
    struct pair_piece *pieces;
    struct pair_piece *free_pieces;
    unsigned reading_primary;
    unsigned reading_secondary;
    struct copy_pacer pacer;

    uint64_t done_blocks;
    uint64_t read_blocks; /* both sides */
    struct differences differences;

    int error; /* the first */
    struct errmsg message;
};

/* comparer stays at its address until comparer_free. -ENOMEM. */
int comparer_init(struct comparer *comparer, struct endpoint *primary, struct endpoint *secondary,
                  const struct copy_control *control);
/* Only with nothing in flight. */
void comparer_free(struct comparer *comparer);

/* Appends the list's jobs, which are copied; the list stays the caller's. -ENOMEM. */
int comparer_add(struct comparer *comparer, const struct job_list *jobs);
/* Whether few jobs are waiting, so that more should be added. */
bool comparer_hungry(const struct comparer *comparer);
/* Sends what the queue depth and the rate allow. Call it after every service of the endpoints; what
 * goes wrong is in error and message. */
void comparer_pump(struct comparer *comparer);
/* Milliseconds until the rate allows the next piece; 0 when that is not what it waits for. */
int comparer_delay(const struct comparer *comparer);
/* Nothing is in flight. */
bool comparer_idle(const struct comparer *comparer);
/* Idle, and every job that was added has been compared. */
bool comparer_done(const struct comparer *comparer);

#endif
