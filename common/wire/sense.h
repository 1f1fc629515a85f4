/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_SENSE_H
#define THINMIRROR_WIRE_SENSE_H

/* Sense data, SPC-4 4.5. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi_defs.h"

#define SENSE_FIXED_BYTES          18
#define SENSE_DESCRIPTOR_MAX_BYTES 40 /* as far as sense_encode_descriptor goes */
#define SENSE_MAX_BYTES            252

struct sense {
    uint8_t key;       /* enum scsi_sense_key */
    uint16_t asc_ascq; /* enum scsi_asc_ascq */
    bool information_valid;
    uint64_t information; /* usually the LBA of the error */
    /* SENSE KEY SPECIFIC (SPC-4 4.5.2.4) with SKSV, the top bit; all 0: none. */
    uint8_t specific[3];
    bool command_specific_valid;
    uint32_t command_specific; /* what it means, the command says */
    bool deferred;             /* response code 71h or 73h */
};

/* Writes SENSE_FIXED_BYTES of current fixed-format sense data (70h, 4.5.3). Information that does
 * not fit in 32 bits is left out, as the standard says. */
void sense_encode_fixed(const struct sense *sense, uint8_t to[static SENSE_FIXED_BYTES]);

/* The same in descriptor format (72h, 4.5.2), where information of any size fits. The length. */
size_t sense_encode_descriptor(const struct sense *sense,
                               uint8_t to[static SENSE_DESCRIPTOR_MAX_BYTES]);

/* SENSE KEY SPECIFIC for ILLEGAL REQUEST: the byte of the parameter list that is at fault. */
void sense_set_list_field(struct sense *sense, uint16_t field);

/* SENSE KEY SPECIFIC for COPY ABORTED: the byte at fault of the segment descriptor whose number
 * COMMAND-SPECIFIC INFORMATION gives in its last two bytes. */
void sense_set_segment_field(struct sense *sense, uint16_t field);

/* SENSE KEY SPECIFIC for NOT READY: the part of the work that is done, in 65536ths. */
void sense_set_progress(struct sense *sense, uint16_t progress);

/* SENSE KEY SPECIFIC for ILLEGAL REQUEST (4.5.2.4.2): the byte in error, of the CDB or of the
 * parameter data, and its bit (0 to 7), or -1 when the whole field is meant. */
void sense_set_field(struct sense *sense, bool in_cdb, uint16_t byte, int bit);

/* Decodes fixed (70h, 71h) and descriptor (72h, 73h) format, never reading past length. -EINVAL
 * when it is neither or too short to hold a sense key; *ret is set all the same. What lies behind
 * the data's own ADDITIONAL SENSE LENGTH is not looked at. */
int sense_decode(const uint8_t *from, size_t length, struct sense *ret);

/* A few words for people about an ASC/ASCQ we know, or NULL. */
const char *sense_asc_text(uint16_t asc_ascq);

/* "key 5/24/00 (invalid field in CDB)" in buffer; returns buffer. */
const char *sense_describe(const struct sense *sense, char *buffer, size_t size);

#endif
