/* SPDX-License-Identifier: Apache-2.0 */

/* A member of a Linux software RAID (md). A member of a RAID1 holds all of the array's data in one
 * piece; of other levels only a part that means nothing alone. Superblocks: versions 1.0 (near the
 * end), 1.1 (at the begin) and 1.2 (4 KiB from the begin), and 0.90 (near the end, in the byte
 * order of the machine that made it). */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "format_registry.h"

#define MAGIC              0xA92B4EFCU
#define SECTOR             512
#define SUPER_BYTES        256
#define DEVICES_MAX        1920
#define OLD_RESERVED       65536
#define LEVEL_RAID1        1
#define FEATURE_BITMAP     0x01U
#define FEATURE_BAD_BLOCKS 0x08U
#define FEATURE_KNOWN      (FEATURE_BITMAP | FEATURE_BAD_BLOCKS)

struct place {
    uint64_t offset;
    bool old; /* 0.90 */
};

/* Where superblocks may be; false when the region is too small for the place. */
static bool get_place(struct region *region, unsigned index, struct place *ret)
{
    uint64_t sectors = region_bytes(region) / SECTOR;

    *ret = (struct place){0};
    switch (index) {
    case 0:
        ret->offset = 4096;
        return true;
    case 1:
        return true;
    case 2:
        ret->offset = sectors < 24 ? 0 : (sectors - 16) / 8 * 8 * SECTOR;
        return sectors >= 24;
    default:
        ret->old = true;
        ret->offset = align_down(region_bytes(region), OLD_RESERVED) - OLD_RESERVED;
        return region_bytes(region) >= 2 * OLD_RESERVED;
    }
}

static bool has_magic(struct region *region, const struct place *place)
{
    uint8_t bytes[8];

    if (region_read(region, place->offset, bytes, sizeof(bytes)) < 0)
        return false;
    if (place->old)
        return get_le32(bytes) == MAGIC || get_be32(bytes) == MAGIC;
    return get_le32(bytes) == MAGIC && get_le32(bytes + 4) == 1;
}

static int find(struct region *region, struct place *ret)
{
    for (unsigned i = 0; i < 4; i++)
        if (get_place(region, i, ret) && has_magic(region, ret))
            return 1;
    return 0;
}

static int probe(struct region *region)
{
    struct place place;
    uint8_t byte;
    int r = region_read(region, 0, &byte, 1);

    return r < 0 ? r : find(region, &place);
}

/* The sum of its 32-bit words, folded once. */
static bool checksum_ok(struct region *region, uint64_t offset, const uint8_t *super)
{
    uint32_t devices = get_le32(super + 220);
    uint8_t bytes[SUPER_BYTES + 2 * DEVICES_MAX] = {0};
    size_t length = SUPER_BYTES + 2 * (size_t)devices;
    uint64_t sum = 0;

    if (devices > DEVICES_MAX || region_read(region, offset, bytes, length) < 0)
        return false;
    memset(bytes + 216, 0, 4);
    for (size_t i = 0; i + 4 <= length; i += 4)
        sum += get_le32(bytes + i);
    if (length % 4)
        sum += get_le16(bytes + length / 4 * 4);
    return (uint32_t)((sum & UINT32_MAX) + (sum >> 32)) == get_le32(super + 216);
}

static int descend(struct region *region, uint64_t start, uint64_t length)
{
    if (!range_within(start, length, region_bytes(region)) || length == 0)
        return region_refuse(region, "its data lie beyond its end");
    return region_descend(region, start, length, "RAID1");
}

static int analyse_old(struct region *region, const struct place *place)
{
    uint8_t super[64];
    int r = region_read(region, place->offset, super, sizeof(super));
    bool little = get_le32(super) == MAGIC;

    if (r < 0)
        return r;
    if ((little ? get_le32(super + 28) : get_be32(super + 28)) != LEVEL_RAID1)
        return region_refuse(region, "it is a member of an array that is no RAID1");
    /* The size in the superblock is in KiB; what is behind it is allocated anyhow. */
    return descend(region, 0,
                   (uint64_t)(little ? get_le32(super + 32) : get_be32(super + 32)) * 1024);
}

static int analyse(struct region *region)
{
    struct place place;
    uint8_t super[SUPER_BYTES];
    uint64_t data, sectors;
    int r = find(region, &place);

    if (r <= 0)
        return r < 0 ? r : -EINVAL;
    if (place.old)
        return analyse_old(region, &place);
    r = region_read(region, place.offset, super, sizeof(super));
    if (r < 0)
        return r;
    if (!checksum_ok(region, place.offset, super))
        return region_refuse(region, "the checksum of its superblock is wrong");
    if (get_le32(super + 72) != LEVEL_RAID1)
        return region_refuse(region, "it is a member of an array that is no RAID1");
    if (get_le32(super + 8) & ~FEATURE_KNOWN)
        return region_refuse(region, "it is being rebuilt or reshaped, or has unknown features");
    if (get_le64(super + 144) * SECTOR != place.offset)
        return region_refuse(region, "its superblock is not where it says it is");
    data = get_le64(super + 128);
    sectors = min_u64(get_le64(super + 136), get_le64(super + 80));
    if (data > UINT64_MAX / SECTOR || sectors > UINT64_MAX / SECTOR)
        return region_refuse(region, "its data lie beyond its end");
    return descend(region, data * SECTOR, sectors * SECTOR);
}

const struct format format_md = {.name = "md", .wraps = true, .probe = probe, .analyse = analyse};
