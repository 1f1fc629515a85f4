/* SPDX-License-Identifier: Apache-2.0 */
#include "unit_identity.h"

/* An identity must be the same by every way to one logical unit and differ between any two. A
 * world-wide name alone does. Some designators only look like one, and so get company:
 *   NAA 3h is locally assigned by definition (SPC-4 7.8.6.6.4): unique on one target at best;
 *   NAA 5h and 6h with an IEEE company identifier of zeros name no vendor;
 *   tgt ("IET") builds all it says of target and LUN numbers, so that the first LUNs of any two
 *   tgtds are twins in every page (naa.60000000000000000e00000000010001, serial beaf11).
 * They are joined by the serial number and, after the last @, by the iSCSI target name and LUN,
 * which are world-wide unique and the same by whatever portal or driver the unit is reached; "@?"
 * when the way is not known, which unit_identity_may_be_one takes as any way. */

#include <stdio.h>
#include <string.h>

#include "scsi_defs.h"

static bool is_unique(const char *designator, const struct inquiry *inquiry)
{
    static const char *const nobodys[] = {"naa.3", "naa.5000000", "naa.6000000"};

    for (size_t i = 0; i < sizeof(nobodys) / sizeof(nobodys[0]); i++)
        if (strncmp(designator, nobodys[i], strlen(nobodys[i])) == 0)
            return false;
    return strcmp(inquiry->vendor, "IET") != 0;
}

bool unit_identity_key(uint8_t page, const uint8_t *data, size_t length, char *to, size_t size)
{
    struct vpd_identity designator;

    if (page == VPD_UNIT_SERIAL_NUMBER)
        return vpd_decode_serial(data, length, to, size) == 0;
    if (vpd_decode_identity(data, length, &designator) < 0)
        return false;
    snprintf(to, size, "%s", designator.text);
    return true;
}

static void make_text(const struct unit_identity *unit, const char *serial,
                      const struct unit_names *names, char *to, size_t size)
{
    const struct inquiry *inquiry = names->inquiry;
    char text[UNIT_IDENTITY_BYTES];

    to[0] = '\0';
    if (unit->page == 0)
        return;
    if (unit->page == VPD_DEVICE_IDENTIFICATION)
        snprintf(text, sizeof(text), "%s", unit->key);
    else
        snprintf(text, sizeof(text), "serial.%s.%s.%s", inquiry->vendor, inquiry->product,
                 unit->key);
    if (is_unique(text, inquiry))
        snprintf(to, size, "%s", text);
    else
        snprintf(to, size, "%.48s/%.36s@%s", text, serial, names->target[0] ? names->target : "?");
}

void unit_identity_read(const struct unit_names *names, struct unit_identity *unit, char *serial,
                        size_t serial_size, char *to, size_t size)
{
    unit->page = 0;
    if (names->identification_bytes &&
        unit_identity_key(VPD_DEVICE_IDENTIFICATION, names->identification,
                          names->identification_bytes, unit->key, sizeof(unit->key)))
        unit->page = VPD_DEVICE_IDENTIFICATION;
    if (!names->serial_bytes || !unit_identity_key(VPD_UNIT_SERIAL_NUMBER, names->serial,
                                                   names->serial_bytes, serial, serial_size))
        serial[0] = '\0';
    if (unit->page == 0 && serial[0]) {
        unit->page = VPD_UNIT_SERIAL_NUMBER;
        snprintf(unit->key, sizeof(unit->key), "%s", serial);
    }
    make_text(unit, serial, names, to, size);
}

bool unit_identity_may_be_one(const char *x, const char *y)
{
    const char *x_way = strrchr(x, '@'), *y_way = strrchr(y, '@');

    if (strcmp(x, y) == 0)
        return true;
    if (!x_way || !y_way || (strcmp(x_way, "@?") != 0 && strcmp(y_way, "@?") != 0))
        return false;
    return x_way - x == y_way - y && strncmp(x, y, (size_t)(x_way - x)) == 0;
}
