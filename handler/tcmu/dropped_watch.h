/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCMU_DROPPED_WATCH_H
#define THINMIRROR_TCMU_DROPPED_WATCH_H

/* One thread for all devices that looks, once a second, for commands that libtcmu has dropped and
 * that no other command follows (completions.h). It lives while there are devices. */

struct completions;

/* The thread is not vital: without it such a command is answered when another one follows. */
void dropped_watch_add(struct completions *completions);
/* Nothing looks at it any more when this returns. */
void dropped_watch_remove(struct completions *completions);

#endif
