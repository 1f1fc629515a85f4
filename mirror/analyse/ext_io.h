/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_EXT_IO_H
#define THINMIRROR_EXT_IO_H

/* Lets libext2fs read a region. */

#include <ext2fs/ext2fs.h>

#include "region.h"

struct ext_io {
    struct region *region;
    int error; /* -errno of the first read that failed */
};

/* Opens the file system of the region for reading; io stays at its address until ext2fs_close_free.
 * 0, or libext2fs's error. */
errcode_t ext_io_open(struct ext_io *io, struct region *region, ext2_filsys *ret);

#endif
