/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ERROR_COUNT_H
#define THINMIRROR_ERROR_COUNT_H

/* The kernel's counts of commands to a SCSI device that did not end with GOOD, or not in time
 * (ioerr_cnt and iotmo_cnt in sysfs). The kernel deals with many of them by itself, unit attentions
 * before all, and readers and writers of blocks are never told: these counts tell that there was
 * something. They are raised before the kernel tries again, so they are up to date when the blocks
 * have been moved. */

#include <stdbool.h>
#include <stdint.h>

struct error_count {
    int errors_fd, timeouts_fd; /* -1: there is none */
    uint32_t known;             /* the sum */
};

/* block_fd: the disk, not a partition of it; sysfs: "/sys". -errno when errors are not counted;
 * older kernels do not count timeouts. */
int error_count_open(struct error_count *count, const char *sysfs, int block_fd);
/* Also with both -1. */
void error_count_close(struct error_count *count);

/* One of the count is told by another way. */
void error_count_expect(struct error_count *count);

/* Whether there was one that was not expected since the call before. True when it can't be read. */
bool error_count_moved(struct error_count *count);

#endif
