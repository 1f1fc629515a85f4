/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ENDPOINT_SESSIONS_H
#define THINMIRROR_ENDPOINT_SESSIONS_H

/* Several endpoints of one LUN, used as one: each has a thread of its own, which alone touches it.
 */

#include "endpoint.h"

/* Takes the endpoints over, also on failure; the first of 1 is given back as it is. Transfers go to
 * the one with the least in flight, zeroing and the map to the first, a flush to all of them, as
 * each knows of the writes only that it lost itself. -ENODEV with a sentence when they are not the
 * same LUN, -ENOMEM, or what the system says that has no more threads. */
int endpoint_sessions_join(struct endpoint *const endpoints[], unsigned count,
                           struct endpoint **ret, struct errmsg *err);

#endif
