/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SOLE_WRITER_H
#define THINMIRROR_SOLE_WRITER_H

/* One sync at a time to one secondary. Files and device nodes have locks of their own; a LUN that
 * is reached over the network has none, and a sync that is started while the last one still runs
 * would be overtaken by what that one has read before. So a file named after the LUN's identity is
 * locked on this machine, whatever network namespace a sync runs in and wherever its ledger is. The
 * kernel gives the lock back when the process ends, however it ends.
 *
 * The superuser's are in /run/thinmirror, where no one else can make or lock a file. Those of other
 * users are in thinmirror/ in $XDG_RUNTIME_DIR, or in /tmp/thinmirror-UID. A user is kept from a
 * LUN that the superuser copies to; the superuser is not kept from one by a user, who could
 * otherwise hold up any copy of this machine. */

#include <stdbool.h>
#include <stddef.h>

#include "errmsg.h"

/* The descriptor that holds the lock, to be closed; -1 when there is none to be had: no identity,
 * or no place for it (/run cannot be written to). -EBUSY with a sentence when another sync has it;
 * -EPERM with a sentence when the folder belongs to someone else, or others can write to it. */
int sole_writer_take(const char *identity, const char *shown, int *ret_fd, struct errmsg *err);

/* Whether a sync has it, as far as it is seen, without touching it: then holder names that as
 * "process 123 (thinmirror)". */
bool sole_writer_find(const char *identity, char *holder, size_t size);

#endif
