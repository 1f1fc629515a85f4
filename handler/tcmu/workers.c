/* SPDX-License-Identifier: Apache-2.0 */
#include "workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "cleanup.h"

struct node {
    struct node *next;
    void *item;
};

struct workers {
    void (*serve)(void *context, void *item);
    void *context;
    pthread_mutex_t lock; /* guards the queue, idle and stopping; none other is taken under it */
    pthread_cond_t work;
    struct node *head, **tail;
    int idle; /* threads that wait for work */
    bool stopping;
    int count;
    pthread_t threads[];
};

/* The next item, or NULL when there will be none any more. */
static struct node *next_node(struct workers *workers)
{
    SCOPED_LOCK(&workers->lock);
    struct node *node;

    while (!workers->head && !workers->stopping) {
        workers->idle++;
        pthread_cond_wait(&workers->work, &workers->lock);
        workers->idle--;
    }
    node = workers->head;
    if (node) {
        workers->head = node->next;
        if (!workers->head)
            workers->tail = &workers->head;
    }
    return node;
}

static void *work(void *data)
{
    struct workers *workers = data;
    struct node *node;

    while ((node = next_node(workers))) {
        void *item = node->item;

        free(node);
        workers->serve(workers->context, item);
    }
    return NULL;
}

/* The runner's signals are for its main thread. */
static int start_threads(struct workers *workers, int count)
{
    sigset_t all, before;
    int error = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (!error && workers->count < count) {
        error = pthread_create(&workers->threads[workers->count], NULL, work, workers);
        if (!error)
            workers->count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

int workers_start(int count, void (*serve)(void *context, void *item), void *context,
                  struct workers **ret)
{
    struct workers *workers =
        calloc(1, sizeof(*workers) + (size_t)count * sizeof(workers->threads[0]));
    int error;

    if (!workers)
        return -ENOMEM;
    workers->serve = serve;
    workers->context = context;
    workers->tail = &workers->head;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work, NULL);
    error = start_threads(workers, count);
    if (error) {
        workers_stop(workers);
        return error;
    }
    *ret = workers;
    return 0;
}

int workers_submit(struct workers *workers, void *item)
{
    struct node *node = malloc(sizeof(*node));
    bool wake;

    if (!node)
        return -ENOMEM;
    *node = (struct node){.item = item};
    pthread_mutex_lock(&workers->lock);
    *workers->tail = node;
    workers->tail = &node->next;
    wake = workers->idle > 0;
    pthread_mutex_unlock(&workers->lock);
    if (wake)
        pthread_cond_signal(&workers->work);
    return 0;
}

void workers_stop(struct workers *workers)
{
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->lock);
    for (int i = 0; i < workers->count; i++)
        pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->work);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}
