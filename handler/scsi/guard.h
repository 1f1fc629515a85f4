/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LUN_GUARD_H
#define THINMIRROR_LUN_GUARD_H

/* Reservations and read-only mappings, where the target in front of the logical unit does not look
 * at them. No I_T nexus is visible here: who sent a command is known only by what the target let
 * through.
 *
 * LIO refuses a command by the direction of its data. Under Exclusive Access, and under RESERVE of
 * SPC-2, it lets nothing through but what the holder (or a registrant, by the type) may send. Under
 * Write Exclusive, and for an initiator whose mapping is read-only, it refuses only commands with
 * Data-Out. So for a command that changes the logical unit and carries no Data-Out:
 *
 *   not reserved, Exclusive Access, RESERVE   serve it
 *   Write Exclusive, unknown                  RESERVATION CONFLICT for every initiator
 *   read-only for some initiator, or unknown  DATA PROTECT, WRITE PROTECTED (7/27/00)
 *
 * The holder has the same command with Data-Out: WRITE SAME with a block, FORMAT UNIT with a
 * parameter list, SANITIZE OVERWRITE.
 *
 * A logical unit that EXTENDED COPY names, and that the command was not sent to, has not been
 * looked at by the target at all: it is not written while reserved in any way, nor read while reads
 * are shut out. The holder sends the command to that logical unit. */

#include <stdbool.h>
#include <stdint.h>

struct exec;
struct lun;

/* For an OPERATION_GUARDED row: GOOD when the command may be served, RESERVATION CONFLICT, or CHECK
 * CONDITION with the sense data. */
uint8_t guard_check(struct exec *exec);

/* Whether a copy that was sent to another LUN may read this one, or write to it: 0, -EBUSY
 * (RESERVATION CONFLICT) or -EROFS. */
int guard_copy(struct lun *lun, bool writes);

#endif
