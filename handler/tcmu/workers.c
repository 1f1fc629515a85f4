/* SPDX-License-Identifier: Apache-2.0 */
#include "workers.h"

#include <errno.h>
#include <stdlib.h>

#include "thread_queue.h"

struct node {
    struct fifo_link link;
    void *item;
};

struct workers {
    void (*serve)(void *context, void *item);
    void *context;
    struct thread_queue *queue;
};

static void serve_node(void *context, struct fifo_link *link)
{
    struct workers *workers = context;
    void *item = ((struct node *)link)->item;

    free(link);
    workers->serve(workers->context, item);
}

int workers_create(int count, void (*serve)(void *context, void *item), void *context,
                   struct workers **ret)
{
    struct workers *workers = malloc(sizeof(*workers));
    int error;

    if (!workers)
        return -ENOMEM;
    *workers = (struct workers){.serve = serve, .context = context};
    error = thread_queue_create((unsigned)count, serve_node, workers, &workers->queue);
    if (error)
        free(workers);
    else
        *ret = workers;
    return error;
}

int workers_submit(struct workers *workers, void *item)
{
    struct node *node = malloc(sizeof(*node));
    int error;

    if (!node)
        return -ENOMEM;
    *node = (struct node){.item = item};
    error = thread_queue_put(workers->queue, &node->link);
    if (error)
        free(node);
    return error;
}

void workers_stop(struct workers *workers)
{
    if (!workers)
        return;
    thread_queue_free(workers->queue);
    free(workers);
}
