/* SPDX-License-Identifier: Apache-2.0 */

/* A thread that ends joins the one that ended before it, so that never more than one is left to be
 * joined, and thread_queue_free, which joins that one, has joined all. */

#include "thread_queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "cleanup.h"
#include "quiet_thread.h"

struct thread_queue {
    void (*serve)(void *context, struct fifo_link *item);
    void *context;
    unsigned most;
    unsigned idle_ms;

    pthread_mutex_t lock; /* guards what follows; no other is taken under it */
    pthread_cond_t work;  /* there are items, or it is stopping */
    pthread_cond_t ended; /* running became 0 */
    struct fifo items;
    unsigned waiting; /* items */
    unsigned running; /* threads */
    unsigned idle;    /* of them: wait for work */
    bool stopping;
    bool any_ended;
    pthread_t last_ended; /* not joined yet */
};

static struct timespec time_after(unsigned ms)
{
    struct timespec now;
    uint64_t ns;

    clock_gettime(CLOCK_MONOTONIC, &now);
    ns = (uint64_t)now.tv_nsec + (uint64_t)ms * 1000000;
    return (struct timespec){.tv_sec = now.tv_sec + (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
}

/* With the lock held. NULL when the thread is to end. */
static struct fifo_link *wait_for_item(struct thread_queue *queue)
{
    struct timespec until = time_after(queue->idle_ms);
    struct fifo_link *item;
    int error = 0;

    while (!queue->items.first && !queue->stopping && error != ETIMEDOUT) {
        queue->idle++;
        error = pthread_cond_timedwait(&queue->work, &queue->lock, &until);
        queue->idle--;
    }
    item = fifo_take(&queue->items);
    if (item)
        queue->waiting--;
    return item;
}

/* With the lock held: the calling thread is none of the queue's any more. Whether another one is to
 * be joined. */
static bool leave(struct thread_queue *queue, pthread_t *ret_before)
{
    bool any = queue->any_ended;

    if (any)
        *ret_before = queue->last_ended;
    queue->last_ended = pthread_self();
    queue->any_ended = true;
    if (--queue->running == 0)
        pthread_cond_signal(&queue->ended);
    return any;
}

static void *run(void *opaque)
{
    struct thread_queue *queue = opaque;
    struct fifo_link *item;
    pthread_t before;
    bool join;

    pthread_mutex_lock(&queue->lock);
    while ((item = wait_for_item(queue))) {
        pthread_mutex_unlock(&queue->lock);
        queue->serve(queue->context, item);
        pthread_mutex_lock(&queue->lock);
    }
    join = leave(queue, &before);
    pthread_mutex_unlock(&queue->lock);
    if (join)
        pthread_join(before, NULL);
    return NULL;
}

int thread_queue_create(unsigned most, void (*serve)(void *context, struct fifo_link *item),
                        void *context, struct thread_queue **ret)
{
    struct thread_queue *queue = calloc(1, sizeof(*queue));
    pthread_condattr_t monotonic;

    if (!queue)
        return -ENOMEM;
    queue->serve = serve;
    queue->context = context;
    queue->most = most;
    queue->idle_ms = THREAD_QUEUE_IDLE_S * 1000;
    fifo_init(&queue->items);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->work, &monotonic);
    pthread_cond_init(&queue->ended, NULL);
    pthread_condattr_destroy(&monotonic);
    *ret = queue;
    return 0;
}

int thread_queue_put(struct thread_queue *queue, struct fifo_link *item)
{
    SCOPED_LOCK(&queue->lock);
    pthread_t thread; /* which it tells at its end */

    if (queue->waiting >= queue->idle && queue->running < queue->most &&
        quiet_thread_start(&thread, run, queue) == 0)
        queue->running++;
    if (queue->running == 0)
        return -EAGAIN;
    fifo_put(&queue->items, item);
    queue->waiting++;
    pthread_cond_signal(&queue->work);
    return 0;
}

void thread_queue_free(struct thread_queue *queue)
{
    if (!queue)
        return;
    pthread_mutex_lock(&queue->lock);
    queue->stopping = true;
    pthread_cond_broadcast(&queue->work);
    while (queue->running > 0)
        pthread_cond_wait(&queue->ended, &queue->lock);
    pthread_mutex_unlock(&queue->lock);
    if (queue->any_ended)
        pthread_join(queue->last_ended, NULL);
    pthread_cond_destroy(&queue->ended);
    pthread_cond_destroy(&queue->work);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

unsigned thread_queue_threads(struct thread_queue *queue)
{
    SCOPED_LOCK(&queue->lock);

    return queue->running;
}

void thread_queue_set_idle_ms(struct thread_queue *queue, unsigned idle_ms)
{
    queue->idle_ms = idle_ms;
}
