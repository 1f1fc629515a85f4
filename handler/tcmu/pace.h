/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_PACE_H
#define THINMIRROR_PACE_H

/* Whether commands that may or may not wait for the disk (a write that memory takes, until it has
 * to wait for room) are worth trying on the thread that takes all commands of a device. Nobody can
 * tell beforehand, so it goes by the last ones: while they were quick the next is tried too; when
 * several were slow, none is for a while, and then one at a time.
 *
 * Pure: who uses it brings the time. It is meant for one thread; where there are more, each may see
 * the others' last word late, which only makes it try a few more or fewer. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pace {
    _Atomic int slowness; /* rises with every slow command, falls with every quick one */
    _Atomic uint64_t careful_until_ms;
};

/* How long nothing is tried once too much was slow. */
#define PACE_CAREFUL_MS 100

/* Whether to try one now. */
bool pace_try(const struct pace *pace, uint64_t now_ms);

/* One of bytes was tried, from begun_ms to now_ms. The clock may tick in steps of several
 * milliseconds. */
void pace_tried(struct pace *pace, size_t bytes, uint64_t begun_ms, uint64_t now_ms);

#endif
