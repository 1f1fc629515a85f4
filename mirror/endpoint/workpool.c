/* SPDX-License-Identifier: Apache-2.0 */
#include "workpool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cleanup.h"

/* First in, first out. */
struct work_queue {
    struct work *first;
    struct work **end; /* where the next one is linked */
};

struct workpool {
    pthread_mutex_t lock; /* guards waiting, finished and stopping */
    pthread_cond_t wake;
    struct work_queue waiting;
    struct work_queue finished;
    bool stopping;

    int event;          /* readable while finished is not empty */
    size_t outstanding; /* submitted, done() not called yet; the owner's */
    unsigned thread_count;
    pthread_t threads[];
};

static void queue_init(struct work_queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
}

static void queue_put(struct work_queue *queue, struct work *work)
{
    work->next = NULL;
    *queue->end = work;
    queue->end = &work->next;
}

static struct work *queue_take(struct work_queue *queue)
{
    struct work *work = queue->first;

    if (!work)
        return NULL;
    queue->first = work->next;
    if (!queue->first)
        queue->end = &queue->first;
    return work;
}

/* NULL when the pool is stopping. */
static struct work *wait_for_work(struct workpool *pool)
{
    struct work *work;

    SCOPED_LOCK(&pool->lock);
    while (!(work = queue_take(&pool->waiting)) && !pool->stopping)
        pthread_cond_wait(&pool->wake, &pool->lock);
    return work;
}

static void finish(struct workpool *pool, struct work *work)
{
    const uint64_t one = 1;

    SCOPED_LOCK(&pool->lock);
    /* Under the lock, so that the event is set exactly while the queue is not empty. */
    if (!pool->finished.first && write(pool->event, &one, sizeof(one)) < 0)
        abort(); /* an event counter takes 2^64 - 2 of these */
    queue_put(&pool->finished, work);
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
    pool->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->event < 0) {
        free(pool);
        return -errno;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    queue_init(&pool->waiting);
    queue_init(&pool->finished);
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
    queue_put(&pool->waiting, work);
    pthread_cond_signal(&pool->wake);
}

int workpool_fd(const struct workpool *pool)
{
    return pool->event;
}

static struct work *take_finished(struct workpool *pool)
{
    struct work *list;
    uint64_t count;

    SCOPED_LOCK(&pool->lock);
    list = pool->finished.first;
    queue_init(&pool->finished);
    if (list && read(pool->event, &count, sizeof(count)) < 0)
        abort(); /* it was set when the first one was put there */
    return list;
}

void workpool_service(struct workpool *pool)
{
    struct work *next;

    for (struct work *work = take_finished(pool); work; work = next) {
        next = work->next;
        pool->outstanding--;
        work->done(work);
    }
}
