/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ENDPOINT_KINDS_H
#define THINMIRROR_ENDPOINT_KINDS_H

/* What endpoint_open chooses from. */

#include "endpoint.h"

/* A regular file or a block device, by system calls. */
int endpoint_file_open(const char *path, unsigned flags, struct endpoint **ret, struct errmsg *err);

struct transport;

/* The logical unit at the other end of transport, which is taken over (also on failure). kind as
 * in endpoint_info. */
int endpoint_scsi_open(const char *name, const char *kind, struct transport *transport,
                       unsigned flags, struct endpoint **ret, struct errmsg *err);

/* For endpoint_ops.last_change: of a regular file. */
uint64_t endpoint_fd_last_change(int fd);

#endif
