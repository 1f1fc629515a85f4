/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_COPY_LIST_H
#define THINMIRROR_WIRE_COPY_LIST_H

/* The parameter list of EXTENDED COPY(LID1), SPC-4 6.4.2, with identification CSCD descriptors
 * (6.4.5.2) and segment descriptors for block to block (6.4.6.4) and block with offset to block
 * with offset (6.4.6.12). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COPY_LIST_HEADER_BYTES 16
#define COPY_CSCD_BYTES        32
#define COPY_SEGMENT_BYTES     28 /* block to block */
#define COPY_SEGMENT_MAX_BYTES 32 /* with offsets */

enum copy_descriptor_code {
    COPY_SEGMENT_BLOCK_TO_BLOCK = 0x02,
    COPY_SEGMENT_OFFSET_TO_OFFSET = 0x0A,
    COPY_CSCD_IDENTIFICATION = 0xE4,
};

/* All that are served, in the order in which they are to be listed. */
#define COPY_DESCRIPTOR_CODES 3
extern const uint8_t copy_descriptor_codes[COPY_DESCRIPTOR_CODES];

/* A CSCD DESCRIPTOR ID that means the logical unit which got the command. */
#define COPY_CSCD_ID_SELF 0xFFFF

/* LIST ID USAGE */
enum copy_list_id_usage {
    COPY_LIST_ID_HOLD = 0,
    COPY_LIST_ID_DISCARD = 2,
    COPY_LIST_ID_NONE = 3,
};

/* Where things lie, from the start of the list and of a segment descriptor, for field pointers. */
enum copy_list_field {
    COPY_FIELD_LIST_ID = 0,
    COPY_FIELD_LIST_ID_USAGE = 1,
    COPY_FIELD_CSCD_LIST_LENGTH = 2,
    COPY_FIELD_INLINE_LENGTH = 12,
    COPY_SEGMENT_FIELD_LENGTH = 2,
    COPY_SEGMENT_FIELD_SOURCE = 4,
    COPY_SEGMENT_FIELD_DESTINATION = 6,
    COPY_SEGMENT_FIELD_BYTES = 8, /* with offsets */
    COPY_SEGMENT_FIELD_BLOCKS = 10,
    COPY_SEGMENT_FIELD_SOURCE_LBA = 12,
    COPY_SEGMENT_FIELD_DESTINATION_LBA = 20,
    COPY_SEGMENT_FIELD_SOURCE_OFFSET = 28,
    COPY_SEGMENT_FIELD_DESTINATION_OFFSET = 30,
};

/* What is served; more is refused. */
struct copy_list_limits {
    uint16_t max_cscds;
    uint16_t max_segments;
    uint32_t max_descriptor_bytes;
};

/* A received list; it points into the caller's bytes. */
struct copy_list {
    uint8_t id;
    enum copy_list_id_usage id_usage;
    const uint8_t *cscds;
    size_t cscd_count;
    const uint8_t *segments;
    size_t segment_count;
};

struct copy_cscd {
    bool unused; /* NUL */
    uint8_t peripheral_type;
    const uint8_t *naa; /* 16 bytes; NULL: it is named in another way */
    uint32_t block_size;
};

struct copy_segment {
    bool has_offsets;               /* block with offset to block with offset: bytes are counted */
    bool counts_destination_blocks; /* DC */
    uint16_t source;                /* CSCD DESCRIPTOR IDs */
    uint16_t destination;
    uint16_t blocks; /* without offsets */
    uint32_t bytes;  /* with offsets */
    uint64_t source_lba;
    uint64_t destination_lba;
    uint16_t source_offset; /* bytes into the first block; 0 without offsets */
    uint16_t destination_offset;
};

/* Why a list is refused, with ILLEGAL REQUEST. */
struct copy_list_refusal {
    uint16_t asc_ascq;
    bool has_field;
    uint16_t field; /* the byte that is at fault */
};

/* length: the bytes there are, the PARAMETER LIST LENGTH, not 0. Checks all that can be checked
 * without knowing the logical units. -EINVAL with *ret_refusal. Fuzzed. */
int copy_list_decode(const uint8_t *bytes, size_t length, const struct copy_list_limits *limits,
                     struct copy_list *ret, struct copy_list_refusal *ret_refusal);

struct copy_cscd copy_list_cscd(const struct copy_list *list, size_t index);
struct copy_segment copy_list_segment(const struct copy_list *list, size_t index);

/* Writes COPY_CSCD_BYTES: an identification descriptor for a direct access block device. */
void copy_cscd_encode(uint8_t *to, const uint8_t naa[static 16], uint32_t block_size);

#endif
