/* SPDX-License-Identifier: Apache-2.0 */
#include "workpool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "event.h"
#include "thread_queue.h"

struct workpool {
    struct thread_queue *queue;

    pthread_mutex_t lock; /* guards finished */
    struct fifo finished;

    int event;          /* readable while finished is not empty */
    size_t outstanding; /* submitted, done() not called yet; the owner's */
};

static void serve(void *context, struct fifo_link *link)
{
    struct workpool *pool = context;
    struct work *work = (struct work *)link;

    work->run(work);
    SCOPED_LOCK(&pool->lock);
    /* Under the lock, so that the event is set exactly while the queue is not empty. */
    if (!pool->finished.first)
        event_raise(pool->event);
    fifo_put(&pool->finished, link);
}

int workpool_create(unsigned threads, struct workpool **ret)
{
    struct workpool *pool = calloc(1, sizeof(*pool));
    int r;

    if (!pool)
        return -ENOMEM;
    pool->event = event_open();
    r = pool->event < 0 ? pool->event : thread_queue_create(threads, serve, pool, &pool->queue);
    if (r) {
        if (pool->event >= 0)
            close(pool->event);
        free(pool);
        return r;
    }
    pthread_mutex_init(&pool->lock, NULL);
    fifo_init(&pool->finished);
    *ret = pool;
    return 0;
}

void workpool_destroy(struct workpool *pool)
{
    if (!pool)
        return;
    while (pool->outstanding) {
        struct pollfd event = {.fd = pool->event, .events = POLLIN};

        poll(&event, 1, -1);
        workpool_service(pool);
    }
    thread_queue_free(pool->queue);
    close(pool->event);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

void workpool_submit(struct workpool *pool, struct work *work)
{
    pool->outstanding++;
    if (thread_queue_put(pool->queue, &work->link))
        serve(pool, &work->link);
}

int workpool_fd(const struct workpool *pool)
{
    return pool->event;
}

static struct fifo_link *take_finished(struct workpool *pool)
{
    SCOPED_LOCK(&pool->lock);
    if (pool->finished.first)
        event_drain(pool->event);
    return fifo_take_all(&pool->finished);
}

void workpool_service(struct workpool *pool)
{
    struct fifo_link *next;

    for (struct fifo_link *link = take_finished(pool); link; link = next) {
        struct work *work = (struct work *)link;

        next = link->next;
        pool->outstanding--;
        work->done(work);
    }
}
