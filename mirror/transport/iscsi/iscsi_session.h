/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ISCSI_SESSION_H
#define THINMIRROR_ISCSI_SESSION_H

/* From a URL to a session in its full-feature phase, and a clean end of it. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "errmsg.h"
#include "iscsi_bursts.h"
#include "target_url.h"

struct iscsi_context;
struct iscsi_credentials;

/* A number of this process that no other session has. A session that logs in with the number of
 * one that was lost takes its place: the target ends the old one and all of its commands (RFC 7143
 * 6.3.5). */
unsigned session_new_number(void);

/* With a number of 24 bits: that of a session which is the same in every process. */
#define SESSION_FIXED           (1U << 31)
#define SESSION_FIXED_MASK      0xFFFFFFU
#define SESSION_FIXED_QUALIFIER 0xFFFF /* which no other session gets to */

struct iscsi_session {
    struct iscsi_context *context; /* in its full-feature phase */
    struct iscsi_bursts bursts;
    int lun; /* the first two bytes of the LUN field, which libiscsi leaves to its caller */
};

#define SESSION_STOP_LOOK_MS 200

/* shown: the URL for messages. credentials may be NULL. It ends early, with -EINTR, once *stop,
 * which another thread may set, is true: within SESSION_STOP_LOOK_MS, unless it hangs in looking up
 * a name, which nothing ends; stop may be NULL. The context is the caller's, who ends it with
 * iscsi_destroy_context. -EHOSTUNREACH (the host's name is not known, or no way to it),
 * -ECONNREFUSED, -ETIMEDOUT, -ENOKEY (it wants
 * CHAP, and there are no credentials), -EACCES (CHAP or access control), -EKEYREJECTED
 * (there are credentials, and it wants no CHAP), -ENOTSUP (it wants data digests), -ENODEV (no such
 * target), -EAGAIN (not served at the moment), ... */
int session_login(const char *shown, const struct target_url *url,
                  const struct iscsi_credentials *credentials, unsigned number,
                  const atomic_bool *stop, struct iscsi_session *ret, struct errmsg *err);

/* Tells the target goodbye and waits a moment for its answer. */
void session_logout(struct iscsi_context *context);

/* The name this initiator goes by: THINMIRROR_INITIATOR, else the one open-iscsi uses on this
 * machine (access lists know it) where its file can be read, else one made of the host name. */
void session_initiator_name(char *to, size_t size);

#endif
