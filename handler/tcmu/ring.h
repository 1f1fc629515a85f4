/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCMU_RING_H
#define THINMIRROR_TCMU_RING_H

/* What libtcmu does not do with the ring that the kernel shares (linux/target_core_user.h). ring:
 * where the device's memory is mapped, its mailbox first. The caller serialises these calls with
 * tcmulib_command_complete.
 *
 * libtcmu takes one command after the other off the ring. It drops those whose operation code has
 * no length it knows (60h to 7Eh, C0h to FFh): they are not handed out, and stay on the ring
 * without a response. */

#include <stdbool.h>
#include <stdint.h>

/* Says in the response that is written next that the Data-In has bytes bytes, not 0; to be
 * called right before tcmulib_command_complete. Without it the kernel sends as much as the
 * initiator expects, and reports no residual. Does nothing on a kernel that does not look. */
void ring_set_read_bytes(void *ring, uint32_t bytes);

/* A position on the ring: what lies before it has been taken, or dropped. At first, before libtcmu
 * takes a command, it is where the oldest command lies. */
uint32_t ring_start(const void *ring);

/* libtcmu has just handed out this command. True: it has dropped one before it, *ret_dropped, and
 * this is to be called again; false: position is behind the command (and stays when the command is
 * not found). */
bool ring_passes_dropped(const void *ring, uint32_t *position, uint16_t cmd_id,
                         uint16_t *ret_dropped);

/* The same without a command: as far as a position that libtcmu is known to have reached. */
bool ring_passes_dropped_until(const void *ring, uint32_t *position, uint32_t reached,
                               uint16_t *ret_dropped);

/* Whether at or behind position there is a command that libtcmu will hand out. */
bool ring_has_more(const void *ring, uint32_t position);

/* Writes a response with this SCSI status to the command with this id: what
 * tcmulib_command_complete does, for a status it has no word for, and for commands that libtcmu
 * dropped. sense: fixed format of SENSE_FIXED_BYTES, or NULL. */
void ring_respond(void *ring, uint16_t cmd_id, uint8_t scsi_status, const uint8_t *sense);

#endif
