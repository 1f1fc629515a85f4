/* SPDX-License-Identifier: Apache-2.0 */
#include "vpd.h"

#include <errno.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "scsi_defs.h"
#include "text_field.h"

#define BLOCK_LIMITS_BYTES     64
#define CHARACTERISTICS_BYTES  64
#define PROVISIONING_BYTES     8
#define EXTENDED_INQUIRY_BYTES 64

/* Zeroes the page, writes its header and returns length. Peripheral qualifier and type are 0: a
 * direct-access block device. */
static size_t start_page(uint8_t *to, uint8_t page, size_t length)
{
    memset(to, 0, length);
    to[1] = page;
    put_be16(to + 2, (uint16_t)(length - VPD_HEADER_BYTES));
    return length;
}

size_t vpd_encode_supported(uint8_t *to, const uint8_t *pages, size_t count)
{
    size_t length = start_page(to, VPD_SUPPORTED_PAGES, VPD_HEADER_BYTES + count);

    memcpy(to + VPD_HEADER_BYTES, pages, count);
    return length;
}

size_t vpd_encode_serial(uint8_t *to, const char *serial)
{
    size_t bytes = strnlen(serial, VPD_TEXT_MAX_BYTES);
    size_t length = start_page(to, VPD_UNIT_SERIAL_NUMBER, VPD_HEADER_BYTES + bytes);

    memcpy(to + VPD_HEADER_BYTES, serial, bytes);
    return length;
}

size_t vpd_encode_identification(uint8_t *to, const uint8_t naa[static 16], const char *t10_vendor,
                                 const char *t10_rest)
{
    size_t rest = strnlen(t10_rest, VPD_TEXT_MAX_BYTES);
    size_t length =
        start_page(to, VPD_DEVICE_IDENTIFICATION, VPD_HEADER_BYTES + 4 + 16 + 4 + 8 + rest);
    uint8_t *at = to + VPD_HEADER_BYTES;

    at[0] = 0x01; /* CODE SET: binary */
    at[1] = 0x03; /* ASSOCIATION: the logical unit; DESIGNATOR TYPE: NAA */
    at[3] = 16;
    memcpy(at + 4, naa, 16);
    at += 4 + 16;
    at[0] = 0x02; /* CODE SET: ASCII */
    at[1] = 0x01; /* DESIGNATOR TYPE: T10 vendor identification */
    at[3] = (uint8_t)(8 + rest);
    text_field_put(at + 4, 8, t10_vendor);
    memcpy(at + 12, t10_rest, rest);
    return length;
}

/* A designator of the target port (ASSOCIATION 01b) of 4 bytes, the last two of which count. */
static size_t add_port_designator(uint8_t *to, size_t length, uint8_t type, uint16_t value)
{
    uint8_t *at = to + length;

    memset(at, 0, 8);
    at[0] = 0x01; /* CODE SET: binary */
    at[1] = (uint8_t)(0x10 | type);
    at[3] = 4;
    put_be16(at + 6, value);
    return length + 8;
}

size_t vpd_add_target_port(uint8_t *to, size_t length, uint16_t group, uint16_t port)
{
    if (port != 0)
        length = add_port_designator(to, length, 0x4, port);
    length = add_port_designator(to, length, 0x5, group);
    put_be16(to + 2, (uint16_t)(length - VPD_HEADER_BYTES));
    return length;
}

size_t vpd_encode_extended_inquiry(uint8_t *to, uint8_t max_sense_bytes)
{
    size_t length = start_page(to, VPD_EXTENDED_INQUIRY, EXTENDED_INQUIRY_BYTES);

    to[5] = 0x01; /* SIMPSUP */
    to[6] = 0x01; /* V_SUP */
    to[13] = max_sense_bytes;
    return length;
}

size_t vpd_encode_block_limits(uint8_t *to, const struct vpd_block_limits *limits)
{
    size_t length = start_page(to, VPD_BLOCK_LIMITS, BLOCK_LIMITS_BYTES);

    to[4] = limits->wsnz ? 0x01 : 0;
    to[5] = limits->max_compare_and_write_blocks;
    put_be16(to + 6, limits->optimal_transfer_granularity);
    put_be32(to + 8, limits->max_transfer);
    put_be32(to + 12, limits->optimal_transfer);
    put_be32(to + 20, limits->max_unmap_blocks);
    put_be32(to + 24, limits->max_unmap_descriptors);
    put_be32(to + 28, limits->optimal_unmap_granularity);
    if (limits->unmap_alignment_valid) {
        put_be32(to + 32, limits->unmap_alignment & 0x7FFFFFFF);
        to[32] |= 0x80; /* UGAVALID */
    }
    put_be64(to + 36, limits->max_write_same);
    return length;
}

size_t vpd_encode_characteristics(uint8_t *to)
{
    size_t length = start_page(to, VPD_BLOCK_DEVICE_CHARACTERISTICS, CHARACTERISTICS_BYTES);

    put_be16(to + 4, 0x0001); /* MEDIUM ROTATION RATE: non-rotating */
    to[7] = 0x40;             /* WABEREQ 01b: blocks can be read after a BLOCK ERASE */
    to[8] = 0x01;             /* VBULS */
    return length;
}

size_t vpd_encode_provisioning(uint8_t *to, const struct vpd_provisioning *provisioning)
{
    size_t length = start_page(to, VPD_LOGICAL_BLOCK_PROVISIONING, PROVISIONING_BYTES);

    to[4] = provisioning->threshold_exponent;
    to[5] = (uint8_t)((provisioning->lbpu ? 0x80 : 0) | (provisioning->lbpws ? 0x40 : 0) |
                      (provisioning->lbpws10 ? 0x20 : 0) | ((provisioning->lbprz & 0x07) << 2) |
                      (provisioning->anc_sup ? 0x02 : 0));
    to[6] = provisioning->provisioning_type & 0x07;
    to[7] = provisioning->threshold_percentage;
    return length;
}

/* The bytes of this page that count: what was received, cut at the page's own length; 0 when it is
 * another page. */
static size_t page_bytes(const uint8_t *from, size_t length, uint8_t page)
{
    if (length < VPD_HEADER_BYTES || from[1] != page)
        return 0;
    return (size_t)min_u64(length, VPD_HEADER_BYTES + UINT64_C(0) + get_be16(from + 2));
}

/* A field that may lie behind the end of a shorter page. */
static uint32_t optional_be32(const uint8_t *from, size_t length, size_t at)
{
    return at + 4 <= length ? get_be32(from + at) : 0;
}

int vpd_decode_block_limits(const uint8_t *from, size_t length, struct vpd_block_limits *ret)
{
    uint32_t alignment;

    *ret = (struct vpd_block_limits){0};
    length = page_bytes(from, length, VPD_BLOCK_LIMITS);
    if (length < 16)
        return -EINVAL;
    ret->wsnz = from[4] & 0x01;
    ret->max_compare_and_write_blocks = from[5];
    ret->optimal_transfer_granularity = get_be16(from + 6);
    ret->max_transfer = get_be32(from + 8);
    ret->optimal_transfer = get_be32(from + 12);
    ret->max_unmap_blocks = optional_be32(from, length, 20);
    ret->max_unmap_descriptors = optional_be32(from, length, 24);
    ret->optimal_unmap_granularity = optional_be32(from, length, 28);
    alignment = optional_be32(from, length, 32);
    ret->unmap_alignment_valid = alignment & 0x80000000;
    if (ret->unmap_alignment_valid)
        ret->unmap_alignment = alignment & 0x7FFFFFFF;
    if (length >= 44)
        ret->max_write_same = get_be64(from + 36);
    return 0;
}

int vpd_decode_provisioning(const uint8_t *from, size_t length, struct vpd_provisioning *ret)
{
    *ret = (struct vpd_provisioning){0};
    length = page_bytes(from, length, VPD_LOGICAL_BLOCK_PROVISIONING);
    if (length < 6)
        return -EINVAL;
    ret->threshold_exponent = from[4];
    ret->lbpu = from[5] & 0x80;
    ret->lbpws = from[5] & 0x40;
    ret->lbpws10 = from[5] & 0x20;
    ret->lbprz = (from[5] >> 2) & 0x07;
    ret->anc_sup = from[5] & 0x02;
    if (length >= 7)
        ret->provisioning_type = from[6] & 0x07;
    if (length >= 8)
        ret->threshold_percentage = from[7];
    return 0;
}

int vpd_decode_serial(const uint8_t *from, size_t length, char *ret, size_t size)
{
    size_t kept = 0, end;

    ret[0] = 0;
    length = page_bytes(from, length, VPD_UNIT_SERIAL_NUMBER);
    if (length == 0)
        return -EINVAL;
    end = VPD_HEADER_BYTES + text_field_length(from + VPD_HEADER_BYTES, length - VPD_HEADER_BYTES);
    for (size_t i = VPD_HEADER_BYTES; i < end && kept + 1 < size; i++)
        if (text_is_printable(from[i]) && (from[i] != ' ' || kept > 0))
            ret[kept++] = (char)from[i];
    ret[kept] = 0;
    return kept > 0 ? 0 : -ENOENT;
}

bool vpd_supports(const uint8_t *from, size_t length, uint8_t page)
{
    length = page_bytes(from, length, VPD_SUPPORTED_PAGES);
    return length > VPD_HEADER_BYTES &&
           memchr(from + VPD_HEADER_BYTES, page, length - VPD_HEADER_BYTES);
}
