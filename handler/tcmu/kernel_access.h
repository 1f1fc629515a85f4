/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCMU_KERNEL_ACCESS_H
#define THINMIRROR_TCMU_KERNEL_ACCESS_H

/* Who may write to a device, as the kernel's target shows it in configfs. */

#include "kernel_target.h"
#include "lun.h"

/* What the files pr/res_pr_type and pr/res_holder say; NULL: that one cannot be read. Pure; fuzzed.
 * Every text that is not one of the kernel's is LUN_RESERVATION_UNKNOWN. */
enum lun_reservation kernel_reservation_parse(const char *type, const char *holder);

/* A lun_access_look; context: struct kernel_device. Reads a few files. A mapping is read-only where
 * an ACL's write_protect says so, and for initiators without an ACL where generate_node_acls and
 * demo_mode_write_protect do. */
void kernel_access_look(void *context, struct lun_access *ret);

#endif
