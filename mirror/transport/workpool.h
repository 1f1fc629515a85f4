/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WORKPOOL_H
#define THINMIRROR_WORKPOOL_H

/* Threads for system calls that block (SG_IO, pread, an in-process LUN), driven by one owner thread
 * that waits on a descriptor like for a socket. */

#include "fifo.h"

struct workpool;

/* The caller owns it until done() is called. */
struct work {
    struct fifo_link link;           /* the pool's */
    void (*run)(struct work *work);  /* on a worker thread; the owner's when there is none */
    void (*done)(struct work *work); /* on the owner's thread, from workpool_service */
};

/* At most threads threads, each started when there is work for it. 0 or -errno. */
int workpool_create(unsigned threads, struct workpool **ret);
/* Waits for running work; what is queued is run first. done() is called for all of it. NULL: ok. */
void workpool_destroy(struct workpool *pool);
/* Hands work over; never fails: without a thread it is run here. */
void workpool_submit(struct workpool *pool, struct work *work);
/* Readable (POLLIN) when workpool_service has something to do. */
int workpool_fd(const struct workpool *pool);
/* Calls done() of all that has been run. On the owner's thread. */
void workpool_service(struct workpool *pool);

#endif
