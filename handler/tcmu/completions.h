/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCMU_COMPLETIONS_H
#define THINMIRROR_TCMU_COMPLETIONS_H

/* Completing the commands of one device on the ring it shares with the kernel, and waking the
 * kernel for them. A wake-up costs as much as a small command, so one is made for several, as long
 * as the next command lies on the ring already: it is taken right after, and completed here, too.
 *
 * A command is either served by the thread that took it off the ring, which completes it "here", or
 * handed to another thread: it is "held" until that thread completes it. Nothing is left untold
 * while no further command lies on the ring that will be taken off it.
 *
 * Commands that libtcmu drops (ring.h) end with INVALID COMMAND OPERATION CODE, 5/20/00, when
 * libtcmu is known to have passed over them: when it has handed out a command behind them, or
 * within a second (dropped_watch.h). Left on the ring they would take its room for good, and a
 * device could not be removed: the runner waits for its ring to be empty. */

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct tcmu_device;
struct tcmulib_cmd;

struct completions {
    pthread_mutex_t lock; /* guards the ring's responses and what follows; none is taken under it */
    struct tcmu_device *dev;
    void *ring;                       /* the memory shared with the kernel; NULL: there is none */
    uint32_t taken;                   /* how far commands have been taken off the ring */
    unsigned untold;                  /* completed commands that the kernel was not woken for */
    size_t untold_bytes;              /* what these moved */
    const uint32_t *reached;          /* libtcmu's own position on the ring; NULL: not known */
    struct completions *watched_next; /* dropped_watch.c's */
};

/* What a command can end with besides enum tcmu_status: RESERVATION CONFLICT, which libtcmu has no
 * word for. */
#define COMPLETION_RESERVATION_CONFLICT 0x100

/* dev must outlive it. */
void completions_init(struct completions *completions, struct tcmu_device *dev);

/* No command may be under way, and the kernel was told of all (completions_tell). */
void completions_destroy(struct completions *completions);

/* The command has just been taken off the ring; to be called for every one, in that order. */
void completions_took(struct completions *completions, const struct tcmulib_cmd *cmd);

/* Answers the commands that libtcmu is known to have dropped since the last one was taken. */
void completions_refuse_dropped(struct completions *completions);

/* Wakes the kernel for what it does not know of yet: before what may take long, and before a
 * command is handed to another thread. */
void completions_tell(struct completions *completions);

/* The command is the runner's again, and gone. status: enum tcmu_status, or as above. reply_bytes:
 * of its Data-In; when that is less than what the initiator expects the kernel learns the residual;
 * 0: all of it. */
void completions_here(struct completions *completions, struct tcmulib_cmd *cmd, int status,
                      size_t reply_bytes);
/* The same of a command that was answered by another thread than the one that took it: the kernel
 * is woken at once. */
void completions_held(struct completions *completions, struct tcmulib_cmd *cmd, int status,
                      size_t reply_bytes);

#endif
