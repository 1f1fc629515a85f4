/* SPDX-License-Identifier: Apache-2.0 */
#include "sense.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"

enum {
    RESPONSE_FIXED_CURRENT = 0x70,
    RESPONSE_FIXED_DEFERRED = 0x71,
    RESPONSE_DESCRIPTOR_CURRENT = 0x72,
    RESPONSE_DESCRIPTOR_DEFERRED = 0x73,
};

#define INFORMATION_DESCRIPTOR       0x00
#define INFORMATION_DESCRIPTOR_BYTES 12
#define COMMAND_DESCRIPTOR           0x01
#define COMMAND_DESCRIPTOR_BYTES     12
#define SPECIFIC_DESCRIPTOR          0x02
#define SPECIFIC_DESCRIPTOR_BYTES    8

#define SKSV                         0x80
#define SEGMENT_SD                   0x20

void sense_encode_fixed(const struct sense *sense, uint8_t to[static SENSE_FIXED_BYTES])
{
    memset(to, 0, SENSE_FIXED_BYTES);
    to[0] = RESPONSE_FIXED_CURRENT;
    if (sense->information_valid && sense->information <= UINT32_MAX) {
        to[0] |= 0x80; /* VALID */
        put_be32(to + 3, (uint32_t)sense->information);
    }
    to[2] = sense->key & 0x0F;
    to[7] = SENSE_FIXED_BYTES - 8; /* ADDITIONAL SENSE LENGTH */
    put_be16(to + 12, sense->asc_ascq);
    memcpy(to + 15, sense->specific, sizeof(sense->specific));
    if (sense->command_specific_valid)
        put_be32(to + 8, sense->command_specific);
}

size_t sense_encode_descriptor(const struct sense *sense,
                               uint8_t to[static SENSE_DESCRIPTOR_MAX_BYTES])
{
    size_t at = 8;

    memset(to, 0, SENSE_DESCRIPTOR_MAX_BYTES);
    to[0] = RESPONSE_DESCRIPTOR_CURRENT;
    to[1] = sense->key & 0x0F;
    put_be16(to + 2, sense->asc_ascq);
    if (sense->information_valid) {
        to[at] = INFORMATION_DESCRIPTOR;
        to[at + 1] = INFORMATION_DESCRIPTOR_BYTES - 2;
        to[at + 2] = 0x80; /* VALID */
        put_be64(to + at + 4, sense->information);
        at += INFORMATION_DESCRIPTOR_BYTES;
    }
    if (sense->command_specific_valid) {
        to[at] = COMMAND_DESCRIPTOR;
        to[at + 1] = COMMAND_DESCRIPTOR_BYTES - 2;
        put_be64(to + at + 4, sense->command_specific);
        at += COMMAND_DESCRIPTOR_BYTES;
    }
    if (sense->specific[0] & SKSV) {
        to[at] = SPECIFIC_DESCRIPTOR;
        to[at + 1] = SPECIFIC_DESCRIPTOR_BYTES - 2;
        memcpy(to + at + 4, sense->specific, sizeof(sense->specific));
        at += SPECIFIC_DESCRIPTOR_BYTES;
    }
    to[7] = (uint8_t)(at - 8); /* ADDITIONAL SENSE LENGTH */
    return at;
}

void sense_set_list_field(struct sense *sense, uint16_t field)
{
    sense->specific[0] = SKSV;
    put_be16(sense->specific + 1, field);
}

void sense_set_segment_field(struct sense *sense, uint16_t field)
{
    sense->specific[0] = SKSV | SEGMENT_SD;
    put_be16(sense->specific + 1, field);
}

void sense_set_field(struct sense *sense, bool in_cdb, uint16_t byte, int bit)
{
    sense->specific[0] = SKSV;
    if (in_cdb)
        sense->specific[0] |= 0x40; /* C/D */
    if (bit >= 0)
        sense->specific[0] |= (uint8_t)(0x08 | (bit & 0x07)); /* BPV */
    put_be16(sense->specific + 1, byte);
}

void sense_set_progress(struct sense *sense, uint16_t progress)
{
    sense->specific[0] = SKSV;
    put_be16(sense->specific + 1, progress);
}

/* The bytes that count: what was received, cut at the data's own ADDITIONAL SENSE LENGTH. */
static size_t usable_bytes(const uint8_t *from, size_t length)
{
    return length < 8 ? length : (size_t)min_u64(length, 8u + from[7]);
}

static int decode_fixed(const uint8_t *from, size_t length, struct sense *ret)
{
    if (length < 3)
        return -EINVAL;
    length = usable_bytes(from, length);
    ret->key = from[2] & 0x0F;
    if ((from[0] & 0x80) && length >= 7) {
        ret->information_valid = true;
        ret->information = get_be32(from + 3);
    }
    if (length >= 13)
        ret->asc_ascq = (uint16_t)(from[12] << 8);
    if (length >= 14)
        ret->asc_ascq |= from[13];
    if (length >= 18 && (from[15] & SKSV))
        memcpy(ret->specific, from + 15, sizeof(ret->specific));
    return 0;
}

/* The descriptor at from, of bytes in all. The first of its kind counts. */
static void decode_descriptor(const uint8_t *from, size_t bytes, struct sense *ret)
{
    if (from[0] == INFORMATION_DESCRIPTOR && bytes >= INFORMATION_DESCRIPTOR_BYTES &&
        (from[2] & 0x80) && !ret->information_valid) {
        ret->information_valid = true;
        ret->information = get_be64(from + 4);
    }
    if (from[0] == SPECIFIC_DESCRIPTOR && bytes >= SPECIFIC_DESCRIPTOR_BYTES && (from[4] & SKSV) &&
        !(ret->specific[0] & SKSV))
        memcpy(ret->specific, from + 4, sizeof(ret->specific));
}

static int decode_descriptors(const uint8_t *from, size_t length, struct sense *ret)
{
    size_t at = 8;

    if (length < 2)
        return -EINVAL;
    ret->key = from[1] & 0x0F;
    if (length >= 3)
        ret->asc_ascq = (uint16_t)(from[2] << 8);
    if (length >= 4)
        ret->asc_ascq |= from[3];
    length = usable_bytes(from, length);
    while (at + 2 <= length) {
        size_t bytes = 2u + from[at + 1];

        if (bytes > length - at)
            break;
        decode_descriptor(from + at, bytes, ret);
        at += bytes;
    }
    return 0;
}

int sense_decode(const uint8_t *from, size_t length, struct sense *ret)
{
    uint8_t response;

    *ret = (struct sense){0};
    if (length == 0)
        return -EINVAL;
    response = from[0] & 0x7F;
    ret->deferred = response == RESPONSE_FIXED_DEFERRED || response == RESPONSE_DESCRIPTOR_DEFERRED;
    switch (response) {
    case RESPONSE_FIXED_CURRENT:
    case RESPONSE_FIXED_DEFERRED:
        return decode_fixed(from, length, ret);
    case RESPONSE_DESCRIPTOR_CURRENT:
    case RESPONSE_DESCRIPTOR_DEFERRED:
        return decode_descriptors(from, length, ret);
    default:
        return -EINVAL;
    }
}

static const struct {
    uint16_t asc_ascq;
    const char *text;
} asc_texts[] = {
    {ASC_NONE, "no additional sense information"},
    {ASC_SANITIZE_IN_PROGRESS, "logical unit not ready, sanitize in progress"},
    {ASC_UNREACHABLE_COPY_TARGET, "unreachable copy target"},
    {ASC_WRITE_ERROR, "write error"},
    {ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT, "invalid field in command information unit"},
    {ASC_THIRD_PARTY_DEVICE_FAILURE, "third party device failure"},
    {ASC_COPY_TARGET_NOT_REACHABLE, "copy target device not reachable"},
    {ASC_INCORRECT_COPY_TARGET_TYPE, "incorrect copy target device type"},
    {ASC_UNRECOVERED_READ_ERROR, "unrecovered read error"},
    {ASC_PARAMETER_LIST_LENGTH_ERROR, "parameter list length error"},
    {ASC_MISCOMPARE_DURING_VERIFY, "miscompare during verify"},
    {ASC_INVALID_OPERATION_CODE, "invalid operation code"},
    {ASC_LBA_OUT_OF_RANGE, "LBA out of range"},
    {ASC_OPERATION_IN_PROGRESS, "operation in progress"},
    {ASC_UNSUPPORTED_TOKEN_TYPE, "unsupported token type"},
    {ASC_TOKEN_UNKNOWN, "token unknown"},
    {ASC_TOKEN_CORRUPT, "token corrupt"},
    {ASC_TOKEN_REVOKED, "token revoked"},
    {ASC_TOKEN_EXPIRED, "token expired"},
    {ASC_TOKEN_DELETED, "token deleted"},
    {ASC_INVALID_FIELD_IN_CDB, "invalid field in CDB"},
    {ASC_LUN_NOT_SUPPORTED, "logical unit not supported"},
    {ASC_INVALID_FIELD_IN_PARAMETER_LIST, "invalid field in parameter list"},
    {ASC_TOO_MANY_CSCDS, "too many target descriptors"},
    {ASC_UNSUPPORTED_CSCD_TYPE, "unsupported target descriptor type code"},
    {ASC_TOO_MANY_SEGMENTS, "too many segment descriptors"},
    {ASC_UNSUPPORTED_SEGMENT_TYPE, "unsupported segment descriptor type code"},
    {ASC_UNEXPECTED_INEXACT_SEGMENT, "unexpected inexact segment"},
    {ASC_INLINE_DATA_LENGTH_EXCEEDED, "inline data length exceeded"},
    {ASC_WRITE_PROTECTED, "write protected"},
    {ASC_SOFTWARE_WRITE_PROTECTED, "logical unit software write protected"},
    {ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT, "no space left to allocate: write protected"},
    {ASC_POWER_ON_RESET, "power on or reset"},
    {ASC_MODE_PARAMETERS_CHANGED, "mode parameters changed"},
    {ASC_CAPACITY_DATA_CHANGED, "capacity data has changed"},
    {ASC_SANITIZE_FAILED, "sanitize command failed"},
    {ASC_SOFT_THRESHOLD_REACHED, "thin provisioning soft threshold reached"},
    {ASC_SAVING_PARAMETERS_NOT_SUPPORTED, "saving parameters not supported"},
    {ASC_REPORTED_LUNS_DATA_CHANGED, "reported LUNs data has changed"},
    {ASC_INTERNAL_TARGET_FAILURE, "internal target failure"},
    {ASC_NO_RESOURCES_FOR_ROD_TOKEN, "insufficient resources to create a ROD token"},
};

const char *sense_asc_text(uint16_t asc_ascq)
{
    for (size_t i = 0; i < sizeof(asc_texts) / sizeof(asc_texts[0]); i++)
        if (asc_texts[i].asc_ascq == asc_ascq)
            return asc_texts[i].text;
    return NULL;
}

const char *sense_describe(const struct sense *sense, char *buffer, size_t size)
{
    const char *text = sense_asc_text(sense->asc_ascq);

    snprintf(buffer, size, "key %X/%02X/%02X%s%s%s", sense->key, sense->asc_ascq >> 8,
             sense->asc_ascq & 0xFF, text ? " (" : "", text ? text : "", text ? ")" : "");
    return buffer;
}
