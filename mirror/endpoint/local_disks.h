/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LOCAL_DISKS_H
#define THINMIRROR_LOCAL_DISKS_H

/* The SCSI disks of this machine and what they say of themselves, as sysfs has it. One LUN may be
 * here under several names at a time: as a disk, by another path as another one, below a partition
 * or a mapped device, and as iscsi://. What sysfs does not tell is not known. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "endpoint.h"

#define LOCAL_DISKS_MAX       64
#define LOCAL_DISK_NAME_BYTES 32

struct local_disk {
    dev_t device;
    char name[LOCAL_DISK_NAME_BYTES];       /* "sda" */
    char identity[ENDPOINT_IDENTITY_BYTES]; /* as in endpoint_info, never empty */
};

/* The first LOCAL_DISKS_MAX. */
struct local_disks {
    size_t count;
    struct local_disk items[LOCAL_DISKS_MAX];
};

/* Those that the block device is or lies on: as a partition, a mapped device, a RAID, or a loop
 * device over such or over a file on such. sysfs: "/sys". */
void local_disks_below(const char *sysfs, dev_t device, struct local_disks *ret);

/* Those whose identity may be this one's (endpoint_may_be_one). */
void local_disks_of(const char *sysfs, const char *identity, struct local_disks *ret);

/* Who uses one of those, but for the one of the name except ("": all of them): "is /dev/sdb here,
 * which is mounted on /mnt". False, and an empty text, when nobody is seen. */
bool local_disks_find_user(const struct local_disks *disks, const char *except, char *text,
                           size_t size);

#endif
