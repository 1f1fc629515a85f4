/* SPDX-License-Identifier: Apache-2.0 */
#include "job_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void job_queue_free(struct job_queue *queue)
{
    free(queue->items);
    *queue = (struct job_queue){0};
}

static int make_room(struct job_queue *queue)
{
    size_t capacity = queue->capacity ? queue->capacity * 2 : 64;
    struct job *items;

    if (queue->head + queue->count < queue->capacity)
        return 0;
    if (queue->head > queue->count) {
        memmove(queue->items, queue->items + queue->head, queue->count * sizeof(*queue->items));
        queue->head = 0;
        return 0;
    }
    items = reallocarray(queue->items, capacity, sizeof(*items));
    if (!items)
        return -ENOMEM;
    queue->items = items;
    queue->capacity = capacity;
    return 0;
}

int job_queue_push(struct job_queue *queue, const struct job *job)
{
    int r;

    if (queue->count > 0) {
        struct job *last = &queue->items[queue->head + queue->count - 1];

        if (last->kind == job->kind && last->lba + last->blocks == job->lba) {
            last->blocks += job->blocks;
            return 0;
        }
    }
    r = make_room(queue);
    if (r < 0)
        return r;
    queue->items[queue->head + queue->count++] = *job;
    return 0;
}

const struct job *job_queue_first(const struct job_queue *queue)
{
    return queue->count > 0 ? &queue->items[queue->head] : NULL;
}

void job_queue_take(struct job_queue *queue, uint64_t blocks)
{
    struct job *job = &queue->items[queue->head];

    job->lba += blocks;
    job->blocks -= blocks;
    job->zeros_before = 0;
    if (job->blocks > 0)
        return;
    queue->head++;
    queue->count--;
}

uint64_t job_piece_blocks(const struct job *job, uint64_t max, uint64_t unit, uint64_t alignment)
{
    uint64_t over;

    if (job->blocks <= max)
        return job->blocks;
    /* How far the longest piece's end is past the last boundary. */
    over = (job->lba % unit + max % unit + unit - alignment % unit) % unit;
    return over < max ? max - over : max;
}
