/* SPDX-License-Identifier: Apache-2.0 */

/* XFS, versions 4 and 5: the superblock. Free is what the free-space trees list. */

#include "xfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l/crc.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "format_registry.h"

#define MAGIC        "XFSB"
#define SUPER_BYTES  264
#define SECTOR_MAX   32768
#define SUPER_CRC    224
#define AG_COUNT_MAX (1 << 20)
#define BLOCK_MAX    65536
#define AG_LOG_MAX   31

/* sb_features_incompat: ftype, sparse inodes, meta_uuid, bigtime, large extent counters. */
#define INCOMPAT_KNOWN     0x2FU
#define INCOMPAT_META_UUID 0x04U
#define INCOMPAT_REPAIR    0x10U
/* sb_features_ro_compat: finobt, rmapbt, reflink, inobtcount. */
#define RO_COMPAT_KNOWN 0x0FU

bool xfs_checksum_ok(uint8_t *bytes, size_t length, size_t crc_offset)
{
    uint32_t stored = get_le32(bytes + crc_offset), crc;

    memset(bytes + crc_offset, 0, 4);
    crc = ~crc32_iscsi(bytes, (int)length, UINT32_MAX);
    memcpy(bytes + crc_offset,
           (const uint8_t[]){(uint8_t)stored, (uint8_t)(stored >> 8), (uint8_t)(stored >> 16),
                             (uint8_t)(stored >> 24)},
           4);
    return crc == stored;
}

static int probe(struct region *region)
{
    uint8_t magic[4];
    int r = region_read(region, 0, magic, sizeof(magic));

    return r < 0 ? r : memcmp(magic, MAGIC, sizeof(magic)) == 0;
}

static int check_features(struct xfs *xfs, const uint8_t *super)
{
    unsigned version = get_be16(super + 100) & 0xF;
    uint32_t incompatible = get_be32(super + 216);

    memcpy(xfs->uuid, super + 32, sizeof(xfs->uuid));
    memcpy(xfs->meta_uuid, super + 32, sizeof(xfs->meta_uuid));
    if (version == 4)
        return 0;
    if (version != 5)
        return region_refuse(xfs->region, "version %u is not known here", version);
    xfs->checksums = true;
    if (incompatible & INCOMPAT_REPAIR)
        return region_refuse(xfs->region, "it is marked as in need of repair");
    if (incompatible & ~INCOMPAT_KNOWN || get_be32(super + 212) & ~RO_COMPAT_KNOWN)
        return region_refuse(xfs->region, "it has features that are not known here");
    if (incompatible & INCOMPAT_META_UUID)
        memcpy(xfs->meta_uuid, super + 248, sizeof(xfs->meta_uuid));
    return 0;
}

static int check_geometry(struct xfs *xfs, const uint8_t *super)
{
    uint64_t bytes;

    xfs->block_bytes = get_be32(super + 4);
    xfs->sector_bytes = get_be16(super + 102);
    xfs->blocks = get_be64(super + 8);
    xfs->ag_blocks = get_be32(super + 84);
    xfs->ag_count = get_be32(super + 88);
    if (!is_power_of_two(xfs->block_bytes) || xfs->block_bytes < 512 ||
        xfs->block_bytes > BLOCK_MAX || !is_power_of_two(xfs->sector_bytes) ||
        xfs->sector_bytes < 512 || xfs->sector_bytes > min_u64(xfs->block_bytes, SECTOR_MAX) ||
        super[126] != 0 || xfs->ag_blocks < 16 || xfs->ag_count == 0 ||
        xfs->ag_count > AG_COUNT_MAX || xfs->blocks > (uint64_t)xfs->ag_blocks * xfs->ag_count ||
        xfs->blocks <= (uint64_t)xfs->ag_blocks * (xfs->ag_count - 1) ||
        mul_overflows(xfs->blocks, xfs->block_bytes, &bytes))
        return region_refuse(xfs->region, "its superblock makes no sense");
    if (bytes > region_bytes(xfs->region))
        return region_refuse(xfs->region, "it is larger than the place it lies in");
    return 0;
}

/* The log's place is told as a group and a block in it. */
static int find_log(struct xfs *xfs, const uint8_t *super)
{
    uint64_t start = get_be64(super + 48), log_blocks = get_be32(super + 96), block;
    unsigned ag_log = super[124];

    if (get_be64(super + 16) != 0)
        return region_refuse(xfs->region, "it has a realtime section");
    if (start == 0)
        return region_refuse(xfs->region, "its log is on another device");
    if (ag_log > AG_LOG_MAX || start >> ag_log >= xfs->ag_count)
        return region_refuse(xfs->region, "its superblock makes no sense");
    block = (start >> ag_log) * xfs->ag_blocks + (start & ((1ULL << ag_log) - 1));
    if (!range_within(block, log_blocks, xfs->blocks) || log_blocks == 0)
        return region_refuse(xfs->region, "its log lies beyond its end");
    xfs->log_start = block * xfs->block_bytes;
    xfs->log_bytes = log_blocks * xfs->block_bytes;
    return 0;
}

static int read_super(struct xfs *xfs)
{
    CLEANUP_FREE uint8_t *sector = malloc(SECTOR_MAX);
    uint8_t super[SUPER_BYTES];
    int r = sector ? region_read(xfs->region, 0, super, sizeof(super)) : -ENOMEM;

    if (r == 0)
        r = check_geometry(xfs, super);
    if (r == 0)
        r = check_features(xfs, super);
    if (r == 0)
        r = region_read(xfs->region, 0, sector, xfs->sector_bytes);
    if (r < 0)
        return r;
    if (xfs->checksums && !xfs_checksum_ok(sector, xfs->sector_bytes, SUPER_CRC))
        return region_refuse(xfs->region, "the checksum of its superblock is wrong");
    return find_log(xfs, super);
}

static int analyse(struct region *region)
{
    struct xfs xfs = {.region = region};
    int r = read_super(&xfs);

    if (r == 0)
        r = xfs_log_check(&xfs);
    return r < 0 ? r : xfs_take_groups(&xfs);
}

const struct format format_xfs = {.name = "XFS", .probe = probe, .analyse = analyse};
