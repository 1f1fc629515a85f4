/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_RESERVATION_H
#define THINMIRROR_WIRE_RESERVATION_H

/* PERSISTENT RESERVE IN and OUT, SPC-4 6.15 and 6.16: CDBs, the parameter list and the replies that
 * are of use here. Only the scope LU_SCOPE is known. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi_defs.h"

#define RESERVATION_LIST_BYTES  24 /* the parameter list of PERSISTENT RESERVE OUT */
#define RESERVATION_REPLY_BYTES 24 /* the longest reply of READ RESERVATION */

/* Service actions of PERSISTENT RESERVE IN. */
enum reservation_query { RESERVATION_READ_KEYS = 0, RESERVATION_READ = 1 };

/* Service actions of PERSISTENT RESERVE OUT. */
enum reservation_action {
    RESERVATION_REGISTER = 0,
    RESERVATION_RESERVE = 1,
    RESERVATION_RELEASE = 2,
    RESERVATION_PREEMPT = 4,
    RESERVATION_REGISTER_ANYWAY = 6, /* REGISTER AND IGNORE EXISTING KEY */
};

/* The TYPE field (SPC-4 6.15.3.4). */
enum reservation_type {
    RESERVATION_WRITE_EXCLUSIVE = 1,
    RESERVATION_EXCLUSIVE_ACCESS = 3,
    RESERVATION_WRITE_EXCLUSIVE_REGISTRANTS = 5,
    RESERVATION_EXCLUSIVE_ACCESS_REGISTRANTS = 6,
    RESERVATION_WRITE_EXCLUSIVE_ALL = 7,
    RESERVATION_EXCLUSIVE_ACCESS_ALL = 8,
};

/* "write exclusive, registrants only"; "of an unknown type" for others. */
const char *reservation_type_name(uint8_t type);

size_t cdb_reserve_in(uint8_t cdb[static SCSI_CDB_MAX_BYTES], enum reservation_query query,
                      uint16_t allocation_length);
/* type counts for RESERVE, RELEASE and PREEMPT. RESERVATION_LIST_BYTES of Data-Out follow. */
size_t cdb_reserve_out(uint8_t cdb[static SCSI_CDB_MAX_BYTES], enum reservation_action action,
                       uint8_t type);

/* key: that of the registration that asks, 0 for none yet. action_key: the SERVICE ACTION
 * RESERVATION KEY, the new key of a REGISTER (0 ends it), the victim's of a PREEMPT. */
void reservation_list_encode(uint8_t to[static RESERVATION_LIST_BYTES], uint64_t key,
                             uint64_t action_key);

struct reservation {
    bool held;
    uint64_t key; /* of the holder, 0 for one that all registrants hold */
    uint8_t type;
};

/* -EINVAL when the reply of READ RESERVATION, of which length bytes came, makes no sense. */
int reservation_decode(const uint8_t *reply, size_t length, struct reservation *ret);

/* The keys that the reply of READ KEYS holds whole, at most count of them, into keys; how many.
 * ret_all: the reply had room for all there are. -EINVAL when it makes no sense. */
int reservation_keys_decode(const uint8_t *reply, size_t length, uint64_t *keys, size_t count,
                            bool *ret_all);

#endif
