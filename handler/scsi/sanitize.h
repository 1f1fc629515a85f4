/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SANITIZE_H
#define THINMIRROR_SANITIZE_H

/* A logical unit's sanitize operation (SBC-4 4.11): none, one under way in a thread of its own, or
 * one that did not get to its end, perhaps in an earlier life of the LUN. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "volume_sanitize.h"

enum sanitize_state { SANITIZE_NONE, SANITIZE_RUNNING, SANITIZE_FAILED };

struct sanitize {
    _Atomic enum sanitize_state state; /* read by every command */
    atomic_uint progress;              /* of VOLUME_PROGRESS_ALL */
    atomic_bool stop;                  /* the LUN closes */
    /* Guards what follows, and every change of the state. Not held while the operation runs. */
    pthread_mutex_t lock;
    pthread_cond_t ended; /* the state is no longer SANITIZE_RUNNING */
    pthread_t thread;
    bool has_thread; /* to be joined */
    struct volume_sanitize_plan plan;
};

#endif
