/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCMU_RING_H
#define THINMIRROR_TCMU_RING_H

/* What libtcmu does not do with the ring that the kernel shares (linux/target_core_user.h). ring:
 * where the device's memory is mapped, its mailbox first. The caller serialises these calls with
 * tcmulib_command_complete. */

#include <stdbool.h>
#include <stdint.h>

/* Says in the response that is written next that the Data-In is of so many bytes, not 0; to be
 * called right before tcmulib_command_complete. Without it the kernel sends as much as the
 * initiator expects, and reports no residual. Does nothing on a kernel that does not look. */
void ring_set_read_bytes(void *ring, uint32_t bytes);

/* Whether more than count commands lie on the ring without a response, taken off it or not. */
bool ring_has_more_than(const void *ring, unsigned count);

#endif
