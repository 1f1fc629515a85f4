/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCMU_KERNEL_TARGET_H
#define THINMIRROR_TCMU_KERNEL_TARGET_H

/* What the kernel's target (LIO) shows of a device in configfs. Everything is read anew at each
 * call, and nothing is changed. The texts are those of Linux 6.1 to 6.12
 * (drivers/target/target_core_configfs.c, target_core_pr.c, target_core_alua.c); what is not
 * understood is told as such. */

#include <stdbool.h>
#include <stddef.h>

#define KERNEL_TARGET_PATH_BYTES 768
/* The kernel cuts what it shows at a page, without a sign. */
#define KERNEL_TARGET_TEXT_BYTES 4096

struct kernel_device {
    char root[256];
    char folder[KERNEL_TARGET_PATH_BYTES]; /* root/core/user_N/NAME */
};

/* uio_name: what the device's name in /sys/class/uio says, tcm-user/N/NAME/CFGSTRING. -EINVAL when
 * that is not what it says, -ENAMETOOLONG. */
int kernel_device_init(struct kernel_device *device, const char *root, const char *uio_name);

/* The text of the file folder/name, without its last line end, NUL-terminated. -errno; -EOVERFLOW
 * when it may have been cut. A NUL between lines, which LIO writes, becomes a space. */
int kernel_text(const char *folder, const char *name, char to[static KERNEL_TARGET_TEXT_BYTES]);

/* The number that is all of folder/name, 0 to INT_MAX; -errno. */
int kernel_number(const char *folder, const char *name);

/* One port that leads to the device: a LUN of a target portal group. */
struct kernel_port {
    char folder[KERNEL_TARGET_PATH_BYTES]; /* of the portal group, root/FABRIC/TARGET/tpgt_N */
    char lun[32];                          /* lun_N */
    char group[64];                        /* its target port group in the device's alua folder */
};

/* Calls visit for every port, until one returns other than 0: that, or 0. -errno when the ports
 * cannot be told; -ENOENT when there is none. */
int kernel_ports(const struct kernel_device *device,
                 int (*visit)(void *context, const struct kernel_port *port), void *context);

/* The name of each entry of a folder that begins so, until visit returns other than 0: that, or 0,
 * or -errno. */
int kernel_list(const char *folder, const char *prefix,
                int (*visit)(void *context, const char *folder, const char *name), void *context);

/* The folder in which the target writes persistent reservations down: -ENOENT, and its name, when
 * there is none. -errno when it is not known. */
int kernel_reservation_folder(const char *root, char to[static KERNEL_TARGET_PATH_BYTES]);

/* "folder/name"; -ENAMETOOLONG. */
int kernel_path(char to[static KERNEL_TARGET_PATH_BYTES], const char *folder, const char *name);

#endif
