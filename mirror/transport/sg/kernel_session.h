/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_KERNEL_SESSION_H
#define THINMIRROR_KERNEL_SESSION_H

/* The connection of open-iscsi's session that a SCSI device node came by. The kernel replaces a
 * lost one by another under the same node, and when nothing was in flight this is not reported: not
 * every target raises a unit attention then, and not every unit attention reaches us. Each
 * connection has a port of its own on this machine, which sysfs shows. */

#include <stdbool.h>
#include <sys/stat.h>

struct kernel_session {
    int port_fd;   /* -1: not a node of open-iscsi's */
    char port[16]; /* empty: it had no connection yet */
};

/* node: the device node's, of a disk or a generic device; sysfs: "/sys". -errno: there is none
 * to watch, -ENOENT: the node did not come by one. */
int kernel_session_open(struct kernel_session *session, const char *sysfs, const struct stat *node);
/* Also of one that did not open. */
void kernel_session_close(struct kernel_session *session);

/* Whether the session has another connection than at the call before. While it has none, no. */
bool kernel_session_replaced(struct kernel_session *session);

#endif
