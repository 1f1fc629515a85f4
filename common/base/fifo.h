/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FIFO_H
#define THINMIRROR_FIFO_H

/* First in, first out: a list of things that have a fifo_link as their first member. The code that
 * shares one between threads locks it. */

#include <stddef.h>

struct fifo_link {
    struct fifo_link *next;
};

struct fifo {
    struct fifo_link *first;
    struct fifo_link **end; /* where the next one is linked */
};

static inline void fifo_init(struct fifo *fifo)
{
    fifo->first = NULL;
    fifo->end = &fifo->first;
}

static inline void fifo_put(struct fifo *fifo, struct fifo_link *link)
{
    link->next = NULL;
    *fifo->end = link;
    fifo->end = &link->next;
}

/* NULL when there is none. */
static inline struct fifo_link *fifo_take(struct fifo *fifo)
{
    struct fifo_link *link = fifo->first;

    if (!link)
        return NULL;
    fifo->first = link->next;
    if (!fifo->first)
        fifo->end = &fifo->first;
    return link;
}

/* The first of all of them, which lead on by next. */
static inline struct fifo_link *fifo_take_all(struct fifo *fifo)
{
    struct fifo_link *first = fifo->first;

    fifo_init(fifo);
    return first;
}

#endif
