/* SPDX-License-Identifier: Apache-2.0 */
#include "bitmap_reply.h"

#include <errno.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"

#define SIGNATURE          "TMBITMAP"
#define SIGNATURE_BYTES    8
#define VERSION            1
#define MODE_VENDOR        0x01
#define ELEMENT_MAX_BYTES  (UINT64_C(1) << 40)
#define MAX_LUN_BYTES      ((uint64_t)INT64_MAX)
#define ELEMENTS_IN_A_BYTE 8

size_t bitmap_page_encode(uint8_t to[static BITMAP_PAGE_BYTES], const struct bitmap_page *page)
{
    memset(to, 0, BITMAP_PAGE_BYTES);
    to[1] = VPD_ALLOCATION_BITMAP;
    put_be16(to + 2, BITMAP_PAGE_BYTES - 4);
    memcpy(to + 4, SIGNATURE, SIGNATURE_BYTES);
    to[12] = VERSION;
    to[13] = MODE_VENDOR;
    put_be32(to + 16, page->max_bitmap_bytes);
    put_be64(to + 20, page->element_bytes);
    memcpy(to + 28, page->uuid, BITMAP_UUID_BYTES);
    return BITMAP_PAGE_BYTES;
}

int bitmap_page_decode(const uint8_t *from, size_t length, struct bitmap_page *ret)
{
    if (length < BITMAP_PAGE_BYTES || from[1] != VPD_ALLOCATION_BITMAP ||
        get_be16(from + 2) < BITMAP_PAGE_BYTES - 4 ||
        memcmp(from + 4, SIGNATURE, SIGNATURE_BYTES) != 0 || from[12] != VERSION ||
        from[13] != MODE_VENDOR)
        return -EINVAL;
    ret->max_bitmap_bytes = get_be32(from + 16);
    ret->element_bytes = get_be64(from + 20);
    memcpy(ret->uuid, from + 28, BITMAP_UUID_BYTES);
    if (ret->max_bitmap_bytes == 0 || !is_power_of_two(ret->element_bytes) ||
        ret->element_bytes < 512 || ret->element_bytes > ELEMENT_MAX_BYTES)
        return -EINVAL;
    return 0;
}

void bitmap_header_encode(uint8_t to[static BITMAP_HEADER_BYTES],
                          const struct bitmap_header *header)
{
    memset(to, 0, BITMAP_HEADER_BYTES);
    memcpy(to, SIGNATURE, SIGNATURE_BYTES);
    to[8] = VERSION;
    put_be16(to + 10, BITMAP_HEADER_BYTES);
    put_be32(to + 12, header->bits);
    memcpy(to + 16, header->uuid, BITMAP_UUID_BYTES);
    put_be64(to + 32, header->lun_bytes);
    put_be64(to + 40, header->element_bytes);
    put_be64(to + 48, header->first);
    put_be64(to + 56, header->next);
}

size_t bitmap_cdb(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint32_t byte, uint32_t allocation_length)
{
    memset(cdb, 0, SCSI_CDB_MAX_BYTES);
    cdb[0] = SCSI_READ_BUFFER_10;
    cdb[1] = MODE_VENDOR;
    put_be32(cdb + 2, byte); /* BUFFER ID, BUFFER OFFSET */
    put_be24(cdb + 6, allocation_length);
    return 10;
}

static uint64_t element_blocks(const struct bitmap_geometry *geometry)
{
    return geometry->page.element_bytes / geometry->block_size;
}

static uint64_t element_count(const struct bitmap_geometry *geometry)
{
    uint64_t each = element_blocks(geometry);

    return geometry->blocks / each + (geometry->blocks % each != 0);
}

bool bitmap_geometry_is_sound(const struct bitmap_geometry *geometry)
{
    return is_power_of_two(geometry->block_size) &&
           geometry->page.element_bytes >= geometry->block_size && geometry->blocks > 0 &&
           geometry->blocks <= MAX_LUN_BYTES / geometry->block_size &&
           element_count(geometry) <= BITMAP_MAX_ELEMENTS;
}

uint32_t bitmap_byte_of(const struct bitmap_geometry *geometry, uint64_t lba)
{
    return (uint32_t)(lba / element_blocks(geometry) / ELEMENTS_IN_A_BYTE);
}

/* The header, if it is one of this LUN and agrees with itself and with what was asked. */
static int decode_header(const struct bitmap_geometry *geometry, const uint8_t *from, size_t length,
                         uint64_t lba, struct bitmap_header *ret)
{
    uint64_t elements = element_count(geometry);
    uint64_t wanted = lba / element_blocks(geometry);

    if (length < BITMAP_HEADER_BYTES || memcmp(from, SIGNATURE, SIGNATURE_BYTES) != 0 ||
        from[8] != VERSION || get_be16(from + 10) != BITMAP_HEADER_BYTES ||
        memcmp(from + 16, geometry->page.uuid, BITMAP_UUID_BYTES) != 0)
        return -EINVAL;
    ret->bits = get_be32(from + 12);
    ret->lun_bytes = get_be64(from + 32);
    ret->element_bytes = get_be64(from + 40);
    ret->first = get_be64(from + 48);
    ret->next = get_be64(from + 56);
    if (ret->lun_bytes != geometry->blocks * geometry->block_size ||
        ret->element_bytes != geometry->page.element_bytes ||
        ret->first != wanted / ELEMENTS_IN_A_BYTE * ELEMENTS_IN_A_BYTE ||
        ret->bits > (length - BITMAP_HEADER_BYTES) * ELEMENTS_IN_A_BYTE)
        return -EINVAL;
    if (ret->next > elements || ret->next <= wanted || ret->next < ret->first + ret->bits)
        return -EINVAL;
    return 0;
}

/* Blocks from *lba up to the end of what comes before this element. */
static int append_up_to(const struct bitmap_geometry *geometry, uint64_t element, uint64_t limit,
                        enum extent_status status, struct extent_list *list, uint64_t *lba)
{
    uint64_t end = min_u64(min_u64(element * element_blocks(geometry), geometry->blocks), limit);
    int error;

    if (end <= *lba)
        return 0;
    error = extent_list_append(list, *lba, end - *lba, status);
    if (!error)
        *lba = end;
    return error;
}

static bool bit_of(const uint8_t *bits, uint64_t index)
{
    return bits[index / 8] >> (index % 8) & 1;
}

/* Where the run of equal bits that begins at index ends, whole bytes at a time where that goes. */
static uint32_t run_end(const uint8_t *bits, uint32_t index, uint32_t count)
{
    bool value = bit_of(bits, index);
    uint8_t whole = value ? 0xFF : 0;

    while (index < count && bit_of(bits, index) == value) {
        if (index % 8 == 0 && bits[index / 8] == whole)
            index += 8;
        else
            index++;
    }
    return index < count ? index : count;
}

/* Appends what the section, whose header is sound, says. */
static int append_section(const struct bitmap_geometry *geometry,
                          const struct bitmap_header *header, const uint8_t *bits, uint64_t limit,
                          struct extent_list *list, uint64_t *lba)
{
    int error = 0;

    for (uint32_t i = 0, end; !error && i < header->bits; i = end) {
        end = run_end(bits, i, header->bits);
        error = append_up_to(geometry, header->first + end, limit,
                             bit_of(bits, i) ? EXTENT_MAPPED : EXTENT_DEALLOCATED, list, lba);
    }
    if (!error)
        error = append_up_to(geometry, header->next, limit, EXTENT_DEALLOCATED, list, lba);
    return error;
}

int bitmap_reply_decode(const struct bitmap_geometry *geometry, const uint8_t *from, size_t length,
                        uint64_t lba, uint64_t limit, struct extent_list *list, uint64_t *ret_next)
{
    struct bitmap_header header;
    int error = decode_header(geometry, from, length, lba, &header);

    *ret_next = lba;
    while (!error) {
        size_t used = BITMAP_HEADER_BYTES + (header.bits + 7) / 8;

        error =
            append_section(geometry, &header, from + BITMAP_HEADER_BYTES, limit, list, ret_next);
        from += used;
        length -= used;
        /* Another section is one of the block that is next, or is none. */
        if (error || *ret_next >= min_u64(limit, geometry->blocks) ||
            decode_header(geometry, from, length, *ret_next, &header) != 0)
            break;
    }
    return error;
}
