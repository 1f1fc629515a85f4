/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCMU_RING_H
#define THINMIRROR_TCMU_RING_H

/* What libtcmu does not write into the ring that the kernel shares (linux/target_core_user.h): how
 * long the Data-In is. Without it the kernel sends as much as the initiator expects, and reports no
 * residual. */

#include <stdint.h>

/* Says in the response that is written next that the Data-In is of so many bytes, not 0; to be
 * called right before tcmulib_command_complete, under the same lock. ring: where the device's
 * memory is mapped, its mailbox first. Does nothing on a kernel that does not look. */
void ring_set_read_bytes(void *ring, uint32_t bytes);

#endif
