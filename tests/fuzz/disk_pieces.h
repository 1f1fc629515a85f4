/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_DISK_PIECES_H
#define THINMIRROR_DISK_PIECES_H

/* The disk that an input of the targets disk_* describes: its sectors (4 bytes), then pieces that
 * are not zeros, each a sector (4 bytes), a length in bytes (2 bytes) and so many bytes;
 * big-endian. A piece at sector DISK_ANSWER is none of the disk: it is the answer (see
 * fuzz_disk.c). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_SECTOR      512
#define DISK_HEAD_BYTES  4
#define DISK_PIECE_BYTES 6
#define DISK_ANSWER      UINT32_MAX
#define DISK_BASE        (UINT32_MAX - 1)
#define DISK_BASE_HEAD   3
#define DISK_SECTORS_MAX (1U << 21) /* 1 GiB: large enough for every format */

enum disk_base_option { DISK_BASE_MENDED = 1 };

struct disk_piece {
    uint32_t sector;
    size_t at, bytes; /* of its contents in the input */
};

/* The piece whose head is at *at, behind which *at is moved; false behind the last one. */
bool disk_next_piece(const uint8_t *input, size_t size, size_t *at, struct disk_piece *ret);

uint64_t disk_sectors(const uint8_t *input, size_t size);

/* The input itself, or, when it has a base, a new one in *ret_owned (else NULL) with the base's
 * disk and what is changed of it, mended if that was asked for. *ret_failing: the request that
 * fails, from 1 on, or 0. */
const uint8_t *disk_expand(const uint8_t *input, size_t *size, uint8_t **ret_owned,
                           unsigned *ret_failing);

/* length bytes of the disk from offset on; zeros where there is no piece. */
void disk_read(const uint8_t *input, size_t size, uint64_t offset, void *to, size_t length);
/* Changes them, where there are pieces. */
void disk_write(uint8_t *input, size_t size, uint64_t offset, const void *from, size_t length);

/* Makes the checksums of btrfs, XFS, LVM2, GPT, exFAT and md fit what they are of, and the fixups
 * of NTFS, wherever their marks are, and those of an ext4 that has the disk for itself. Sound ones
 * stay as they are. */
void disk_mend(uint8_t *input, size_t size);

#endif
