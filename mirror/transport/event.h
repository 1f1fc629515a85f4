/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_EVENT_H
#define THINMIRROR_EVENT_H

/* A descriptor that one thread makes readable (POLLIN) for another. */

/* -errno; the caller closes it. */
int event_open(void);
void event_raise(int event);
/* Not readable any more; nothing happens when it is not. */
void event_drain(int event);

#endif
