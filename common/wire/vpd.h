/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_VPD_H
#define THINMIRROR_WIRE_VPD_H

/* Vital product data pages, SPC-4 7.8 and SBC-4 6.6. Encoders write a whole page, header
 * included, and return its length; decoders never read past length. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VPD_HEADER_BYTES   4
#define VPD_PAGE_MAX_BYTES 512
#define VPD_TEXT_MAX_BYTES 240

/* Block limits, page B0h (SBC-4 6.6.4). Lengths in logical blocks; 0: not stated. */
struct vpd_block_limits {
    bool wsnz;
    uint8_t max_compare_and_write_blocks;
    uint16_t optimal_transfer_granularity;
    uint32_t max_transfer;
    uint32_t optimal_transfer;
    uint32_t max_unmap_blocks;
    uint32_t max_unmap_descriptors;
    uint32_t optimal_unmap_granularity;
    bool unmap_alignment_valid; /* UGAVALID */
    uint32_t unmap_alignment;
    uint64_t max_write_same;
};

/* Logical block provisioning, page B2h (SBC-4 6.6.7). */
struct vpd_provisioning {
    uint8_t threshold_exponent;
    bool lbpu;
    bool lbpws;
    bool lbpws10;
    uint8_t lbprz; /* 3 bits */
    bool anc_sup;
    uint8_t provisioning_type;    /* 0 not stated, 1 resource, 2 thin */
    uint8_t threshold_percentage; /* the width of a threshold in percent; 0: there is none */
};

/* What page 83h tells of the logical unit itself (association 00b). text is the designator as
 * "naa.6...", "eui....", "t10.VENDOR...", "uuid....", NUL-terminated. The best one wins:
 * NAA 6h, 5h, 2h or 3h, EUI-64, UUID, T10 vendor identification. */
#define VPD_DESIGNATOR_TEXT_BYTES 264
struct vpd_identity {
    char text[VPD_DESIGNATOR_TEXT_BYTES];
};

/* pages: ascending (SPC-4 7.8.13), at most 256. */
size_t vpd_encode_supported(uint8_t *to, const uint8_t *pages, size_t count);
/* Cut at VPD_TEXT_MAX_BYTES characters. */
size_t vpd_encode_serial(uint8_t *to, const char *serial);
/* naa: 16 bytes of an NAA 6h designator; t10: vendor (8 bytes, padded here) and the rest, cut at
 * VPD_TEXT_MAX_BYTES characters. */
size_t vpd_encode_identification(uint8_t *to, const uint8_t naa[static 16], const char *t10_vendor,
                                 const char *t10_rest);
/* Adds to a page 83h of length bytes which target port group the port is of that the page is asked
 * through, and its relative target port identifier (0: not known); the page's new length. */
size_t vpd_add_target_port(uint8_t *to, size_t length, uint16_t group, uint16_t port);
/* Extended INQUIRY data, page 86h (SPC-4 7.8.7): simple tasks (SIMPSUP), a volatile cache (V_SUP),
 * at most that number of bytes of sense data, and nothing else that the page has bits for. */
size_t vpd_encode_extended_inquiry(uint8_t *to, uint8_t max_sense_bytes);
size_t vpd_encode_block_limits(uint8_t *to, const struct vpd_block_limits *limits);
/* Non-rotating medium (MEDIUM ROTATION RATE 0001h); blocks can be read after a SANITIZE BLOCK ERASE
 * (WABEREQ 01b); VERIFY may compare unmapped blocks (VBULS). */
size_t vpd_encode_characteristics(uint8_t *to);
size_t vpd_encode_provisioning(uint8_t *to, const struct vpd_provisioning *provisioning);

/* -EINVAL: not that page, or cut before its last field that its first standard had (byte 15 of B0h,
 * byte 5 of B2h). Fields that a shorter page lacks are 0. */
int vpd_decode_block_limits(const uint8_t *from, size_t length, struct vpd_block_limits *ret);
int vpd_decode_provisioning(const uint8_t *from, size_t length, struct vpd_provisioning *ret);
/* -ENOENT: no usable designator; what follows a cut designation descriptor is ignored. -EINVAL: not
 * that page. */
int vpd_decode_identity(const uint8_t *from, size_t length, struct vpd_identity *ret);
/* The serial number without padding, printable characters only, cut to size - 1 of them.
 * -ENOENT when it is empty, -EINVAL: not that page. */
int vpd_decode_serial(const uint8_t *from, size_t length, char *ret, size_t size);
/* True when page stands in a supported-pages reply. */
bool vpd_supports(const uint8_t *from, size_t length, uint8_t page);

#endif
