/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TESTS_SCSI_RIG_WIRE_H
#define THINMIRROR_TESTS_SCSI_RIG_WIRE_H

/* The rig's other half: the logical unit is one that a transport of the mirror reaches. */

#include <stdbool.h>
#include <stdint.h>

#include "scsi_rig.h"
#include "transport.h"

/* Opens the LUN that TM_SCSI_LUNS lists with this geometry, all of it deallocated, with no unit
 * attention left. False when there is none. */
bool rig_wire_open(struct rig *rig, uint32_t block_size, uint64_t blocks, bool read_only);

/* Takes a rig without a transport, too. */
void rig_wire_close(struct rig *rig);

/* data: size bytes, to or from. */
struct answer rig_wire_execute(struct rig *rig, const uint8_t *cdb,
                               enum transport_direction direction, void *data, size_t size);

#endif
