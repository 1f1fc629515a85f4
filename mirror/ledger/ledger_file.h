/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LEDGER_FILE_H
#define THINMIRROR_LEDGER_FILE_H

/* Where ledgers are kept, and how they get there. */

#include <limits.h>
#include <stdbool.h>

#include "errmsg.h"
#include "ledger.h"

/* The default place for the ledger of the secondary of this identity: /var/lib/thinmirror for root,
 * otherwise thinmirror/ in $XDG_STATE_HOME or ~/.local/state. -ENOENT with a sentence when there is
 * no home, -ENAMETOOLONG. */
int ledger_default_path(const char *identity, char ret[static PATH_MAX], struct errmsg *err);

/* Fills ret, which ledger_free empties. -ENOENT: there is none. -EINVAL with a sentence: it is no
 * ledger. */
int ledger_file_read(const char *path, struct ledger *ret, struct errmsg *err);

/* Replaces the file at once (a crash leaves the old one or the new one) and durably. make_folders:
 * missing folders are made. -errno with a sentence. */
int ledger_file_write(const char *path, const struct ledger *ledger, bool make_folders,
                      struct errmsg *err);

#endif
