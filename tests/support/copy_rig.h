/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TESTS_COPY_RIG_H
#define THINMIRROR_TESTS_COPY_RIG_H

/* EXTENDED COPY lists, and what is said of a copy that failed. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "copy_list.h"
#include "scsi_rig.h"
#include "sense.h"

#define COPY_RIG_LIST_BYTES 2048

/* A list under construction; what a test wants wrong it changes in bytes afterwards. */
struct copy_rig_list {
    uint8_t bytes[COPY_RIG_LIST_BYTES];
    size_t length;
};

/* usage: LIST ID USAGE. */
void copy_rig_start(struct copy_rig_list *list, uint8_t id, unsigned usage);
/* The logical unit of rig, by its page 83h. */
void copy_rig_add_cscd(struct copy_rig_list *list, struct rig *rig);
/* A block to block segment between two CSCD descriptors; returns its bytes. */
uint8_t *copy_rig_add_segment(struct copy_rig_list *list, uint16_t source, uint64_t source_lba,
                              uint16_t destination, uint64_t destination_lba, uint16_t blocks);
struct answer copy_rig_send(struct rig *rig, const struct copy_rig_list *list);

/* THIRD-PARTY COPY IN with this service action about an EXTENDED COPY(LID1). */
struct answer copy_rig_receive(struct rig *rig, uint8_t action, uint8_t list_id, void *to,
                               size_t size);

/* What the unit at fault had to say, and which byte of which segment is to blame. */
struct copy_rig_blame {
    uint16_t segment;
    bool has_field;
    uint16_t field;
    bool by_source, by_destination;
    uint8_t status;    /* of the unit at fault; 0: of neither */
    struct sense told; /* with CHECK CONDITION */
};

/* Of the failed copy with this identifier, as FAILURE DETAILS keeps it. */
struct copy_rig_blame copy_rig_failure(struct rig *rig, uint8_t list_id);

#endif
