/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SOLE_WRITER_H
#define THINMIRROR_SOLE_WRITER_H

/* One sync at a time to one secondary. Files and device nodes have locks of their own; a LUN that
 * is reached over the network has none, and a sync that is started while the last one still runs
 * would be overtaken by what that one has read before. So a name made of the LUN's identity is
 * taken on this machine, whoever runs it and wherever its ledger is. The kernel gives it back when
 * the process ends, however it ends. */

#include "errmsg.h"

/* The descriptor that holds the name, to be closed; -1 when there is none to be had: no identity,
 * or no sockets. -EBUSY with a sentence when another sync has it. */
int sole_writer_take(const char *identity, const char *shown, int *ret_fd, struct errmsg *err);

#endif
