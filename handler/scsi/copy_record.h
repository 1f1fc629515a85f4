/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LUN_COPY_RECORD_H
#define THINMIRROR_LUN_COPY_RECORD_H

/* What EXTENDED COPY(LID1) commands are doing or have done, for those that ask later. The standard
 * keeps one list for each I_T nexus; no nexus is visible here, so one list serves all, and of two
 * initiators that use the same list identifier each may be told of the other's copy. Data never
 * depend on it. */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lun.h"

/* Copies that run and are remembered. Finished ones make room for new ones, the oldest first. */
#define COPY_RECORDS 16

struct copy_record {
    bool used;
    bool running;
    uint8_t list_id;
    uint64_t serial; /* rises from copy to copy */
    /* The outcome */
    uint8_t status;
    uint16_t segments_done;
    uint64_t bytes_done;
    uint8_t sense[LUN_SENSE_BYTES];
};

struct copy_records {
    pthread_mutex_t lock; /* guards all below; a leaf */
    uint64_t last_serial;
    struct copy_record records[COPY_RECORDS];
};

void copy_records_init(struct copy_records *records);
void copy_records_destroy(struct copy_records *records);

/* A record that runs; its finished predecessor of the same identifier is forgotten. NULL: as many
 * copies run as can. The record is the caller's until copy_record_finish. */
struct copy_record *copy_record_start(struct copy_records *records, uint8_t list_id);
/* bytes more are copied. */
void copy_record_advance(struct copy_records *records, struct copy_record *record, uint64_t bytes);
/* status and sense, as the command would have ended with in the foreground. */
void copy_record_finish(struct copy_records *records, struct copy_record *record, uint8_t status,
                        const uint8_t sense[static LUN_SENSE_BYTES]);

/* A copy of the newest record with this identifier; false: there is none. */
bool copy_record_get(struct copy_records *records, uint8_t list_id, struct copy_record *ret);

#endif
