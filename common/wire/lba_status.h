/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_LBA_STATUS_H
#define THINMIRROR_WIRE_LBA_STATUS_H

/* GET LBA STATUS parameter data, SBC-4 5.9.2. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "extents.h"

#define LBA_STATUS_HEADER_BYTES     8
#define LBA_STATUS_DESCRIPTOR_BYTES 16

/* The largest number of blocks one descriptor can state; a longer extent takes several. */
#define LBA_STATUS_DESCRIPTOR_BLOCKS UINT32_MAX

/* REPORT TYPE (5.9.1): which blocks are wanted. */
enum lba_status_type {
    LBA_STATUS_TYPE_ALL = 0x00,
    LBA_STATUS_TYPE_NON_ZERO = 0x01, /* all, with no status that is coded as zero */
    LBA_STATUS_TYPE_MAPPED = 0x02,
    LBA_STATUS_TYPE_DEALLOCATED = 0x03,
    LBA_STATUS_TYPE_ANCHORED = 0x04,
    LBA_STATUS_TYPE_UNREADABLE = 0x10, /* a read may end with an unrecovered error */
};

/* PROVISIONING STATUS of mapped blocks (5.9.2.3) where REPORT TYPE is not 00h, in which
 * EXTENT_MAPPED stands for "mapped or unknown". */
#define LBA_STATUS_SURELY_MAPPED 3

/* COMPLETION CONDITION, byte 7 bits 3:1. */
enum lba_status_completion {
    LBA_STATUS_NO_INDICATION = 0,
    LBA_STATUS_ALLOCATION_LENGTH = 1,
    LBA_STATUS_SCAN_LENGTH = 2,
    LBA_STATUS_END_OF_CAPACITY = 3,
};

/* How many descriptors fit in an allocation length. */
size_t lba_status_capacity(uint32_t allocation_length);

/* descriptors: how many there are to report, whether or not the allocation length lets them all
 * through (5.9.2.2). */
void lba_status_encode_header(uint8_t to[static LBA_STATUS_HEADER_BYTES], uint32_t descriptors,
                              enum lba_status_completion completion, bool rtp);
/* provisioning_status: an enum extent_status or LBA_STATUS_SURELY_MAPPED. */
void lba_status_encode_descriptor(uint8_t to[static LBA_STATUS_DESCRIPTOR_BYTES], uint64_t lba,
                                  uint32_t blocks, unsigned provisioning_status);

/* What a target's reply may be wrong about. */
enum lba_status_defect {
    LBA_STATUS_SOUND = 0,
    LBA_STATUS_SHORT,       /* no whole descriptor */
    LBA_STATUS_WRONG_START, /* the first descriptor is not about the LBA asked for */
    LBA_STATUS_UNORDERED,   /* overlap, gap or step back */
    LBA_STATUS_ZERO_BLOCKS,
    LBA_STATUS_BEYOND_END, /* past the capacity or wrapping */
};

/* Appends to list (in logical blocks) what a type-00h reply of length received bytes says about
 * [lba, capacity), stopping at the first descriptor that breaks the standard's rules. Unknown
 * status codes count as mapped. *ret_next: the first LBA not covered (lba itself when nothing
 * could be used). Never reads past length. 0 with *ret_defect, or extent_list_append's error:
 * -ENOMEM, or -EINVAL when list already goes past lba. */
int lba_status_decode(const uint8_t *from, size_t length, uint64_t lba, uint64_t capacity,
                      struct extent_list *list, uint64_t *ret_next,
                      enum lba_status_defect *ret_defect);

/* A few words for people that end a sentence like "the reply has ...". */
const char *lba_status_defect_text(enum lba_status_defect defect);

#endif
