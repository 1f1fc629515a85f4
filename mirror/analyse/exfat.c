/* SPDX-License-Identifier: Apache-2.0 */

/* exFAT, as in Microsoft's "exFAT file system specification", revision 1.00. Free is what the
 * allocation bitmap calls free; what lies before the first cluster and behind the last one is never
 * claimed, so both boot regions and the table are always copied. */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "cluster_bitmap.h"
#include "format_registry.h"

#define BOOT_BYTES          512
#define BOOT_SECTORS        11 /* whose checksum is in the one that follows them */
#define BOTH_BOOT_PARTS     24
#define SECTOR_SHIFT_MIN    9
#define SECTOR_SHIFT_MAX    12
#define CLUSTER_SHIFT       25 /* at most, of a cluster in bytes */
#define REVISION            1  /* the major one */
#define FLAG_ACTIVE_FAT     0x1
#define FLAG_DIRTY          0x2
#define FLAG_FAILURE        0x4
#define FIRST_CLUSTER       2
#define CLUSTERS_MAX        UINT32_C(0xFFFFFFF5)
#define END_OF_CHAIN        UINT32_C(0xFFFFFFFF)
#define ROOT_BYTES_MAX      (UINT64_C(256) << 20) /* of any directory */
#define ENTRY_BYTES         32
#define ENTRY_END           0x00
#define ENTRY_BITMAP        0x81
#define ENTRY_UPCASE        0x82
#define ENTRY_STREAM        0xC0
#define STREAM_IN_ONE_PIECE 0x02  /* it has no chain in the table */
#define STREAMS_MAX         65536 /* of the root directory, to be compared with the bitmap */

struct exfat {
    struct region *region;
    uint64_t sector_bytes, cluster_bytes;
    uint64_t table; /* where the file allocation table begins */
    uint64_t heap;  /* where the first cluster begins */
    uint64_t clusters;
    uint32_t root;            /* the first cluster of the root directory */
    struct byte_ranges files; /* all that was followed */
};

/* An entry of the root directory that says where something lies. */
struct place {
    bool found;
    uint32_t first;
    uint64_t bytes;
};

static int probe(struct region *region)
{
    uint8_t byte;
    int r = region_read(region, 0, &byte, 1);

    return r < 0 ? r : region_has(region, 3, "EXFAT   ", 8);
}

/* The two fields that may change without a new checksum are left out of it. */
static uint32_t add_checksum(uint32_t sum, const uint8_t *bytes, size_t length, bool first)
{
    for (size_t i = 0; i < length; i++)
        if (!first || (i != 106 && i != 107 && i != 112))
            sum = (sum << 31 | sum >> 1) + bytes[i];
    return sum;
}

static int check_boot_region(const struct exfat *exfat)
{
    uint8_t sector[1 << SECTOR_SHIFT_MAX];
    uint32_t sum = 0;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < BOOT_SECTORS; i++) {
        r = region_read(exfat->region, i * exfat->sector_bytes, sector, exfat->sector_bytes);
        if (r == 0)
            sum = add_checksum(sum, sector, exfat->sector_bytes, i == 0);
    }
    if (r == 0)
        r = region_read(exfat->region, BOOT_SECTORS * exfat->sector_bytes, sector,
                        exfat->sector_bytes);
    for (size_t i = 0; r == 0 && i < exfat->sector_bytes; i += 4)
        if (get_le32(sector + i) != sum)
            r = region_refuse(exfat->region, "the checksum of its boot sectors is wrong");
    return r;
}

static int check_flags(const struct exfat *exfat, const uint8_t *boot)
{
    uint16_t flags = get_le16(boot + 106);

    if (boot[105] != REVISION)
        return region_refuse(exfat->region, "its revision is not known here");
    if (boot[110] != 1 || flags & FLAG_ACTIVE_FAT)
        return region_refuse(exfat->region, "it has two tables (TexFAT)");
    if (flags & (FLAG_DIRTY | FLAG_FAILURE))
        return region_refuse(exfat->region, "it was not unmounted cleanly or has errors");
    return 0;
}

/* Whether its parts lie one behind the other and within the region. Nothing overflows: fields have
 * 32 bits, but for the length of the volume. */
static bool makes_sense(const struct exfat *exfat, const uint8_t *boot)
{
    uint64_t sectors = get_le64(boot + 72), table_sectors = get_le32(boot + 84);
    uint64_t table = get_le32(boot + 80), heap = get_le32(boot + 88);

    return table >= BOTH_BOOT_PARTS && heap >= table + table_sectors && exfat->clusters > 0 &&
           exfat->clusters <= CLUSTERS_MAX && heap < sectors &&
           exfat->clusters <= (sectors - heap) / (exfat->cluster_bytes / exfat->sector_bytes) &&
           (exfat->clusters + FIRST_CLUSTER) * 4 <= table_sectors * exfat->sector_bytes;
}

static int take_boot_sector(struct exfat *exfat)
{
    uint8_t boot[BOOT_BYTES];
    int r = region_read(exfat->region, 0, boot, sizeof(boot));

    if (r < 0)
        return r;
    if (boot[510] != 0x55 || boot[511] != 0xAA || boot[108] < SECTOR_SHIFT_MIN ||
        boot[108] > SECTOR_SHIFT_MAX || boot[109] > CLUSTER_SHIFT - boot[108])
        return region_refuse(exfat->region, "its boot sector makes no sense");
    exfat->sector_bytes = UINT64_C(1) << boot[108];
    exfat->cluster_bytes = exfat->sector_bytes << boot[109];
    exfat->table = get_le32(boot + 80) * exfat->sector_bytes;
    exfat->heap = get_le32(boot + 88) * exfat->sector_bytes;
    exfat->clusters = get_le32(boot + 92);
    exfat->root = get_le32(boot + 96);
    if (get_le64(boot + 72) > region_bytes(exfat->region) / exfat->sector_bytes)
        return region_refuse(exfat->region, "it is larger than the place it lies in");
    if (!makes_sense(exfat, boot))
        return region_refuse(exfat->region, "its boot sector makes no sense");
    r = check_boot_region(exfat);
    return r == 0 ? check_flags(exfat, boot) : r;
}

/* Adds the places of a chain of clusters, of at most bytes_max bytes, to ret. */
static int follow(struct exfat *exfat, uint32_t first, uint64_t bytes_max, struct byte_ranges *ret)
{
    uint64_t most = (bytes_max + exfat->cluster_bytes - 1) / exfat->cluster_bytes;
    uint32_t cluster = first;

    for (uint64_t count = 0; cluster != END_OF_CHAIN; count++) {
        uint8_t entry[4];
        int r;

        if (cluster < FIRST_CLUSTER || cluster - FIRST_CLUSTER >= exfat->clusters)
            return region_refuse(exfat->region, "a chain of clusters leads beyond its end");
        if (count == most)
            return region_refuse(exfat->region, "a chain of clusters is longer than its file");
        r = cluster_bitmap_add(ret, exfat->heap + (cluster - FIRST_CLUSTER) * exfat->cluster_bytes,
                               exfat->cluster_bytes);
        if (r == 0)
            r = region_read(exfat->region, exfat->table + (uint64_t)cluster * 4, entry, 4);
        if (r < 0)
            return r;
        cluster = get_le32(entry);
    }
    return 0;
}

/* A file's chain, which must have all of its bytes. */
static int follow_file(struct exfat *exfat, const struct place *place, struct byte_ranges *ret)
{
    int r = follow(exfat, place->first, place->bytes, ret);
    uint64_t bytes = 0;

    for (size_t i = 0; r == 0 && i < ret->count; i++) {
        bytes += ret->items[i].length;
        r = byte_ranges_add(&exfat->files, ret->items[i].start, ret->items[i].length);
    }
    if (r == 0 && bytes < place->bytes)
        r = region_refuse(exfat->region, "a chain of clusters is shorter than its file");
    return r;
}

static int take_place(const struct exfat *exfat, const uint8_t *entry, struct place *ret)
{
    if (ret->found)
        return region_refuse(exfat->region, "its root directory contradicts itself");
    *ret = (struct place){true, get_le32(entry + 20), get_le64(entry + 24)};
    return 0;
}

/* The clusters of a file or directory of the root directory are in use: those that its entry tells
 * of by itself. */
static int note_stream(struct exfat *exfat, const uint8_t *entry)
{
    uint32_t first = get_le32(entry + 20);
    uint64_t bytes = get_le64(entry + 24), clusters = 1;

    if (first == 0 || bytes == 0 || exfat->files.count >= STREAMS_MAX)
        return 0;
    if (entry[1] & STREAM_IN_ONE_PIECE)
        clusters = bytes / exfat->cluster_bytes + (bytes % exfat->cluster_bytes != 0);
    if (first < FIRST_CLUSTER || !range_within(first - FIRST_CLUSTER, clusters, exfat->clusters))
        return region_refuse(exfat->region, "its root directory leads beyond its end");
    return byte_ranges_add(&exfat->files,
                           exfat->heap + (first - FIRST_CLUSTER) * exfat->cluster_bytes,
                           clusters * exfat->cluster_bytes);
}

/* 1: that was the last one. */
static int take_entry(struct exfat *exfat, const uint8_t *entry, struct place *bitmap,
                      struct place *upcase)
{
    switch (entry[0]) {
    case ENTRY_END:
        return 1;
    case ENTRY_BITMAP:
        return take_place(exfat, entry, bitmap);
    case ENTRY_UPCASE:
        return take_place(exfat, entry, upcase);
    case ENTRY_STREAM:
        return note_stream(exfat, entry);
    default:
        return 0;
    }
}

static int search_root(struct exfat *exfat, const struct byte_ranges *root, struct place *bitmap,
                       struct place *upcase)
{
    int r = region_plan(exfat->region, root->items, root->count);

    for (size_t i = 0; r == 0 && i < root->count; i++) {
        for (uint64_t at = 0; r == 0 && at < root->items[i].length; at += ENTRY_BYTES) {
            uint8_t entry[ENTRY_BYTES];

            r = region_read(exfat->region, root->items[i].start + at, entry, sizeof(entry));
            if (r == 0)
                r = take_entry(exfat, entry, bitmap, upcase);
        }
    }
    if (r < 0)
        return r;
    if (!bitmap->found || bitmap->bytes != (exfat->clusters + 7) / 8)
        return region_refuse(exfat->region, "its bitmap is missing or has another size");
    if (!upcase->found || upcase->bytes > ROOT_BYTES_MAX)
        return region_refuse(exfat->region, "its up-case table is missing or too long");
    return 0;
}

static int take_root(struct exfat *exfat, struct place *bitmap, struct place *upcase)
{
    struct byte_ranges root = {0};
    int r = follow(exfat, exfat->root, ROOT_BYTES_MAX, &root);

    if (r == 0)
        r = search_root(exfat, &root, bitmap, upcase);
    for (size_t i = 0; r == 0 && i < root.count; i++)
        r = byte_ranges_add(&exfat->files, root.items[i].start, root.items[i].length);
    byte_ranges_free(&root);
    return r;
}

static int take_bitmap(struct exfat *exfat)
{
    struct byte_ranges bitmap_places = {0}, upcase_places = {0};
    struct place bitmap = {0}, upcase = {0};
    int r = take_root(exfat, &bitmap, &upcase);

    if (r == 0)
        r = follow_file(exfat, &bitmap, &bitmap_places);
    if (r == 0)
        r = follow_file(exfat, &upcase, &upcase_places);
    if (r == 0)
        r = cluster_bitmap_claim(&(struct cluster_bitmap){.region = exfat->region,
                                                          .places = &bitmap_places,
                                                          .clusters = exfat->clusters,
                                                          .origin = exfat->heap,
                                                          .cluster_bytes = exfat->cluster_bytes,
                                                          .used = &exfat->files});
    byte_ranges_free(&bitmap_places);
    byte_ranges_free(&upcase_places);
    return r;
}

static int analyse(struct region *region)
{
    struct exfat exfat = {.region = region};
    int r = take_boot_sector(&exfat);

    if (r == 0)
        r = take_bitmap(&exfat);
    byte_ranges_free(&exfat.files);
    return r;
}

const struct format format_exfat = {.name = "exFAT", .probe = probe, .analyse = analyse};
