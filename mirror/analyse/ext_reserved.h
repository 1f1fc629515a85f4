/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_EXT_RESERVED_H
#define THINMIRROR_EXT_RESERVED_H

/* The inodes that a file system of ext2's family keeps for itself: bad blocks, the root folder, the
 * journal, quota files. They are few, so their blocks are known without reading all inodes. */

#include <ext2fs/ext2fs.h>

#include "claims.h"
#include "region.h"

/* Adds the blocks of the reserved inodes to ret, as block numbers, in any order. Those of the
 * resize inode are left out: they are the reserved descriptors. Refuses what makes no sense, among
 * it a reserved inode that the inode bitmap calls free. 0 or -errno. */
int ext_reserved_blocks(struct region *region, ext2_filsys fs, struct byte_ranges *ret);

#endif
