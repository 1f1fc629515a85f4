/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ENDPOINT_OPENING_H
#define THINMIRROR_ENDPOINT_OPENING_H

/* Opens several endpoints at the same time. To open a LUN takes half a dozen round trips, half of
 * them for the login. */

#include "endpoint.h"

#define ENDPOINT_OPENINGS_MAX ENDPOINT_SESSIONS_MAX

/* The arguments of endpoint_open_sessions, and what came of it. */
struct endpoint_opening {
    const char *name;
    unsigned flags;
    const struct auth_table *auth;
    unsigned sessions;

    struct endpoint *endpoint; /* the caller's; NULL when it could not be opened */
    int result;
    struct errmsg error;
};

/* 0 when all of them could be opened; otherwise the result of the first that could not, and those
 * that could are open all the same. -EINVAL: none, or more than ENDPOINT_OPENINGS_MAX. */
int endpoint_open_together(struct endpoint_opening openings[], size_t count);

#endif
