/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ISCSI_LOGIN_H
#define THINMIRROR_ISCSI_LOGIN_H

/* A login on a thread of its own, as it may take its time: a name is looked up, portals take the
 * connection and say nothing. The caller does not wait, and is told by an event. */

#include <stdbool.h>

#include "iscsi_session.h"

struct iscsi_login;

/* Begins one. The arguments are those of session_login; what they point to is copied. -errno:
 * -ENOMEM, or what the system says that has no more threads or descriptors. */
int iscsi_login_begin(const char *shown, const struct target_url *url,
                      const struct iscsi_credentials *credentials, unsigned number,
                      struct iscsi_login **ret);

/* An event (event.h) that is there once it has ended. It is the login's. */
int iscsi_login_event(const struct iscsi_login *login);
bool iscsi_login_has_ended(struct iscsi_login *login);

/* Of one that has ended: what session_login returned. The session is the caller's, who uses it on
 * whatever thread he likes. Frees the login. */
int iscsi_login_take(struct iscsi_login *login, struct iscsi_session *ret, struct errmsg *err);

/* Tells it to end, and doesn't wait for that. */
void iscsi_login_stop(struct iscsi_login *login);

/* Stops it and frees it with what has come of it. That takes SESSION_STOP_LOOK_MS at most; a login
 * that takes longer, as it hangs in looking up a name, is left to itself after a second, and frees
 * itself. Takes NULL. */
void iscsi_login_cancel(struct iscsi_login *login);

#endif
