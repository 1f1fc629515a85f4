/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ISCSI_RELOGIN_H
#define THINMIRROR_ISCSI_RELOGIN_H

/* Gets a session back: one login after another, each on a thread of its own (iscsi_login.h), and
 * longer and longer waits between them. Nothing here blocks but relogin_run. */

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "iscsi_login.h"

struct iscsi_relogin {
    /* What a session is made of, see session_login; the caller's, who sets number anew when no
     * login is tried. */
    const char *shown;
    struct target_url url;
    const struct iscsi_credentials *credentials;
    unsigned number;

    struct iscsi_login *login; /* that is being tried; NULL: none is */
    uint64_t next_ms;          /* when the next one is due */
    unsigned wait_ms;          /* what that was made of; 0: at once */
    struct errmsg told;        /* why the last one failed */
};

/* A session is gone: the first login is due in a moment, or at once. */
void relogin_soon(struct iscsi_relogin *relogin);
void relogin_now(struct iscsi_relogin *relogin);

/* No login is tried, and it is time to begin one. */
bool relogin_is_due(const struct iscsi_relogin *relogin);

/* What to wait for, as transport_ops.poll; a fifth of a second at most, after which the caller
 * looks whether to go on. */
int relogin_poll(const struct iscsi_relogin *relogin, struct pollfd *ret);

/* Begins the login that is due, and looks whether one has ended. 0: *ret is the session, and the
 * caller's. -EINPROGRESS: not yet. Any other -errno: one has failed just now, of which a warning
 * tells, once however often it is tried; the next one is due in a while. */
int relogin_serve(struct iscsi_relogin *relogin, struct iscsi_session *ret);

/* Tries one login and waits for it. 0 or -errno as relogin_serve, or -EINTR once *stop is set;
 * stop may be NULL. */
int relogin_run(struct iscsi_relogin *relogin, const atomic_bool *stop, struct iscsi_session *ret);

/* Tells a login that is tried to end, and doesn't wait for it. */
void relogin_stop(struct iscsi_relogin *relogin);

/* Ends it for good: iscsi_login_cancel. */
void relogin_cancel(struct iscsi_relogin *relogin);

#endif
