/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_INQUIRY_H
#define THINMIRROR_WIRE_INQUIRY_H

/* Standard INQUIRY data, SPC-4 6.6.2. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INQUIRY_MIN_BYTES           36
#define INQUIRY_BYTES               96
#define INQUIRY_VERSION_DESCRIPTORS 8

enum inquiry_peripheral_type { INQUIRY_DIRECT_ACCESS_BLOCK_DEVICE = 0x00 };

/* VERSION DESCRIPTOR values, "no version claimed" (SPC-4 table 150). */
enum inquiry_version_descriptor {
    INQUIRY_CLAIMS_SAM_5 = 0x00A0,
    INQUIRY_CLAIMS_SPC_4 = 0x0460,
    INQUIRY_CLAIMS_SBC_3 = 0x04C0,
    INQUIRY_CLAIMS_SBC_4 = 0x0600,
};

struct inquiry {
    uint8_t peripheral_qualifier; /* 0: a logical unit is there */
    uint8_t peripheral_type;
    bool removable;
    uint8_t version; /* 06h: SPC-4 */
    bool third_party_copy;
    uint8_t tpgs; /* 2 bits: 0 no asymmetric access, 1 implicit, 2 explicit, 3 both */
    bool command_queuing;
    /* NUL-terminated; decoded without the padding, bytes that are no printable ASCII as '?'. */
    char vendor[8 + 1];
    char product[16 + 1];
    char revision[4 + 1];
    /* Until the first 0. */
    uint16_t version_descriptors[INQUIRY_VERSION_DESCRIPTORS];
};

/* Writes INQUIRY_BYTES, with RESPONSE DATA FORMAT 2 and HISUP; returns that length. */
size_t inquiry_encode(const struct inquiry *inquiry, uint8_t to[static INQUIRY_BYTES]);

/* -EINVAL: shorter than INQUIRY_MIN_BYTES. Never reads past length or the data's own ADDITIONAL
 * LENGTH; version descriptors that are not there are 0. */
int inquiry_decode(const uint8_t *from, size_t length, struct inquiry *ret);

#endif
