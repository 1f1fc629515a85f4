/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LOOP_DEVICE_H
#define THINMIRROR_LOOP_DEVICE_H

/* A block device, read-only for every opener, over a part of a file or of another device. */

#include <stdint.h>

#define LOOP_DEVICE_PATH_BYTES 32

/* Makes /dev/loopN over [start, start + bytes) of the file, and opens it. It goes away with the
 * last descriptor. *ret_fd is the caller's to close. -errno: -EACCES or -EPERM where only root
 * may. */
int loop_device_open(const char *file, uint64_t start, uint64_t bytes, int *ret_fd,
                     char ret_path[static LOOP_DEVICE_PATH_BYTES]);

#endif
