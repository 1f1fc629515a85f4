/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_PACE_H
#define THINMIRROR_PACE_H

/* Whether commands that may or may not wait for the disk (a write that memory takes, until it has
 * to wait for room) are worth trying on the thread that takes all commands of a device. It cannot
 * tell beforehand, so it goes by the last ones: while they were quick the next is tried too; when
 * several were slow, none is for a while, and then one at a time.
 *
 * A thread can also be slow without waiting: the processor was another's, or is slow itself. Giving
 * the command to another thread would not help then. So after a slow one the next ones are watched:
 * only those in which the thread slept count.
 *
 * Pure: who uses it brings the time. It is meant for one thread; where there are more, each may see
 * the others' last word late, which only makes it try a few more or fewer. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pace {
    _Atomic int slowness; /* rises with every slow command, falls with every quick one */
    _Atomic int watching; /* how many more commands are watched */
    _Atomic uint64_t careful_until_ms;
};

/* Whether the thread slept while it served a command. */
enum pace_sleep {
    PACE_NOT_WATCHED,
    PACE_NEVER_SLEPT,
    PACE_SLEPT,
};

/* How long nothing is tried once too much was slow. */
#define PACE_CAREFUL_MS 100

/* Whether to try one now. */
bool pace_try(const struct pace *pace, uint64_t now_ms);

/* Whether it wants to know of the next one if the thread sleeps. */
bool pace_watches(const struct pace *pace);

/* One of bytes was tried, from begun_ms to now_ms. The clock may tick in steps of several
 * milliseconds. */
void pace_tried(struct pace *pace, size_t bytes, uint64_t begun_ms, uint64_t now_ms,
                enum pace_sleep sleep);

#endif
