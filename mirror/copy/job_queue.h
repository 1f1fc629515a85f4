/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_JOB_QUEUE_H
#define THINMIRROR_JOB_QUEUE_H

/* Jobs of one kind that wait for their turn, taken off piece by piece. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan.h"

/* Planning ahead stops when a queue holds this many. */
#define JOB_QUEUE_ENOUGH 16384

/* Zero-initialise. */
struct job_queue {
    struct job *items;
    size_t head; /* the first that is not used up */
    size_t count;
    size_t capacity;
};

void job_queue_free(struct job_queue *queue);

/* Adds at the end, joined to the last job where it follows on. -ENOMEM. */
int job_queue_push(struct job_queue *queue, const struct job *job);

static inline bool job_queue_empty(const struct job_queue *queue)
{
    return queue->count == 0;
}

/* The first job, or NULL. */
const struct job *job_queue_first(const struct job_queue *queue);

/* Takes the first blocks of the first job off. */
void job_queue_take(struct job_queue *queue, uint64_t blocks);

/* How many blocks of the job to take so that the piece is at most max long and, when that cuts the
 * job, ends at a multiple of unit counted from alignment, if there is one in it. */
uint64_t job_piece_blocks(const struct job *job, uint64_t max, uint64_t unit, uint64_t alignment);

#endif
