/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_COPY_WAIT_H
#define THINMIRROR_COPY_WAIT_H

#include <stdbool.h>

#include "endpoint.h"

struct copy_side {
    struct endpoint *endpoint; /* NULL: no such side */
    bool busy;                 /* it has requests of ours in flight */
};

/* Waits until something happened on a side, at most delay_ms when that is not 0, and never so long
 * that a signal goes unnoticed. A side that is not busy is serviced too, so that its connection
 * stays alive; not when draining, where a side may be dead. Returns at once when draining and
 * nothing is busy, or when nothing is busy and there is no delay. 0, or -errno with a sentence: a
 * side is dead. A signal is no error. */
int copy_wait(const struct copy_side sides[2], bool draining, int delay_ms, struct errmsg *err);

#endif
