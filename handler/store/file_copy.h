/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_STORE_FILE_COPY_H
#define THINMIRROR_STORE_FILE_COPY_H

#include <stdint.h>

/* Has the kernel copy bytes from one file to another, or within one where the two ranges don't
 * overlap, so that they don't pass through this program. -EOPNOTSUPP: not between these two; also
 * where the file system might let them share the storage (a reflink), because what is mapped must
 * have its own. After a failure any part of it may have been done. */
int file_copy(int to_fd, uint64_t to_offset, int from_fd, uint64_t from_offset, uint64_t length);

#endif
