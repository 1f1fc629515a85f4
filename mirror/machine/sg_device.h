/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SG_DEVICE_H
#define THINMIRROR_SG_DEVICE_H

/* What sysfs knows of a SCSI device node. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_DEVICE_NAME_BYTES 64

struct sg_device {
    char disk[SG_DEVICE_NAME_BYTES]; /* "sda": the block device of the same unit; empty: none */
    char target[256];                /* as in struct transport; empty when not by open-iscsi */
    uint64_t max_transfer_bytes;     /* of one SG_IO; 0: not known */
    bool comes_back; /* the kernel replaces a lost session by another one: iSCSI, Fibre Channel */
};

/* What open-iscsi's session says of the unit whose folder in sysfs is device (".../H:C:T:L",
 * without links), for sg_device.target; nothing when it did not come by one. */
void sg_device_target(const char *sysfs, const char *device, char *target, size_t size);

/* path: /dev/sdX or /dev/sgN. What is not known stays empty or 0. sysfs: "/sys". */
void sg_device_look_up(const char *sysfs, const char *path, struct sg_device *ret);

#endif
