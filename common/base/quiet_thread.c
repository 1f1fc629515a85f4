/* SPDX-License-Identifier: Apache-2.0 */
#include "quiet_thread.h"

#include <signal.h>

int quiet_thread_start(pthread_t *ret, void *(*run)(void *opaque), void *opaque)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(ret, NULL, run, opaque);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}
