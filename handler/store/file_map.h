/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_STORE_FILE_MAP_H
#define THINMIRROR_STORE_FILE_MAP_H

/* What the file system keeps for a file, as extents. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "extents.h"

struct file_map {
    int fd;
    uint32_t granularity_bytes;
    atomic_bool no_fiemap; /* found out: the file system does not list its extents */
};

/* fd is an open regular file, which stays the caller's. */
void file_map_init(struct file_map *map, int fd, uint32_t granularity_bytes);

/* As store_ops.extents. -EIO when the file ends before limit: someone has cut it short. */
int file_map_extents(struct file_map *map, uint64_t offset, uint64_t limit, struct extent *ret,
                     size_t room, size_t *ret_count);

#endif
