/* SPDX-License-Identifier: Apache-2.0 */
#include "lba_status.h"

#include <string.h>

#include "byteorder.h"
#include "checked.h"

size_t lba_status_capacity(uint32_t allocation_length)
{
    if (allocation_length < LBA_STATUS_HEADER_BYTES)
        return 0;
    return (allocation_length - LBA_STATUS_HEADER_BYTES) / LBA_STATUS_DESCRIPTOR_BYTES;
}

void lba_status_encode_header(uint8_t to[static LBA_STATUS_HEADER_BYTES], uint32_t descriptors,
                              enum lba_status_completion completion, bool rtp)
{
    memset(to, 0, LBA_STATUS_HEADER_BYTES);
    put_be32(to, 4 + descriptors * LBA_STATUS_DESCRIPTOR_BYTES);
    to[7] = (uint8_t)(((unsigned)completion & 0x07) << 1 | (rtp ? 1 : 0));
}

void lba_status_encode_descriptor(uint8_t to[static LBA_STATUS_DESCRIPTOR_BYTES], uint64_t lba,
                                  uint32_t blocks, unsigned provisioning_status)
{
    memset(to, 0, LBA_STATUS_DESCRIPTOR_BYTES);
    put_be64(to, lba);
    put_be32(to + 8, blocks);
    to[12] = provisioning_status & 0x0F;
}

/* Whole descriptors that both the reply's own length and the bytes received hold. */
static size_t received_descriptors(const uint8_t *from, size_t length)
{
    if (length < LBA_STATUS_HEADER_BYTES)
        return 0;
    length = (size_t)min_u64(length, UINT64_C(4) + get_be32(from));
    if (length < LBA_STATUS_HEADER_BYTES)
        return 0;
    return (length - LBA_STATUS_HEADER_BYTES) / LBA_STATUS_DESCRIPTOR_BYTES;
}

/* Unknown codes, and those that type 00h has no use for, are taken as mapped. */
static enum extent_status status_of(uint8_t provisioning_status)
{
    switch (provisioning_status & 0x0F) {
    case EXTENT_DEALLOCATED:
        return EXTENT_DEALLOCATED;
    case EXTENT_ANCHORED:
        return EXTENT_ANCHORED;
    default:
        return EXTENT_MAPPED;
    }
}

int lba_status_decode(const uint8_t *from, size_t length, uint64_t lba, uint64_t capacity,
                      struct extent_list *list, uint64_t *ret_next,
                      enum lba_status_defect *ret_defect)
{
    size_t count = received_descriptors(from, length);

    *ret_next = lba;
    *ret_defect = count == 0 ? LBA_STATUS_SHORT : LBA_STATUS_SOUND;
    for (size_t i = 0; i < count && *ret_defect == LBA_STATUS_SOUND; i++) {
        const uint8_t *at = from + LBA_STATUS_HEADER_BYTES + i * LBA_STATUS_DESCRIPTOR_BYTES;
        uint64_t start = get_be64(at);
        uint32_t blocks = get_be32(at + 8);
        int error;

        if (start != *ret_next) {
            *ret_defect = i == 0 ? LBA_STATUS_WRONG_START : LBA_STATUS_UNORDERED;
        } else if (blocks == 0) {
            *ret_defect = LBA_STATUS_ZERO_BLOCKS;
        } else if (!range_within(start, blocks, capacity)) {
            *ret_defect = LBA_STATUS_BEYOND_END;
        } else {
            error = extent_list_append(list, start, blocks, status_of(at[12]));
            if (error)
                return error;
            *ret_next = start + blocks;
        }
    }
    return 0;
}

const char *lba_status_defect_text(enum lba_status_defect defect)
{
    switch (defect) {
    case LBA_STATUS_SOUND:
        return "no defect";
    case LBA_STATUS_SHORT:
        return "no whole descriptor";
    case LBA_STATUS_WRONG_START:
        return "a first descriptor for another LBA than the one asked for";
    case LBA_STATUS_UNORDERED:
        return "descriptors that overlap or leave a gap";
    case LBA_STATUS_ZERO_BLOCKS:
        return "a descriptor of zero blocks";
    case LBA_STATUS_BEYOND_END:
        return "a descriptor that goes past the end of the LUN";
    }
    return "an unknown defect";
}
