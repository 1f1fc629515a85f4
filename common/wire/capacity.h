/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_CAPACITY_H
#define THINMIRROR_WIRE_CAPACITY_H

/* READ CAPACITY parameter data, SBC-4 5.20.2 and 5.21.2. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READ_CAPACITY_10_BYTES 8
#define READ_CAPACITY_16_BYTES 32

struct capacity {
    uint64_t blocks; /* the last LBA + 1; never 0 */
    uint32_t block_size;
    uint8_t physical_exponent; /* LBPPBE */
    uint16_t lowest_aligned_lba;
    bool lbpme;
    bool lbprz;
};

/* A capacity over 32 bits is encoded as FFFFFFFFh (5.20.2). */
void capacity_encode_10(const struct capacity *capacity, uint8_t to[static READ_CAPACITY_10_BYTES]);
void capacity_encode_16(const struct capacity *capacity, uint8_t to[static READ_CAPACITY_16_BYTES]);

/* -EINVAL: shorter than 12 bytes (16) or 8 (10), block size 0, or a last LBA of FFFFFFFFFFFFFFFFh.
 * _10: -ERANGE when the LUN is larger than it can say. On failure *ret is zeroed; fields that a
 * shorter reply lacks are 0. */
int capacity_decode_16(const uint8_t *from, size_t length, struct capacity *ret);
int capacity_decode_10(const uint8_t *from, size_t length, struct capacity *ret);

#endif
