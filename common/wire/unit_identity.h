/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_UNIT_IDENTITY_H
#define THINMIRROR_UNIT_IDENTITY_H

/* One text for the identity of a logical unit, from its VPD pages 83h and 80h
 * (SPC-4 7.8.6, 7.8.18). Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inquiry.h"
#include "vpd.h"

#define UNIT_IDENTITY_BYTES 320

/* What makes a unit the one that was opened. */
struct unit_identity {
    uint8_t page; /* VPD_DEVICE_IDENTIFICATION, VPD_UNIT_SERIAL_NUMBER or 0: it has neither */
    char key[VPD_DESIGNATOR_TEXT_BYTES]; /* what that page says */
};

/* Where a unit's names come from. */
struct unit_names {
    const uint8_t *identification, *serial; /* VPD pages 83h and 80h as received */
    size_t identification_bytes, serial_bytes;
    const struct inquiry *inquiry;
    const char *target; /* the way to the unit: iSCSI target name and LUN; empty: not known */
};

/* The text for unit_identity.key in a page as received; false when it says nothing. */
bool unit_identity_key(uint8_t page, const uint8_t *data, size_t length, char *to, size_t size);

/* Fills the identity, the serial number (may become empty), and in to (UNIT_IDENTITY_BYTES are
 * enough) the text that is the same by every way to this unit; empty: it has no name. */
void unit_identity_read(const struct unit_names *names, struct unit_identity *unit, char *serial,
                        size_t serial_size, char *to, size_t size);

/* Whether two such texts are equal, or may be those of one unit: where one has the way to it in its
 * name and the other does not know its own. */
bool unit_identity_may_be_one(const char *x, const char *y);

#endif
