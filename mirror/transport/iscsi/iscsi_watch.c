/* SPDX-License-Identifier: Apache-2.0 */
#include "iscsi_watch.h"

#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "quiet_thread.h"

/* Guards what follows. Nothing blocks while it is held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct iscsi_watched *first; /* the calls that have not come back */
static bool started;

static double seconds_on(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void look(void)
{
    SCOPED_LOCK(&lock);
    for (const struct iscsi_watched *at = first; at; at = at->next)
        if (seconds_on(at->clock) - at->began > WATCH_SECONDS) {
            log_error("%s: what the target has sent (an R2T without end?) keeps libiscsi busy for "
                      "good; given up",
                      at->shown);
            _exit(WATCH_STATUS);
        }
}

static void *run(void *opaque)
{
    for (;;) {
        sleep(1);
        look();
    }
    return opaque;
}

void watch_begin(struct iscsi_watched *watched, const char *shown)
{
    pthread_t thread;

    watched->shown = shown;
    pthread_getcpuclockid(pthread_self(), &watched->clock);
    watched->began = seconds_on(watched->clock);
    SCOPED_LOCK(&lock);
    if (!started && quiet_thread_start(&thread, run, NULL) == 0) {
        pthread_detach(thread);
        started = true;
    }
    watched->next = first;
    first = watched;
}

void watch_end(struct iscsi_watched *watched)
{
    struct iscsi_watched **at = &first;

    SCOPED_LOCK(&lock);
    while (*at != watched)
        at = &(*at)->next;
    *at = watched->next;
}
