/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCP_PROGRESS_H
#define THINMIRROR_TCP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* How many bytes the other side of a TCP connection has acknowledged so far. False: the kernel does
 * not tell (before Linux 4.1, or no TCP). */
bool tcp_acknowledged(int fd, uint64_t *ret);

#endif
