/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WORKERS_H
#define THINMIRROR_WORKERS_H

/* The threads of one device that serve what may wait for the disk, and the queue in front of them.
 */

struct workers;

/* Starts count threads, each of which calls serve(context, item) for one item at a time. 0,
 * -ENOMEM, or -EAGAIN when the system has no more threads. */
int workers_start(int count, void (*serve)(void *context, void *item), void *context,
                  struct workers **ret);

/* Hands an item over. 0, or -ENOMEM: it is still the caller's. */
int workers_submit(struct workers *workers, void *item);

/* Waits until every item handed over is served, ends the threads. Nobody submits any more. Takes
 * NULL. */
void workers_stop(struct workers *workers);

#endif
