/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LOCAL_DISKS_H
#define THINMIRROR_LOCAL_DISKS_H

/* The SCSI disks of this machine and what they say of themselves, as sysfs has it. One LUN may be
 * here under several names at a time: as a disk, by another path as another one, below a partition
 * or a mapped device, and as iscsi://. What sysfs does not tell is not known. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "unit_identity.h"

#define LOCAL_DISKS_MAX       1024
#define LOCAL_DISK_NAME_BYTES 32

/* A disk, or the part of it that a partition is. */
struct local_disk {
    dev_t device;
    char name[LOCAL_DISK_NAME_BYTES];   /* "sda" */
    char identity[UNIT_IDENTITY_BYTES]; /* as in endpoint_info, never empty */
    uint64_t start, sectors;            /* in 512 bytes; UINT64_MAX when the size is not known */
};

struct local_disks {
    size_t count;
    struct local_disk items[LOCAL_DISKS_MAX];
    bool incomplete;  /* there are others, or parts of which nothing is known */
    uint64_t sectors; /* of what lies on them; 0: not known */
};

/* Those that the block device is or lies on: as a partition, a mapped device, a RAID, or a loop
 * device over such or over a file on such. A disk is there once for each part of it that is used:
 * what lies on a partition uses no more of the disk than that, where in the partition is not known.
 * sysfs: "/sys". */
void local_disks_below(const char *sysfs, dev_t device, struct local_disks *ret);

/* Those that the file lies on. */
void local_disks_below_file(const char *sysfs, const char *path, struct local_disks *ret);

/* Those whose identity may be this one's (unit_identity_may_be_one). */
void local_disks_of(const char *sysfs, const char *identity, struct local_disks *ret);

/* Whether what lies on those and what lies on these have, or may have, blocks of a LUN in common,
 * by whatever paths: *ret, of a, lies on it. What lies side by side in the same part of a disk, as
 * logical volumes and files do, is kept apart by its maker; not so what takes all of that
 * part. */
bool local_disks_share(const struct local_disks *a, const struct local_disks *b,
                       const struct local_disk **ret);

/* Who uses the disk or, when that is a part of it which is a partition here, the partition: "is
 * /dev/sdb here, which is mounted on /mnt". False, and an empty text, when no user is seen. */
bool local_disk_find_user(const char *sysfs, const struct local_disk *disk, char *text,
                          size_t size);

#endif
