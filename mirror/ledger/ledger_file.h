/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LEDGER_FILE_H
#define THINMIRROR_LEDGER_FILE_H

/* Where ledgers are kept, and how they get there. */

#include <limits.h>
#include <stdbool.h>

#include "errmsg.h"
#include "ledger.h"

/* The folder of the ledgers: /var/lib/thinmirror for root, otherwise thinmirror/ in $XDG_STATE_HOME
 * or ~/.local/state. -ENOENT with a sentence when there is no home, -ENAMETOOLONG. */
int ledger_default_folder(char ret[static PATH_MAX], struct errmsg *err);

/* The default place for the ledger of the secondary of this identity. Errors as above. */
int ledger_default_path(const char *identity, char ret[static PATH_MAX], struct errmsg *err);

/* Fills ret, which ledger_free empties. -ENOENT: there is none. -EINVAL with a sentence: it is no
 * ledger. */
int ledger_file_read(const char *path, struct ledger *ret, struct errmsg *err);

/* Replaces the file at once (a crash leaves the old one or the new one) and durably. make_folders:
 * missing folders are made. -errno with a sentence. */
int ledger_file_write(const char *path, const struct ledger *ledger, bool make_folders,
                      struct errmsg *err);

/* Removes the file, durably; there may be none. -errno with a sentence. */
int ledger_file_remove(const char *path, struct errmsg *err);

/* The path from the root of the file system, with the last component as it is: where the folder is
 * reached through links, without them. -errno when the folder is not there. */
int ledger_file_absolute(const char *path, char ret[static PATH_MAX]);

/* The name of a side as a ledger keeps it: a path (also behind "thin:") from the root of the file
 * system, so that it means the same from any folder. Others, and what does not fit, stay. */
void ledger_side_full_name(const char *name, char ret[static LEDGER_NAME_BYTES]);

#endif
