/* SPDX-License-Identifier: Apache-2.0 */
#include "workpool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "event.h"

struct workpool {
    pthread_mutex_t lock; /* guards waiting, finished and stopping */
    pthread_cond_t wake;
    struct fifo waiting;
    struct fifo finished;
    bool stopping;

    int event;          /* readable while finished is not empty */
    size_t outstanding; /* submitted, done() not called yet; the owner's */
    unsigned thread_count;
    pthread_t threads[];
};

/* NULL when the pool is stopping. */
static struct work *wait_for_work(struct workpool *pool)
{
    struct fifo_link *link;

    SCOPED_LOCK(&pool->lock);
    while (!(link = fifo_take(&pool->waiting)) && !pool->stopping)
        pthread_cond_wait(&pool->wake, &pool->lock);
    return (struct work *)link;
}

static void finish(struct workpool *pool, struct work *work)
{
    SCOPED_LOCK(&pool->lock);
    /* Under the lock, so that the event is set exactly while the queue is not empty. */
    if (!pool->finished.first)
        event_raise(pool->event);
    fifo_put(&pool->finished, &work->link);
}

static void *worker(void *opaque)
{
    struct workpool *pool = opaque;
    struct work *work;

    while ((work = wait_for_work(pool))) {
        work->run(work);
        finish(pool, work);
    }
    return NULL;
}

static void stop(struct workpool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    close(pool->event);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

int workpool_create(unsigned threads, struct workpool **ret)
{
    struct workpool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));

    if (!pool)
        return -ENOMEM;
    pool->event = event_open();
    if (pool->event < 0) {
        int r = pool->event;

        free(pool);
        return r;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    fifo_init(&pool->waiting);
    fifo_init(&pool->finished);
    while (pool->thread_count < threads) {
        int r = pthread_create(&pool->threads[pool->thread_count], NULL, worker, pool);

        if (r) {
            stop(pool);
            return -r;
        }
        pool->thread_count++;
    }
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
    stop(pool);
}

void workpool_submit(struct workpool *pool, struct work *work)
{
    SCOPED_LOCK(&pool->lock);
    pool->outstanding++;
    fifo_put(&pool->waiting, &work->link);
    pthread_cond_signal(&pool->wake);
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
