/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_XFS_H
#define THINMIRROR_XFS_H

/* What the parts of the XFS analyser share. All numbers on disk are big-endian, checksums
 * little-endian. */

#include <stdbool.h>
#include <stdint.h>

#include "region.h"

struct xfs {
    struct region *region;
    bool checksums; /* version 5 */
    uint8_t uuid[16];
    uint8_t meta_uuid[16]; /* the one in the other structures */
    uint32_t block_bytes, sector_bytes;
    uint64_t blocks;
    uint32_t ag_blocks, ag_count;
    uint64_t log_start; /* bytes in the region */
    uint64_t log_bytes;
};

/* Whether the CRC32C in the 4 bytes at crc_offset is that of the structure without it. */
bool xfs_checksum_ok(uint8_t *bytes, size_t length, size_t crc_offset);

/* 0: the log ends in the record of a clean unmount, so there is nothing to replay. Refuses
 * otherwise. */
int xfs_log_check(const struct xfs *xfs);

/* Claims the free extents of all allocation groups. */
int xfs_take_groups(const struct xfs *xfs);

#endif
