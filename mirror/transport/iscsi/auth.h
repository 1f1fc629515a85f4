/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_AUTH_H
#define THINMIRROR_AUTH_H

/* CHAP secrets, never on a command line: from a file (auth_file.h), or the environment variables
 * THINMIRROR_CHAP_USER, THINMIRROR_CHAP_SECRET, THINMIRROR_CHAP_TARGET_USER and
 * THINMIRROR_CHAP_TARGET_SECRET for every target. */

#include <stdbool.h>

#include "errmsg.h"

struct auth_table;

struct iscsi_credentials {
    const char *user;
    const char *secret;
    const char *target_user; /* NULL: no mutual CHAP */
    const char *target_secret;
    bool optional; /* a target that wants no CHAP is logged in to all the same */
};

/* A copy that outlives the table; NULL of NULL. -ENOMEM. */
int iscsi_credentials_copy(const struct iscsi_credentials *from, struct iscsi_credentials **ret);
/* Of a copy. Takes NULL. */
void iscsi_credentials_free(struct iscsi_credentials *copy);

/* path NULL: the environment only; it has to stay as long as the table. The variables are gone from
 * the environment afterwards. Besides what auth_file_read returns, -EINVAL: half of what the
 * environment needs; two entries for one target and user; a secret that is used by a user and by a
 * target. */
int auth_table_load(const char *path, struct auth_table **ret, struct errmsg *err);
void auth_table_free(struct auth_table *table);

/* All of its credentials become optional. */
void auth_table_make_optional(struct auth_table *table);

/* The file it was loaded from; NULL: none, or no table. */
const char *auth_table_file(const struct auth_table *table);

/* The entry for this target, an exact match before *; NULL when there is none. user: from the URL,
 * or NULL; when given, only an entry of that user fits. Owned by the table. */
const struct iscsi_credentials *auth_table_find(const struct auth_table *table, const char *iqn,
                                                const char *user);

#endif
