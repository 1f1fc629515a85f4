/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WORKERS_H
#define THINMIRROR_WORKERS_H

/* The threads of one device that serve what may wait for the disk. There are as many as there is
 * work for, up to a number: thread_queue.h. */

struct workers;

/* At most count threads will call serve(context, item), each for one item at a time. 0 or -ENOMEM.
 */
int workers_create(int count, void (*serve)(void *context, void *item), void *context,
                   struct workers **ret);

/* Hands an item over. 0, or the item is still the caller's: -ENOMEM, or -EAGAIN when no thread runs
 * and the system has none to start. */
int workers_submit(struct workers *workers, void *item);

/* Waits until every item handed over is served, ends the threads. Nothing is submitted any more.
 * Takes NULL. */
void workers_stop(struct workers *workers);

#endif
