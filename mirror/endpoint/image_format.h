/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_IMAGE_FORMAT_H
#define THINMIRROR_IMAGE_FORMAT_H

/* Files that hold a disk in another form than block by block: images of virtual machines, and what
 * was compressed. Taken for raw, such a file would be copied as it is to a LUN that nothing can
 * read then, or a disk would be written over it. */

#include <stddef.h>
#include <stdint.h>

struct image_format {
    const char *name; /* "a qcow2 image" */
    /* What qemu-nbd calls it; NULL: it has to be unpacked, by the command that unpack begins. */
    const char *qemu;
    const char *unpack; /* "zstd -dc"; NULL with qemu NULL: no program is known */
};

/* What the open file of that many bytes holds, by its header as a whole, not by its first bytes
 * only; NULL when it is none of these, has a partition table besides, or cannot be read. */
const struct image_format *image_format_of(int fd, uint64_t bytes);

/* How it is made readable as a disk, as the end of a sentence, in to; returns to. path: as the user
 * named it. */
const char *image_format_advice(const struct image_format *format, const char *path, char *to,
                                size_t size);

#endif
