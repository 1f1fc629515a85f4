/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCMU_KERNEL_ALUA_H
#define THINMIRROR_TCMU_KERNEL_ALUA_H

/* The ports of a device and its asymmetric access state (ALUA), as the kernel's target keeps and
 * enforces them. */

#include "kernel_target.h"
#include "lun.h"

/* A lun_ports_look; context: struct kernel_device. alua stays false where the kernel does not
 * enforce states, where no implicit ALUA is configured, where the ports are of several groups (no
 * command tells which port it came through), and where something cannot be read. */
void kernel_ports_look(void *context, struct lun_ports *ret);

#endif
