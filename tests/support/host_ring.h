/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_HOST_RING_H
#define THINMIRROR_HOST_RING_H

/* The memory that a kernel would share with the runner, filled and emptied in the kernel's place
 * and answered in libtcmu's, with padding now and then. Apart from the rest, as the kernel's header
 * has a struct iovec of its own. The caller serialises, but a handler may look at any time. */

#include <stdbool.h>
#include <stdint.h>

#define HOST_RING_CDB_BYTES   32
#define HOST_RING_SENSE_BYTES 96

struct host_ring;

/* Ends the program without memory. Freed with free. */
struct host_ring *host_ring_create(void);

/* One more command; its id. Ends the program when there is no room. */
uint16_t host_ring_put(struct host_ring *ring, const uint8_t cdb[static HOST_RING_CDB_BYTES]);

/* Libtcmu's part: the position behind the command that is at this one, or behind padding there. */
uint32_t host_ring_behind(struct host_ring *ring, uint32_t position);

/* Libtcmu's part: the command gets its response, in the place of the oldest. sense may be NULL. */
void host_ring_respond(struct host_ring *ring, uint16_t cmd_id, uint8_t scsi_status,
                       const uint8_t *sense);

struct host_response {
    uint16_t cmd_id;
    uint8_t scsi_status;
    uint8_t sense[HOST_RING_SENSE_BYTES];
    uint32_t read_bytes; /* of the Data-In as the handler said; 0: it did not */
};

/* The kernel's part: the next response; false when there is none. */
bool host_ring_take(struct host_ring *ring, struct host_response *ret);

/* Commands that lie on the ring and have not been answered. */
unsigned host_ring_unanswered(struct host_ring *ring);

#endif
