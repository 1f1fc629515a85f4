/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_list.h"

#include <errno.h>
#include <string.h>

#include "byteorder.h"
#include "scsi_defs.h"

#define DESIGNATOR_NAA  0x03 /* of the logical unit: ASSOCIATION 0 */
#define CODE_SET_BINARY 0x01
#define NAA_BYTES       16

#define CSCD_NUL        0x20
#define SEGMENT_DC      0x02

const uint8_t copy_descriptor_codes[COPY_DESCRIPTOR_CODES] = {
    COPY_SEGMENT_BLOCK_TO_BLOCK,
    COPY_SEGMENT_OFFSET_TO_OFFSET,
    COPY_CSCD_IDENTIFICATION,
};

static int refuse(struct copy_list_refusal *refusal, enum scsi_asc_ascq asc_ascq)
{
    *refusal = (struct copy_list_refusal){.asc_ascq = (uint16_t)asc_ascq};
    return -EINVAL;
}

static int refuse_field(struct copy_list_refusal *refusal, enum scsi_asc_ascq asc_ascq,
                        size_t field)
{
    *refusal = (struct copy_list_refusal){.asc_ascq = (uint16_t)asc_ascq,
                                          .has_field = true,
                                          .field = (uint16_t)field};
    return -EINVAL;
}

static int check_cscds(const uint8_t *bytes, const struct copy_list *list,
                       struct copy_list_refusal *refusal)
{
    for (size_t i = 0; i < list->cscd_count; i++) {
        const uint8_t *cscd = list->cscds + i * COPY_CSCD_BYTES;
        size_t at = (size_t)(cscd - bytes);

        if (cscd[0] != COPY_CSCD_IDENTIFICATION)
            return refuse_field(refusal, ASC_UNSUPPORTED_CSCD_TYPE, at);
    }
    return 0;
}

/* 0: a segment descriptor of a type that is not served. */
static size_t bytes_of_segment(uint8_t type)
{
    switch (type) {
    case COPY_SEGMENT_BLOCK_TO_BLOCK:
        return COPY_SEGMENT_BYTES;
    case COPY_SEGMENT_OFFSET_TO_OFFSET:
        return COPY_SEGMENT_MAX_BYTES;
    default:
        return 0;
    }
}

/* Counts the segments, of which segment_bytes hold a whole number. */
static int check_segments(const uint8_t *bytes, size_t segment_bytes, uint16_t max_segments,
                          struct copy_list *list, struct copy_list_refusal *refusal)
{
    for (size_t at = 0, length; at < segment_bytes; at += length) {
        const uint8_t *segment = list->segments + at;
        size_t field = (size_t)(segment - bytes);

        length = bytes_of_segment(segment[0]);
        if (length == 0)
            return refuse_field(refusal, ASC_UNSUPPORTED_SEGMENT_TYPE, field);
        if (segment_bytes - at < length)
            return refuse(refusal, ASC_PARAMETER_LIST_LENGTH_ERROR);
        if (get_be16(segment + COPY_SEGMENT_FIELD_LENGTH) != length - 4)
            return refuse_field(refusal, ASC_INVALID_FIELD_IN_PARAMETER_LIST,
                                field + COPY_SEGMENT_FIELD_LENGTH);
        if (++list->segment_count > max_segments)
            return refuse(refusal, ASC_TOO_MANY_SEGMENTS);
    }
    return 0;
}

static int check_id(const struct copy_list *list, unsigned usage, struct copy_list_refusal *refusal)
{
    if (usage == 1)
        return refuse_field(refusal, ASC_INVALID_FIELD_IN_PARAMETER_LIST, COPY_FIELD_LIST_ID_USAGE);
    if (usage == COPY_LIST_ID_NONE && list->id != 0)
        return refuse_field(refusal, ASC_INVALID_FIELD_IN_PARAMETER_LIST, COPY_FIELD_LIST_ID);
    return 0;
}

int copy_list_decode(const uint8_t *bytes, size_t length, const struct copy_list_limits *limits,
                     struct copy_list *ret, struct copy_list_refusal *ret_refusal)
{
    uint64_t cscd_bytes, segment_bytes, inline_bytes;
    int error;

    *ret = (struct copy_list){0};
    if (length < COPY_LIST_HEADER_BYTES)
        return refuse(ret_refusal, ASC_PARAMETER_LIST_LENGTH_ERROR);
    ret->id = bytes[0];
    ret->id_usage = (enum copy_list_id_usage)(bytes[1] >> 3 & 0x03);
    error = check_id(ret, bytes[1] >> 3 & 0x03, ret_refusal);
    if (error)
        return error;
    cscd_bytes = get_be16(bytes + 2);
    segment_bytes = get_be32(bytes + 8);
    inline_bytes = get_be32(bytes + 12);
    if (cscd_bytes + segment_bytes > limits->max_descriptor_bytes)
        return refuse(ret_refusal, ASC_PARAMETER_LIST_LENGTH_ERROR);
    if (inline_bytes > 0)
        return refuse_field(ret_refusal, ASC_INLINE_DATA_LENGTH_EXCEEDED, COPY_FIELD_INLINE_LENGTH);
    if (cscd_bytes + segment_bytes > length - COPY_LIST_HEADER_BYTES)
        return refuse(ret_refusal, ASC_PARAMETER_LIST_LENGTH_ERROR);
    if (cscd_bytes % COPY_CSCD_BYTES != 0)
        return refuse_field(ret_refusal, ASC_INVALID_FIELD_IN_PARAMETER_LIST,
                            COPY_FIELD_CSCD_LIST_LENGTH);
    ret->cscds = bytes + COPY_LIST_HEADER_BYTES;
    ret->cscd_count = cscd_bytes / COPY_CSCD_BYTES;
    ret->segments = ret->cscds + cscd_bytes;
    if (ret->cscd_count > limits->max_cscds)
        return refuse(ret_refusal, ASC_TOO_MANY_CSCDS);
    error = check_cscds(bytes, ret, ret_refusal);
    return error ? error
                 : check_segments(bytes, (size_t)segment_bytes, limits->max_segments, ret,
                                  ret_refusal);
}

struct copy_cscd copy_list_cscd(const struct copy_list *list, size_t index)
{
    const uint8_t *from = list->cscds + index * COPY_CSCD_BYTES;
    bool is_naa = (from[4] & 0x0F) == CODE_SET_BINARY && (from[5] & 0x3F) == DESIGNATOR_NAA &&
                  from[7] == NAA_BYTES;

    return (struct copy_cscd){
        .unused = from[1] & CSCD_NUL,
        .peripheral_type = from[1] & 0x1F,
        .naa = is_naa ? from + 8 : NULL,
        .block_size = get_be24(from + 29),
    };
}

struct copy_segment copy_list_segment(const struct copy_list *list, size_t index)
{
    const uint8_t *from = list->segments;
    struct copy_segment segment;

    while (index-- > 0)
        from += bytes_of_segment(from[0]);
    segment = (struct copy_segment){
        .has_offsets = from[0] == COPY_SEGMENT_OFFSET_TO_OFFSET,
        .source = get_be16(from + COPY_SEGMENT_FIELD_SOURCE),
        .destination = get_be16(from + COPY_SEGMENT_FIELD_DESTINATION),
        .source_lba = get_be64(from + COPY_SEGMENT_FIELD_SOURCE_LBA),
        .destination_lba = get_be64(from + COPY_SEGMENT_FIELD_DESTINATION_LBA),
    };
    if (segment.has_offsets) {
        segment.bytes = get_be32(from + COPY_SEGMENT_FIELD_BYTES);
        segment.source_offset = get_be16(from + COPY_SEGMENT_FIELD_SOURCE_OFFSET);
        segment.destination_offset = get_be16(from + COPY_SEGMENT_FIELD_DESTINATION_OFFSET);
    } else {
        segment.counts_destination_blocks = from[1] & SEGMENT_DC;
        segment.blocks = get_be16(from + COPY_SEGMENT_FIELD_BLOCKS);
    }
    return segment;
}

void copy_cscd_encode(uint8_t *to, const uint8_t naa[static 16], uint32_t block_size)
{
    memset(to, 0, COPY_CSCD_BYTES);
    to[0] = COPY_CSCD_IDENTIFICATION;
    to[4] = CODE_SET_BINARY;
    to[5] = DESIGNATOR_NAA;
    to[7] = NAA_BYTES;
    memcpy(to + 8, naa, NAA_BYTES);
    put_be24(to + 29, block_size);
}
