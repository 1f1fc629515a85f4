/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_AUTH_FILE_H
#define THINMIRROR_AUTH_FILE_H

/* The file of CHAP secrets: lines of TARGET-IQN|* USER SECRET [TARGET-USER TARGET-SECRET], fields
 * separated by spaces and tabs. A line whose first character other than those is # is a comment,
 * and so is an empty line; a # anywhere else is a part of its field. */

#include <stddef.h>

#include "errmsg.h"

#define AUTH_FIELDS_MAX  5
#define AUTH_FIELD_BYTES 255 /* the longest user or secret: libiscsi cuts what is longer */
#define AUTH_ANY_TARGET  "*"

/* Takes the 3 or 5 fields of a line, which stay valid for the call only. -ENOMEM. */
typedef int auth_line_fn(void *opaque, char *const fields[], size_t count, unsigned line);

/* Calls take for each line with fields. No copy of what was read is left in memory. -EPERM only
 * when others than the user who runs this, or root, own the file or have access to it; -EIO and
 * -ENOMEM; anything else is the user's to mend: -ENOENT and the like, -EFBIG, -EINVAL names the
 * line that is not understood, and repeats nothing of it. */
int auth_file_read(const char *path, auth_line_fn *take, void *opaque, struct errmsg *err);

#endif
