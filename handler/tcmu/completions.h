/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCMU_COMPLETIONS_H
#define THINMIRROR_TCMU_COMPLETIONS_H

/* Completing the commands of one device on the ring it shares with the kernel, and waking the
 * kernel for them. A wake-up costs as much as a small command, so one is made for several, as long
 * as the next command lies on the ring already: it is taken right after, and completed here, too.
 *
 * A command is either served by the thread that took it off the ring, which completes it "here", or
 * handed to another thread: it is "held" until that thread completes it. Nothing is left untold
 * while all that is unfinished is held. */

#include <pthread.h>
#include <stddef.h>

struct tcmu_device;
struct tcmulib_cmd;

struct completions {
    pthread_mutex_t lock; /* guards the ring's responses and what follows; none is taken under it */
    struct tcmu_device *dev;
    void *ring;          /* the memory shared with the kernel; NULL: there is none */
    unsigned held;       /* commands that were handed over and are not complete */
    unsigned untold;     /* completed commands that the kernel was not woken for */
    size_t untold_bytes; /* what these moved */
};

/* dev must outlive it. */
void completions_init(struct completions *completions, struct tcmu_device *dev);

/* Wakes the kernel for what is left. No command may be under way. */
void completions_destroy(struct completions *completions);

/* The command just taken is about to be handed to another thread. */
void completions_hold(struct completions *completions);

/* Wakes the kernel for what it does not know of yet: before what may take long. */
void completions_tell(struct completions *completions);

/* The command is the runner's again, and gone. status: enum tcmu_status. reply_bytes: of its
 * Data-In; when that is less than what the initiator expects the kernel learns the residual; 0: all
 * of it. */
void completions_here(struct completions *completions, struct tcmulib_cmd *cmd, int status,
                      size_t reply_bytes);
void completions_held(struct completions *completions, struct tcmulib_cmd *cmd, int status,
                      size_t reply_bytes);

#endif
