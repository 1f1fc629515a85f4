/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TARGET_URL_H
#define THINMIRROR_TARGET_URL_H

/* iscsi://[user@]host[:port][,host[:port]]... /target-iqn/lun (no space), with an IPv6 address in
 * brackets. More than one portal: they are tried in turn. A number behind a comma is the tag of a
 * portal group, as iscsiadm writes it (host:port,1), and says nothing here. */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "errmsg.h"

#define TARGET_URL_SCHEME  "iscsi:"
#define TARGET_URL_PREFIX  "iscsi://"
#define ISCSI_HOST_BYTES   256
#define ISCSI_PORT_BYTES   6
#define ISCSI_NAME_BYTES   224 /* an iSCSI name has at most 223 bytes (RFC 7143 4.2.7.1) */
#define ISCSI_USER_BYTES   256
#define ISCSI_LUN_MAX      16383 /* what 14 bits of flat space addressing hold (SAM-5 4.7.7.3) */

#define TARGET_PORTALS_MAX 8

struct target_portal {
    char host[ISCSI_HOST_BYTES]; /* without brackets */
    char port[ISCSI_PORT_BYTES];
};

struct target_url {
    char user[ISCSI_USER_BYTES]; /* empty: none given */
    struct target_portal portals[TARGET_PORTALS_MAX];
    unsigned portal_count; /* at least 1 */
    char target[ISCSI_NAME_BYTES];
    unsigned lun;
};

/* Also of one that cannot be parsed: what begins with the scheme, in whatever case (RFC 3986 3.1),
 * is no file's name. */
static inline bool target_url_is(const char *name)
{
    return strncasecmp(name, TARGET_URL_SCHEME, strlen(TARGET_URL_SCHEME)) == 0;
}

/* What to say of a name that no file has and that looks as if it was meant for a LUN of a target;
 * NULL when it does not. */
const char *target_url_advice(const char *name);

/* -EINVAL with a sentence that says what is wrong and never repeats a secret: a URL that holds one
 * (user%secret@ or user:secret@) is refused. */
int target_url_parse(const char *text, struct target_url *ret, struct errmsg *err);

/* The URL without anything that might be a secret: what stands between the first % or : of the
 * user part and the @ is left out. Written to to, cut at size. */
void target_url_without_secret(const char *text, char *to, size_t size);

#endif
