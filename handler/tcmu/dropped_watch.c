/* SPDX-License-Identifier: Apache-2.0 */
#include "dropped_watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "completions.h"
#include "log.h"

/* lock guards all of it; held while one device is looked at, before that device's own. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    pthread_t thread;
    bool runs;
    struct completions *first;
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER, .stopped = PTHREAD_COND_INITIALIZER};

static void *run(void *nothing)
{
    SCOPED_LOCK(&watch.lock);

    while (watch.first) {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&watch.stopped, &watch.lock, &until);
        for (struct completions *at = watch.first; at; at = at->watched_next)
            completions_refuse_dropped(at);
    }
    return nothing;
}

/* The runner's signals are for its main thread. */
static void start(void)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    error = pthread_create(&watch.thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    watch.runs = error == 0;
    if (error)
        log_warning("vendor-specific commands may time out: no thread: %s", strerror(error));
}

void dropped_watch_add(struct completions *completions)
{
    SCOPED_LOCK(&watch.lock);

    completions->watched_next = watch.first;
    watch.first = completions;
    if (!watch.runs)
        start();
}

/* The thread to wait for, when it has nothing to do any more. */
static bool take_out(struct completions *completions, pthread_t *ret_thread)
{
    SCOPED_LOCK(&watch.lock);

    for (struct completions **at = &watch.first; *at; at = &(*at)->watched_next) {
        if (*at == completions) {
            *at = completions->watched_next;
            break;
        }
    }
    if (watch.first || !watch.runs)
        return false;
    watch.runs = false;
    *ret_thread = watch.thread;
    pthread_cond_broadcast(&watch.stopped);
    return true;
}

void dropped_watch_remove(struct completions *completions)
{
    pthread_t thread;

    if (take_out(completions, &thread))
        pthread_join(thread, NULL);
}
