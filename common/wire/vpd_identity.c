/* SPDX-License-Identifier: Apache-2.0 */

/* Which of page 83h's designators names the logical unit best, and how it is written. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "scsi_defs.h"
#include "text_field.h"
#include "vpd.h"

enum designator_type {
    DESIGNATOR_T10 = 0x1,
    DESIGNATOR_EUI64 = 0x2,
    DESIGNATOR_NAA = 0x3,
    DESIGNATOR_UUID = 0xA, /* SPC-5 7.7.6.12 */
};

/* One designation descriptor of the logical unit; bytes point into the page. */
struct designator {
    uint8_t type;
    const uint8_t *bytes;
    size_t length;
};

static unsigned naa_rank(const struct designator *designator)
{
    if (designator->length == 16)
        return designator->bytes[0] >> 4 == 0x6 ? 6 : 0;
    if (designator->length != 8)
        return 0;
    switch (designator->bytes[0] >> 4) {
    case 0x5:
        return 5;
    case 0x2:
    case 0x3:
        return 4;
    default:
        return 0;
    }
}

/* How well it names the logical unit, world-wide names first; 0: not at all. */
static unsigned rank_of(const struct designator *designator)
{
    size_t length = designator->length;

    switch (designator->type) {
    case DESIGNATOR_NAA:
        return naa_rank(designator);
    case DESIGNATOR_EUI64:
        return length == 8 || length == 12 || length == 16 ? 3 : 0;
    case DESIGNATOR_UUID:
        return length == 18 && designator->bytes[0] >> 4 == 0x1 ? 2 : 0;
    case DESIGNATOR_T10:
        return text_field_length(designator->bytes, length) > 0 ? 1 : 0;
    default:
        return 0;
    }
}

/* Every function below that writes to text leaves it NUL-terminated and within size. */
static void write_hex(char *text, size_t size, const char *prefix, const uint8_t *bytes,
                      size_t length)
{
    size_t at = (size_t)snprintf(text, size, "%s", prefix);

    for (size_t i = 0; i < length && at + 3 <= size; i++, at += 2)
        snprintf(text + at, size - at, "%02x", bytes[i]);
}

static void write_text(char *text, size_t size, const char *prefix, const uint8_t *bytes,
                       size_t length)
{
    size_t at = (size_t)snprintf(text, size, "%s", prefix);

    for (size_t i = 0; i < length; i++) {
        bool plain = text_is_printable(bytes[i]);
        size_t needs = plain ? 1 : 4;

        if (at + needs + 1 > size)
            return;
        snprintf(text + at, size - at, plain ? "%c" : "\\x%02x", bytes[i]);
        at += needs;
    }
}

static void write_designator(const struct designator *designator, struct vpd_identity *ret)
{
    const uint8_t *bytes = designator->bytes;
    size_t length = designator->length;

    switch (designator->type) {
    case DESIGNATOR_NAA:
        write_hex(ret->text, sizeof(ret->text), "naa.", bytes, length);
        break;
    case DESIGNATOR_EUI64:
        write_hex(ret->text, sizeof(ret->text), "eui.", bytes, length);
        break;
    case DESIGNATOR_UUID:
        write_hex(ret->text, sizeof(ret->text), "uuid.", bytes + 2, 16);
        break;
    default:
        write_text(ret->text, sizeof(ret->text), "t10.", bytes, text_field_length(bytes, length));
        break;
    }
}

int vpd_decode_identity(const uint8_t *from, size_t length, struct vpd_identity *ret)
{
    size_t at = VPD_HEADER_BYTES;
    struct designator best = {0};
    unsigned best_rank = 0;

    *ret = (struct vpd_identity){0};
    if (length < VPD_HEADER_BYTES || from[1] != VPD_DEVICE_IDENTIFICATION)
        return -EINVAL;
    length = (size_t)min_u64(length, VPD_HEADER_BYTES + UINT64_C(0) + get_be16(from + 2));
    while (length - at >= 4) {
        struct designator designator = {.type = from[at + 1] & 0x0F,
                                        .bytes = from + at + 4,
                                        .length = from[at + 3]};
        unsigned association = (from[at + 1] >> 4) & 0x03;
        unsigned rank;

        if (designator.length > length - at - 4)
            break;
        rank = association == 0 ? rank_of(&designator) : 0;
        if (rank > best_rank) {
            best = designator;
            best_rank = rank;
        }
        at += 4 + designator.length;
    }
    if (best_rank == 0)
        return -ENOENT;
    write_designator(&best, ret);
    return 0;
}
