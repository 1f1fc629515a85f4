/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_STORE_FILE_PROBE_H
#define THINMIRROR_STORE_FILE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "errmsg.h"
#include "file_place.h"

/* Whether the file system can punch holes in the file and reports them, found out without changing
 * a byte of the file, which lies at place and is open as fd (path is for messages): once for each
 * file system, on an unnamed file beside it where one can be made, so that the file's own extents
 * are not looked at. granularity_bytes: the file system's block. all_hole: the file is known to
 * have no data yet. -EOPNOTSUPP with a sentence when it cannot. Where it cannot be found out
 * whether holes are reported (no hole in the file, and no room beside it to try) it is taken to be
 * so: a hole that is not reported counts as mapped, which is safe. */
int file_probe_holes(int fd, const struct file_place *place, const char *path,
                     uint32_t granularity_bytes, bool all_hole, struct errmsg *err);

/* Whether the file system can reserve storage in the file at place (open as fd) for later writes,
 * and tell what is reserved and not written. It is tried on an unnamed file beside it; where that
 * cannot be made, for want of room or of the right to, the answer is no. */
bool file_probe_anchor(int fd, const struct file_place *place, uint32_t granularity_bytes);

#endif
