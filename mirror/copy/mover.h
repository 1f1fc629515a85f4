/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_MOVER_H
#define THINMIRROR_MOVER_H

/* Carries out jobs with many requests in flight.
 *
 * A copy takes memory, is read from the primary into it and written to the secondary out of it;
 * a zeroing takes none. Reads have one budget of requests and bytes in flight, writes and zeroings
 * together another. A piece that was read waits in a list until the write budget has room; all
 * pieces together take no more memory than both budgets are.
 *
 * Extents with small gaps between them are read by one READ, the gaps included, as long as the line
 * is quick enough for that and no rate is to be kept. They are written each on its own; or by one
 * WRITE with zeros for the gap, where the plan says that this is free (zeros_before). When such a
 * READ fails each extent is read alone: the fault may be in a gap.
 *
 * Jobs never overlap, so nothing here keeps their order.
 *
 * A read that finds the medium unreadable is done again block by block as long as control->skip_bad
 * allows. A block that fails then too is bad: zeros are written in its place, and its piece never
 * counts as finished. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control.h"
#include "endpoint.h"
#include "flight.h"
#include "job_queue.h"
#include "pacer.h"
#include "span.h"

struct checkpoint;
struct readback;
struct piece;

struct mover {
    struct endpoint *primary;
    struct endpoint *secondary;
    const struct copy_control *control;
    struct checkpoint *checkpoint; /* told what is finished; may be NULL */
    struct readback *readback;     /* told what is written instead; may be NULL */
    uint64_t chunk_blocks;         /* of a piece, at most */
    unsigned depth;                /* requests in flight on either side, at most */
    struct job_queue copies;
    struct job_queue zeros;
    struct span_pool spans;
    struct piece *pieces;
    struct piece *free_copies;
    size_t free_copy_count;
    struct piece *free_zeros;
    struct piece *read_first; /* read, not yet being written; oldest first */
    struct piece *read_last;
    struct piece *again; /* to be read again, alone or block by block */
    struct flight reading;
    struct flight writing; /* zeroings included */
    struct copy_pacer pacer;
    uint64_t reads; /* of jobs, so far */

    uint64_t read_bytes;     /* to be copied */
    uint64_t gap_bytes;      /* read between that, and dropped */
    uint64_t written_bytes;  /* copied */
    uint64_t unmapped_bytes; /* emptied by deallocating */
    uint64_t zeroed_bytes;   /* emptied by writing zeros */
    uint64_t detected_bytes; /* of both, what was read and found to be zeros */

    bool unreadable;     /* error is that of a block that the medium does not give */
    uint64_t bad_blocks; /* of the primary, that cannot be read */
    uint64_t first_bad;  /* the lowest of them */

    int error; /* the first; nothing new is begun after it */
    struct errmsg message;
};

/* mover stays at its address until mover_free. -ENOMEM. */
int mover_init(struct mover *mover, struct endpoint *primary, struct endpoint *secondary,
               const struct copy_control *control, struct checkpoint *checkpoint);
/* Only with nothing in flight. */
void mover_free(struct mover *mover);

/* -ENOMEM. */
int mover_add(struct mover *mover, const struct job_list *jobs);

/* True when more jobs should be planned. */
bool mover_hungry(const struct mover *mover);

/* Sends what there is room for. begin false: only finishes what was begun. */
void mover_pump(struct mover *mover, bool begin);

/* Nothing is in flight or waits to be written. */
bool mover_idle(const struct mover *mover);
/* Idle, and no job is left. */
bool mover_done(const struct mover *mover);

/* Milliseconds until the rate allows the next read; 0 when that is not what it waits for. */
int mover_delay(const struct mover *mover);

#endif
