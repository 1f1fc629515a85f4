/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_QUIET_THREAD_H
#define THINMIRROR_QUIET_THREAD_H

#include <pthread.h>

/* Starts a thread that gets no signals: they belong to the thread that starts it. 0, or -errno
 * of a system that has no more threads. */
int quiet_thread_start(pthread_t *ret, void *(*run)(void *opaque), void *opaque);

#endif
