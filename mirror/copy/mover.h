/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_MOVER_H
#define THINMIRROR_MOVER_H

/* Carries out jobs with many requests in flight.
 *
 * A copy takes a buffer, is read from the primary into it and written to the secondary out of it;
 * a zeroing takes a slot without a buffer. Reads have one budget of queue_depth, writes and
 * zeroings together another. There are twice as many buffers, so that a full write queue does not
 * stop the reading. A piece that was read waits in a list until the write budget has room.
 *
 * Jobs never overlap, so nothing here keeps their order.
 *
 * A read that finds the medium unreadable is done again block by block as long as control->skip_bad
 * allows. A block that fails then too is bad: zeros are written in its place, and its piece never
 * counts as finished. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffers.h"
#include "control.h"
#include "endpoint.h"
#include "job_queue.h"

struct checkpoint;
struct piece;

struct mover {
    struct endpoint *primary;
    struct endpoint *secondary;
    const struct copy_control *control;
    struct checkpoint *checkpoint; /* told what is finished; may be NULL */
    uint64_t chunk_blocks;
    unsigned depth;
    struct job_queue copies;
    struct job_queue zeros;
    struct buffers buffers;
    struct piece *pieces;
    struct piece *free_copies;
    struct piece *free_zeros;
    struct piece *read_first; /* read, not yet being written; oldest first */
    struct piece *read_last;
    struct piece *careful; /* to be read block by block, the next block not yet sent */
    unsigned reading;
    unsigned writing; /* zeroings included */
    struct copy_pacer pacer;

    uint64_t read_bytes;
    uint64_t written_bytes;  /* copied */
    uint64_t unmapped_bytes; /* emptied by deallocating */
    uint64_t zeroed_bytes;   /* emptied by writing zeros */
    uint64_t detected_bytes; /* of both, what was read and found to be zeros */

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
