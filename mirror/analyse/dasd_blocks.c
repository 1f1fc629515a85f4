/* SPDX-License-Identifier: Apache-2.0 */

/* A DASD as Linux on Z shows it: numbered blocks of one size, as many on each track. Three layouts:
 *
 * - compatible (CDL): a z/OS volume label in block 2 and a VTOC on the second track, whose data
 * sets are the partitions. The records there are shorter than a block; each is at its block's
 * begin, key and data, and padded.
 * - Linux (LDL): the label LNX1, and one partition behind it.
 * - CMS: a minidisk of z/VM. Where a file of it is reserved as a whole, that is the partition.
 *
 * The size of a block is nowhere recorded: it is the one that makes the label stand in block 2. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "format_registry.h"
#include "vtoc.h"

#define BLOCK_MAX       4096
#define LABEL_BLOCK     2
#define LABEL_BYTES     88
#define FIXED_OFFSET    512 /* block 1 of a disk that never had tracks (FBA) */
#define HEADS           15
#define VTOC_TRACK      1
#define POINTER         15 /* in the volume label: where the VTOC begins */
#define LDL_VERSION     79
#define LDL_SIZED       0xF2 /* the label tells how many blocks are formatted */
#define LDL_BLOCKS      80
#define CMS_BLOCK_BYTES 12
#define CMS_BLOCKS      28
#define CMS_RESERVED    52
#define F4_KEY_BYTES    44

/* Marks are in EBCDIC. The one of a volume label stands twice: in the key and in the data. */
static const uint8_t volume_mark[] = {0xE5, 0xD6, 0xD3, 0xF1, 0xE5, 0xD6, 0xD3, 0xF1};
static const uint8_t linux_mark[] = {0xD3, 0xD5, 0xE7, 0xF1};
static const uint8_t cms_mark[] = {0xC3, 0xD4, 0xE2, 0xF1};

/* How many blocks fit on a track. */
static const struct geometry {
    uint32_t block_bytes;
    uint32_t per_track[2]; /* of a 3390 and of a 3380 */
} geometries[] = {{4096, {12, 10}}, {2048, {21, 18}}, {1024, {33, 31}}, {512, {49, 46}}};

#define GEOMETRIES (sizeof(geometries) / sizeof(geometries[0]))

struct label {
    const uint8_t *mark;
    size_t mark_bytes;
    uint64_t offset;
    const struct geometry *geometry; /* NULL: a disk without tracks, 512 bytes a block */
};

/* How many of the places have the mark; *ret: the last of them. */
static unsigned find_mark(struct region *region, const uint8_t *mark, size_t bytes,
                          struct label *ret)
{
    unsigned found = 0;

    for (size_t i = 0; i <= GEOMETRIES; i++) {
        const struct geometry *geometry = i < GEOMETRIES ? &geometries[i] : NULL;
        uint64_t offset =
            geometry ? (uint64_t)LABEL_BLOCK * geometry->block_bytes : (uint64_t)FIXED_OFFSET;

        if (!region_has(region, offset, mark, bytes))
            continue;
        *ret = (struct label){mark, bytes, offset, geometry};
        found++;
    }
    return found;
}

static unsigned find_label(struct region *region, struct label *ret)
{
    return find_mark(region, volume_mark, sizeof(volume_mark), ret) +
           find_mark(region, linux_mark, sizeof(linux_mark), ret) +
           find_mark(region, cms_mark, sizeof(cms_mark), ret);
}

static int probe(struct region *region)
{
    struct label label;
    uint8_t byte;
    int r = region_read(region, 0, &byte, 1);

    return r < 0 ? r : find_label(region, &label) > 0;
}

/* A Format 4 label begins the VTOC, wherever the track with it is. */
static bool has_format4(struct region *region, uint64_t offset)
{
    uint8_t key[F4_KEY_BYTES + 1];

    memset(key, 0x04, F4_KEY_BYTES);
    key[F4_KEY_BYTES] = 0xF4;
    return region_has(region, offset, key, sizeof(key));
}

static int find_geometry(struct dasd *dasd, const struct label *label)
{
    if (!label->geometry)
        return region_refuse(dasd->region, "its volume label is not where one with tracks has it");
    dasd->block_bytes = label->geometry->block_bytes;
    dasd->heads = HEADS;
    for (size_t i = 0; i < 2; i++) {
        uint32_t per_track = label->geometry->per_track[i];

        if (!has_format4(dasd->region, (uint64_t)VTOC_TRACK * per_track * dasd->block_bytes))
            continue;
        if (dasd->per_track)
            return region_refuse(dasd->region, "it has two labels of Format 4");
        dasd->per_track = per_track;
    }
    if (!dasd->per_track)
        return region_refuse(dasd->region, "it has no label of Format 4 on its second track");
    dasd->track_bytes = dasd->per_track * dasd->block_bytes;
    dasd->tracks = region_bytes(dasd->region) / dasd->track_bytes;
    return 0;
}

static int analyse_compatible(struct region *region, const struct label *label)
{
    static const uint8_t place[] = {0, 0, 0, VTOC_TRACK, 1};
    CLEANUP_FREE uint8_t *track = NULL;
    struct dasd dasd = {.region = region};
    uint8_t pointer[sizeof(place)];
    int r = region_read(region, label->offset + POINTER, pointer, sizeof(pointer));

    if (r < 0)
        return r;
    if (memcmp(pointer, place, sizeof(place)) != 0)
        return region_refuse(region, "its VTOC does not begin on its second track");
    r = find_geometry(&dasd, label);
    if (r < 0)
        return r;
    dasd.track = track = malloc(dasd.track_bytes);
    return track ? vtoc_take(&dasd, pointer) : -ENOMEM;
}

static int descend(struct region *region, uint64_t start, uint64_t end)
{
    if (start >= end || end > region_bytes(region))
        return region_refuse(region, "it is larger than the place it lies in");
    return region_descend(region, start, end - start, "partition 1");
}

static int analyse_linux(struct region *region, const struct label *label)
{
    uint32_t block = label->geometry ? label->geometry->block_bytes : FIXED_OFFSET;
    uint64_t end = region_bytes(region);
    uint8_t bytes[LABEL_BYTES];
    int r = region_read(region, label->offset, bytes, sizeof(bytes));

    if (r < 0)
        return r;
    if (bytes[LDL_VERSION] == LDL_SIZED && mul_overflows(get_be64(bytes + LDL_BLOCKS), block, &end))
        return region_refuse(region, "it is larger than the place it lies in");
    return descend(region, label->offset + block, end);
}

static int analyse_cms(struct region *region, const struct label *label)
{
    uint8_t bytes[LABEL_BYTES];
    uint64_t block, blocks, reserved;
    int r = region_read(region, label->offset, bytes, sizeof(bytes));

    if (r < 0)
        return r;
    block = get_be32(bytes + CMS_BLOCK_BYTES);
    blocks = get_be32(bytes + CMS_BLOCKS);
    reserved = get_be32(bytes + CMS_RESERVED);
    if (reserved == 0)
        return region_refuse(region, "the files of a CMS minidisk are not understood here");
    if (block < 512 || block > BLOCK_MAX || (block & (block - 1)) != 0 || blocks == 0 ||
        (label->geometry && label->geometry->block_bytes != block))
        return region_refuse(region, "its label of a CMS minidisk makes no sense");
    return descend(region, reserved * block, (blocks - 1) * block);
}

static int analyse(struct region *region)
{
    struct label label = {.mark = NULL};
    uint32_t block;

    if (find_label(region, &label) != 1)
        return region_refuse(region, "it has more than one volume label");
    block = label.geometry ? label.geometry->block_bytes : FIXED_OFFSET;
    if (region_block_bytes(region) > block)
        return region_refuse(region, "its blocks of %u bytes are smaller than the LUN's", block);
    if (label.mark == volume_mark)
        return analyse_compatible(region, &label);
    return label.mark == linux_mark ? analyse_linux(region, &label) : analyse_cms(region, &label);
}

const struct format format_dasd_blocks = {.name = "Linux DASD", .probe = probe, .analyse = analyse};
