/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_BITMAP_REPLY_H
#define THINMIRROR_WIRE_BITMAP_REPLY_H

/* The map of a LUN as one bit for each element of its storage: READ BUFFER(10) in the
 * vendor-specific mode, and the VPD page that announces it. docs/bitmap.md has the bytes. The first
 * byte wanted of the bitmap is given by BUFFER ID and BUFFER OFFSET as one number of 32 bits; each
 * reply says what it is about, so that none is taken for another. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "extents.h"
#include "scsi_defs.h"

#define BITMAP_PAGE_BYTES   44
#define BITMAP_HEADER_BYTES 64
#define BITMAP_UUID_BYTES   16

/* What 32 bits of a byte's number can address. */
#define BITMAP_MAX_ELEMENTS (UINT64_C(1) << 35)

/* The vendor-specific VPD page VPD_ALLOCATION_BITMAP. */
struct bitmap_page {
    uint64_t element_bytes;    /* a power of two */
    uint32_t max_bitmap_bytes; /* in one reply */
    uint8_t uuid[BITMAP_UUID_BYTES];
};

/* The header of a reply, and of each further section in it. */
struct bitmap_header {
    uint8_t uuid[BITMAP_UUID_BYTES];
    uint64_t lun_bytes;
    uint64_t element_bytes;
    uint64_t first; /* element; a multiple of 8 */
    uint32_t bits;  /* told one by one, from first on */
    uint64_t next;  /* the elements from there up to this one are not backed */
};

size_t bitmap_page_encode(uint8_t to[static BITMAP_PAGE_BYTES], const struct bitmap_page *page);
/* -EINVAL: not that page, or fields that cannot be. */
int bitmap_page_decode(const uint8_t *from, size_t length, struct bitmap_page *ret);

void bitmap_header_encode(uint8_t to[static BITMAP_HEADER_BYTES],
                          const struct bitmap_header *header);

/* READ BUFFER(10) for the bitmap from byte on; allocation_length: below 2^24, header included. */
size_t bitmap_cdb(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint32_t byte,
                  uint32_t allocation_length);

/* What is known of the LUN that is asked. */
struct bitmap_geometry {
    struct bitmap_page page;
    uint32_t block_size; /* a power of two */
    uint64_t blocks;
};

/* Whether the page can be of a LUN of that size: an element is at least a block, and the bitmap has
 * a number for each. The functions below take nothing else. */
bool bitmap_geometry_is_sound(const struct bitmap_geometry *geometry);

/* The number of the bitmap's byte to ask for to learn of this block. */
uint32_t bitmap_byte_of(const struct bitmap_geometry *geometry, uint64_t lba);

/* Appends to list what a reply of length bytes, to the question for bitmap_byte_of(lba), says about
 * the blocks from lba up to limit: mapped for a bit that is set, otherwise deallocated. *ret_next:
 * the first block it does not tell. A further section that is not sound, or not of the block that
 * the one before it ends with, is not looked at. Never reads past length. -EINVAL, with nothing
 * appended, for a reply that is about something else, tells nothing of lba or contradicts itself;
 * or extent_list_append's error. */
int bitmap_reply_decode(const struct bitmap_geometry *geometry, const uint8_t *from, size_t length,
                        uint64_t lba, uint64_t limit, struct extent_list *list, uint64_t *ret_next);

#endif
