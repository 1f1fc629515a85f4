/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_DEVICE_H
#define THINMIRROR_DEVICE_H

/* What Linux says of a device node or a file, in sysfs and procfs. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "errmsg.h"

enum device_kind {
    DEVICE_NONE,         /* no device node: a file, a directory, or nothing at all */
    DEVICE_SCSI_DISK,    /* /dev/sdX, whole */
    DEVICE_SCSI_GENERIC, /* /dev/sgN */
    DEVICE_BLOCK,        /* any other block device, partitions included */
    DEVICE_OTHER,
};

/* Follows symbolic links. */
enum device_kind device_kind_of(const char *path);

/* A number from sysfs, "queue/discard_max_bytes", of the block device, or of the disk it is a
 * partition of; 0 when the kernel does not tell. */
unsigned long long device_number(dev_t device, const char *attribute);

/* "block.7.0.BOOT.SEQUENCE": the same for one attached device as long as this machine runs. Device
 * numbers alone are used again, the disk sequence number is not. */
void device_identity(dev_t device, char *text, size_t size);

/* Whether the two are one device or file, or what is written to upper ends up in lower: upper is a
 * partition, a loop device or a mapped device over it, at any depth. */
bool device_lies_on(const struct stat *upper, const struct stat *lower);

/* The block device that the file's file system was mounted from; 0 when there is none, or it is not
 * known. */
dev_t device_of_file(const char *path);

/* Whether the kernel holds the open block device read-only (blockdev --setro), which does not keep
 * SCSI commands from writing to it. -EROFS with a sentence about what the user named; else 0. */
int device_check_writable(int fd, const char *shown, struct errmsg *err);

/* Who uses the block device, one of its partitions or the disk it is a partition of: "is mounted on
 * /mnt", "is held by dm-0 (vg-root), which is mounted on /srv", "is used as swap", "is served by
 * the kernel's target (iblock_0/disk)", "is in use as /dev/loop0". Written to text; false, and an
 * empty text, when no user is seen. */
bool device_find_user(dev_t device, char *text, size_t size);

/* The same for a loop device over a file, a block device or a partition of it, which does not shut
 * out those who ask to have the lower one for themselves (O_EXCL). */
bool device_find_loop(const struct stat *lower, char *text, size_t size);

#endif
