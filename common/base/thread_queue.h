/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_THREAD_QUEUE_H
#define THINMIRROR_THREAD_QUEUE_H

/* A queue of items and the threads that serve them. A thread is started when an item finds no idle
 * one, up to a number, and ends when it has been idle for a while, so that a queue without work has
 * no threads. They get no signals. */

#include "fifo.h"

/* How long a thread waits for work before it ends. */
#define THREAD_QUEUE_IDLE_S 5

struct thread_queue;

/* Up to most threads (1 or more) call serve(context, item), each for one item at a time. 0 or
 * -ENOMEM. No thread is started yet. */
int thread_queue_create(unsigned most, void (*serve)(void *context, struct fifo_link *item),
                        void *context, struct thread_queue **ret);

/* Hands an item over. Items are begun in the order they come. -EAGAIN when no thread runs and none
 * can be started: the item is still the caller's. With fewer threads than it may have, the queue
 * goes on. Any thread may call it. */
int thread_queue_put(struct thread_queue *queue, struct fifo_link *item);

/* Waits until every item handed over is served, ends the threads and frees the queue. Takes NULL.
 * No other call may be under way or follow. */
void thread_queue_free(struct thread_queue *queue);

/* For tests: how many threads there are now, and another time than THREAD_QUEUE_IDLE_S, to be set
 * before the first item. */
unsigned thread_queue_threads(struct thread_queue *queue);
void thread_queue_set_idle_ms(struct thread_queue *queue, unsigned idle_ms);

#endif
