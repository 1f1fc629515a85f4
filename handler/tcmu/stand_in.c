/* SPDX-License-Identifier: Apache-2.0 */

/* Whose the ring is, is one number for each device: how often something was begun, times 4, and
 * below that who has it. The number differs for each time, so that a reader that finds the same one
 * twice has found one command, and only one of the two threads can change it from there. */

#include "stand_in.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "cleanup.h"
#include "quiet_thread.h"
#include "tcmur_abi.h"

enum whose {
    WHOSE_RUNNERS = 0, /* its thread takes commands */
    WHOSE_FREE = 1,    /* its thread is inside a command */
    WHOSE_STAND_INS = 2,
};

#define WHOSE_STEP 4

/* How often one that stands in looks whether the runner's thread is back. */
#define LOOK_EVERY_MS 10

/* The watching thread ends when nothing was begun for this number of looks. */
#define IDLE_LOOKS 100

struct stand_in {
    struct tcmu_device *dev;
    void (*serve)(void *context, struct tcmulib_cmd *cmd);
    void *context;
    _Atomic uint64_t state;
    uint64_t begun;      /* the runner's thread's: its number of the last time */
    atomic_bool go_back; /* the runner's thread wants the ring */

    /* watch.lock guards these */
    struct stand_in *next;
    uint64_t seen; /* at the last look */
    pthread_t thread;
};

static struct {
    pthread_mutex_t lock; /* guards all of it; held while a device's thread is started */
    pthread_cond_t changed;
    struct stand_in *first;
    unsigned idle_looks;
    atomic_bool runs; /* the thread watches; may be read without the lock */
    bool joinable;    /* there is a thread to be joined, which runs or has ended */
    pthread_t thread;
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *take_commands(void *opaque)
{
    struct stand_in *stand_in = opaque;
    struct pollfd ring = {.fd = tcmu_dev_get_fd(stand_in->dev), .events = POLLIN};

    stand_in->serve(stand_in->context, NULL);
    while (!stand_in->go_back) {
        struct tcmulib_cmd *cmd =
            tcmulib_get_next_command(stand_in->dev, (int)sizeof(struct tcmur_cmd));

        if (cmd)
            stand_in->serve(stand_in->context, cmd);
        else if (poll(&ring, 1, LOOK_EVERY_MS) > 0)
            tcmulib_processing_start(stand_in->dev);
    }
    return NULL;
}

/* With the lock held. */
static void look_at(struct stand_in *stand_in)
{
    uint64_t state = atomic_load(&stand_in->state);

    if (state != stand_in->seen)
        watch.idle_looks = 0;
    if (state == stand_in->seen && state % WHOSE_STEP == WHOSE_FREE) {
        watch.idle_looks = 0;
        if (!atomic_compare_exchange_strong(&stand_in->state, &state, state + 1))
            return;
        stand_in->go_back = false;
        if (quiet_thread_start(&stand_in->thread, take_commands, stand_in) != 0)
            atomic_store(&stand_in->state, state); /* another try at the next look */
    }
    stand_in->seen = state;
}

/* Says that the watch has ended, unless something has just begun in the belief that it
 * goes on. */
static bool end_watching(void)
{
    watch.runs = false;
    for (struct stand_in *at = watch.first; at; at = at->next)
        if (atomic_load(&at->state) != at->seen)
            watch.runs = true;
    watch.idle_looks = 0;
    return !watch.runs;
}

static void *look_again_and_again(void *nothing)
{
    SCOPED_LOCK(&watch.lock);

    while (watch.first) {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += STAND_IN_AFTER_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&watch.changed, &watch.lock, &until);
        watch.idle_looks++;
        for (struct stand_in *at = watch.first; at; at = at->next)
            look_at(at);
        if (watch.idle_looks >= IDLE_LOOKS && end_watching())
            break;
    }
    return nothing;
}

/* Without a thread nothing stands in. */
static void start_watching(void)
{
    SCOPED_LOCK(&watch.lock);

    if (watch.runs)
        return;
    if (watch.joinable)
        pthread_join(watch.thread, NULL);
    watch.idle_looks = 0;
    watch.joinable = quiet_thread_start(&watch.thread, look_again_and_again, NULL) == 0;
    watch.runs = watch.joinable;
}

int stand_in_create(struct tcmu_device *dev, void (*serve)(void *context, struct tcmulib_cmd *cmd),
                    void *context, struct stand_in **ret)
{
    struct stand_in *stand_in = calloc(1, sizeof(*stand_in));
    SCOPED_LOCK(&watch.lock);

    if (!stand_in)
        return -ENOMEM;
    stand_in->dev = dev;
    stand_in->serve = serve;
    stand_in->context = context;
    stand_in->next = watch.first;
    watch.first = stand_in;
    *ret = stand_in;
    return 0;
}

void stand_in_begin(struct stand_in *stand_in)
{
    stand_in->begun += WHOSE_STEP;
    atomic_store(&stand_in->state, stand_in->begun + WHOSE_FREE);
    if (!watch.runs)
        start_watching();
}

/* Whether a thread stands in, which then ends. */
static bool call_back(struct stand_in *stand_in)
{
    SCOPED_LOCK(&watch.lock);
    /* Otherwise there was none to start. */
    bool stands_in = atomic_load(&stand_in->state) == stand_in->begun + WHOSE_STAND_INS;

    stand_in->go_back = true;
    atomic_store(&stand_in->state, stand_in->begun);
    return stands_in;
}

void stand_in_end(struct stand_in *stand_in)
{
    uint64_t expected = stand_in->begun + WHOSE_FREE;

    if (!atomic_compare_exchange_strong(&stand_in->state, &expected, stand_in->begun) &&
        call_back(stand_in))
        pthread_join(stand_in->thread, NULL);
}

/* Whether the watching thread is to be joined: there is nothing left to watch. */
static bool take_out(struct stand_in *stand_in, pthread_t *ret_thread)
{
    SCOPED_LOCK(&watch.lock);

    for (struct stand_in **at = &watch.first; *at; at = &(*at)->next) {
        if (*at == stand_in) {
            *at = stand_in->next;
            break;
        }
    }
    if (watch.first || !watch.joinable)
        return false;
    watch.runs = false;
    watch.joinable = false;
    *ret_thread = watch.thread;
    pthread_cond_broadcast(&watch.changed);
    return true;
}

void stand_in_free(struct stand_in *stand_in)
{
    pthread_t thread;

    if (stand_in && take_out(stand_in, &thread))
        pthread_join(thread, NULL);
    free(stand_in);
}
