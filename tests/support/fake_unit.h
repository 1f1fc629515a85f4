/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FAKE_UNIT_H
#define THINMIRROR_FAKE_UNIT_H

/* A logical unit in memory behind struct transport, as well or ill behaved as a test wants it. It
 * writes down every CDB it gets, in short words:
 *   TUR INQ VPD83 RC16 RC10 MODE SC16 SC10
 *   R lba+blocks   W lba+blocks   WS lba+blocks [u]   UN lba+blocks,...   MAP lba:allocation-length
 *   KEYS HOLDER REG anyREG RES REL PRE (persistent reservations)
 * joined by spaces; a CDB it does not know is ?opcode. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport.h"

#define FAKE_LOG_BYTES 16384

struct fake_fault {
    const char *word; /* of the log: the first word of the CDBs it is about */
    unsigned skip;    /* how many of them go well before */
    unsigned times;   /* how many then meet it */
    int result;       /* transport error; 0: status and sense */
    uint8_t status;
    uint8_t key;
    uint16_t asc_ascq;
    bool deferred;
    bool carried_out; /* with sense data all the same */
    bool information_valid;
    uint64_t information;
    uint64_t short_by; /* with good status: how many bytes are missing */
};

/* What a target keeps of persistent reservations, see fake_reservation.c. */
struct fake_reservation {
    bool held;
    uint64_t holder; /* the key */
    uint8_t type;
    uint64_t own; /* the key of the session that we are; 0: not registered */
    uint64_t keys[8];
    size_t key_count; /* the own one included */
};

struct fake_unit {
    struct transport transport; /* first */

    /* What it is. The defaults of fake_unit_new: 1024 blocks of 512 bytes, thin, all zeros and
     * deallocated, with everything of logical block provisioning. */
    uint64_t blocks;
    uint32_t block_size;
    uint8_t type, qualifier;
    const char *vendor, *serial;
    const uint8_t *naa; /* 16 bytes, or NULL: no page 83h */
    bool thin, lbprz, lbpu, lbpws, write_protected;
    uint64_t max_write_same;
    uint32_t max_unmap, granularity, alignment, max_transfer, optimal_transfer;
    uint32_t max_unmap_descriptors;
    unsigned unmap_unit; /* UNMAP does nothing to blocks outside whole units of this number */
    /* What it does not know (5/20/00). */
    const char *unknown; /* words, as in the log, separated by spaces; or NULL */
    uint32_t map_limit;  /* a larger allocation length is refused with 5/24/00; 0: any */
    /* Instead of a true map; or NULL. Fills reply, returns its length. */
    size_t (*lie)(struct fake_unit *unit, uint64_t lba, uint8_t *reply, size_t size);

    struct fake_reservation reservation;
    /* What PERSISTENT RESERVE IN tells of it instead of the truth; or NULL. Fills reply, returns
     * its length. */
    size_t (*lie_of_reservation)(struct fake_unit *unit, uint8_t *reply, size_t size);
    void *lie_opaque; /* of the function that lies */
    uint8_t *data;
    bool *mapped;
    char log[FAKE_LOG_BYTES];
    unsigned last_timeout_ms; /* of the last command */

    struct fake_fault faults[4];
    struct transport_request *queue[512];
    size_t queued;
    unsigned rounds; /* so often something was waiting to be answered */
    int dead;        /* -errno: the transport is of no more use */
};

/* The memory is given back when the transport is closed, but for the log. */
struct fake_unit *fake_unit_new(void);
/* Again, after blocks or block_size were changed. */
void fake_unit_format(struct fake_unit *unit);
void fake_unit_fault(struct fake_unit *unit, struct fake_fault fault);
/* Fills blocks with bytes and marks them as mapped. */
void fake_unit_fill(struct fake_unit *unit, uint64_t lba, uint64_t blocks, uint8_t byte);
/* True when every byte of the blocks is this one. */
bool fake_unit_is(const struct fake_unit *unit, uint64_t lba, uint64_t blocks, uint8_t byte);
/* PERSISTENT RESERVE IN and OUT; words as in the log, reply and its length for IN. The SCSI status.
 */
uint8_t fake_reservation_serve(struct fake_reservation *target, const uint8_t *cdb,
                               const uint8_t *list, char words[static 64], uint8_t *reply,
                               size_t *ret_length);
/* Somebody else's key, who also holds the reservation if type is not 0. */
void fake_reservation_add(struct fake_reservation *target, uint64_t key, uint8_t type);
/* Kept while a test needs the log after close. */
void fake_unit_free(struct fake_unit *unit);

#endif
