/* SPDX-License-Identifier: Apache-2.0 */
#include "inquiry.h"

#include <errno.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "text_field.h"

#define VERSION_DESCRIPTORS_AT 58

size_t inquiry_encode(const struct inquiry *inquiry, uint8_t to[static INQUIRY_BYTES])
{
    memset(to, 0, INQUIRY_BYTES);
    to[0] = (uint8_t)(inquiry->peripheral_qualifier << 5 | (inquiry->peripheral_type & 0x1F));
    to[1] = inquiry->removable ? 0x80 : 0;
    to[2] = inquiry->version;
    to[3] = 0x10 | 0x02; /* HISUP, RESPONSE DATA FORMAT */
    to[4] = INQUIRY_BYTES - 5;
    to[5] = (uint8_t)((inquiry->tpgs & 0x03) << 4 | (inquiry->third_party_copy ? 0x08 : 0));
    to[7] = inquiry->command_queuing ? 0x02 : 0;
    text_field_put(to + 8, 8, inquiry->vendor);
    text_field_put(to + 16, 16, inquiry->product);
    text_field_put(to + 32, 4, inquiry->revision);
    for (size_t i = 0; i < INQUIRY_VERSION_DESCRIPTORS && inquiry->version_descriptors[i]; i++)
        put_be16(to + VERSION_DESCRIPTORS_AT + 2 * i, inquiry->version_descriptors[i]);
    return INQUIRY_BYTES;
}

static void get_text(const uint8_t *from, size_t size, char *to)
{
    size_t length = text_field_length(from, size);

    for (size_t i = 0; i < length; i++)
        to[i] = text_is_printable(from[i]) ? (char)from[i] : '?';
    to[length] = 0;
}

int inquiry_decode(const uint8_t *from, size_t length, struct inquiry *ret)
{
    size_t end;

    *ret = (struct inquiry){0};
    if (length < INQUIRY_MIN_BYTES)
        return -EINVAL;
    ret->peripheral_qualifier = from[0] >> 5;
    ret->peripheral_type = from[0] & 0x1F;
    ret->removable = from[1] & 0x80;
    ret->version = from[2];
    ret->third_party_copy = from[5] & 0x08;
    ret->tpgs = from[5] >> 4 & 0x03;
    ret->command_queuing = from[7] & 0x02;
    get_text(from + 8, 8, ret->vendor);
    get_text(from + 16, 16, ret->product);
    get_text(from + 32, 4, ret->revision);
    end = min_u64(length, 5u + from[4]);
    for (size_t i = 0; i < INQUIRY_VERSION_DESCRIPTORS; i++)
        if (VERSION_DESCRIPTORS_AT + 2 * i + 2 <= end)
            ret->version_descriptors[i] = get_be16(from + VERSION_DESCRIPTORS_AT + 2 * i);
    return 0;
}
