/* SPDX-License-Identifier: Apache-2.0 */

/* FAT12, FAT16 and FAT32, as in Microsoft's "FAT: General Overview of On-Disk Format" 1.03. Free is
 * what the file allocation table calls free; what lies before the first cluster and behind the last
 * one is never claimed. */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "format_registry.h"
#include "partitions.h"

#define BOOT_BYTES      512
#define SECTOR_MIN      512
#define SECTOR_MAX      4096
#define STATE_DIRTY     0x03 /* in use, or to be tested */
#define FIRST_CLUSTER   2
#define FAT12_CLUSTERS  4085 /* from this number on it is a FAT16 */
#define FAT16_CLUSTERS  65525
#define FAT32_CLUSTERS  0x0FFFFFF5
#define DIRECTORY_BYTES 32

/* Read at a time: a whole number of entries of 12, 16 and 32 bits. */
#define CHUNK_BYTES (3 * 256 * 1024)

/* Of an entry of a directory. */
#define NAME_END        0x00
#define NAME_DELETED    0xE5
#define ATTRIBUTE_LABEL 0x08 /* also of a piece of a long name */
#define ATTRIBUTE_DIR   0x10

struct fat {
    struct region *region;
    uint8_t media; /* also the lowest byte of a table */
    uint64_t root; /* where the root directory begins, and what of it is looked at */
    uint64_t root_bytes;
    uint64_t table;       /* where the first table begins */
    uint64_t table_bytes; /* of one */
    unsigned tables;
    unsigned bits; /* of an entry: 12, 16 or 32 */
    uint64_t data; /* where the first cluster begins */
    uint64_t cluster_bytes;
    uint64_t clusters;
    /* A bit for each entry: of those that were looked at, whether it is free; of the others,
     * whether one of those leads there. */
    uint8_t *marks;
    uint8_t *chunk, *other;         /* CHUNK_BYTES and one more each */
    uint64_t free_from, free_count; /* the run of free clusters that is not claimed yet */
};

static int probe(struct region *region)
{
    uint8_t boot[BOOT_BYTES];
    int r = region_read(region, 0, boot, sizeof(boot));
    uint32_t sector = get_le16(boot + 11);

    if (r < 0)
        return r;
    if (!(boot[0] == 0xEB && boot[2] == 0x90) && boot[0] != 0xE9)
        return 0;
    return boot[510] == 0x55 && boot[511] == 0xAA && is_power_of_two(sector) &&
           sector >= SECTOR_MIN && sector <= SECTOR_MAX && is_power_of_two(boot[13]) &&
           get_le16(boot + 14) != 0 && boot[16] != 0 && boot[16] <= 2 && boot[21] >= 0xF0 &&
           (memcmp(boot + 54, "FAT", 3) == 0 || memcmp(boot + 82, "FAT32", 5) == 0);
}

static uint64_t place_of(const struct fat *fat, uint64_t cluster)
{
    return fat->data + (cluster - FIRST_CLUSTER) * fat->cluster_bytes;
}

static int check_fat32(struct fat *fat, const uint8_t *boot)
{
    if (get_le16(boot + 40) & 0x80)
        return region_refuse(fat->region, "its tables are not kept alike");
    if (get_le16(boot + 42) != 0)
        return region_refuse(fat->region, "its version is not known here");
    if (get_le32(boot + 44) < FIRST_CLUSTER || get_le32(boot + 44) - FIRST_CLUSTER >= fat->clusters)
        return region_refuse(fat->region, "its root directory is beyond its end");
    fat->root = place_of(fat, get_le32(boot + 44));
    fat->root_bytes = fat->cluster_bytes;
    return region_keep(fat->region, fat->root, fat->root_bytes);
}

static unsigned entry_bits(const uint8_t *boot, uint64_t clusters)
{
    if (get_le16(boot + 22) == 0)
        return 32;
    return clusters < FAT12_CLUSTERS ? 12 : 16;
}

static int check_sizes(const struct fat *fat)
{
    static const uint64_t most[] = {
        [12] = FAT12_CLUSTERS, [16] = FAT16_CLUSTERS, [32] = FAT32_CLUSTERS};

    if (fat->clusters == 0 || fat->clusters >= most[fat->bits])
        return region_refuse(fat->region, "its boot sector makes no sense");
    if ((fat->clusters + FIRST_CLUSTER) * fat->bits > fat->table_bytes * 8)
        return region_refuse(fat->region, "its tables are too short");
    return 0;
}

/* What the boot sector says. Nothing overflows: the largest field has 32 bits, a sector 4096 bytes.
 */
static int take_boot_sector(struct fat *fat)
{
    uint8_t boot[BOOT_BYTES];
    uint64_t sector, sectors, before;
    int r = region_read(fat->region, 0, boot, sizeof(boot));

    if (r == 0)
        r = partitions_refuse_table(fat->region, boot);
    if (r < 0)
        return r;
    sector = get_le16(boot + 11);
    sectors = get_le16(boot + 19) ? get_le16(boot + 19) : get_le32(boot + 32);
    fat->media = boot[21];
    fat->tables = boot[16];
    fat->table = get_le16(boot + 14) * sector;
    fat->table_bytes = sector * (get_le16(boot + 22) ? get_le16(boot + 22) : get_le32(boot + 36));
    before = fat->table + fat->tables * fat->table_bytes +
             align_up((uint64_t)get_le16(boot + 17) * DIRECTORY_BYTES, sector);
    if (before >= sectors * sector)
        return region_refuse(fat->region, "its boot sector makes no sense");
    if (sectors * sector > region_bytes(fat->region))
        return region_refuse(fat->region, "it is larger than the place it lies in");
    fat->data = before;
    fat->root_bytes = (uint64_t)get_le16(boot + 17) * DIRECTORY_BYTES;
    fat->root = before - align_up(fat->root_bytes, sector);
    fat->cluster_bytes = boot[13] * sector;
    fat->clusters = (sectors * sector - before) / fat->cluster_bytes;
    fat->bits = entry_bits(boot, fat->clusters);
    if (boot[fat->bits == 32 ? 65 : 37] & STATE_DIRTY)
        return region_refuse(fat->region, "it was not unmounted cleanly or has errors");
    r = check_sizes(fat);
    return r == 0 && fat->bits == 32 ? check_fat32(fat, boot) : r;
}

static uint32_t entry_of(const struct fat *fat, const uint8_t *chunk, uint64_t number)
{
    const uint8_t *at = chunk + number * fat->bits / 8;

    if (fat->bits == 32)
        return get_le32(at) & 0x0FFFFFFF;
    if (fat->bits == 16)
        return get_le16(at);
    return number % 2 ? get_le16(at) >> 4 : get_le16(at) & 0x0FFF;
}

/* The first entry of a table is the media type with all other bits set: where something else
 * stands, this is no table, or no longer. */
static int check_first_entry(const struct fat *fat, uint32_t entry)
{
    uint32_t all = fat->bits == 32 ? 0x0FFFFFFF : (1U << fat->bits) - 1;

    if (entry != (all & ~UINT32_C(0xFF)) + fat->media)
        return region_refuse(fat->region, "its table does not begin as one");
    return 0;
}

/* The second entry of the table has two bits that are set while nothing is wrong. */
static int check_second_entry(const struct fat *fat, uint32_t entry)
{
    uint32_t fine = fat->bits == 32 ? 0x0C000000 : 0xC000;

    if (fat->bits != 12 && (entry & fine) != fine)
        return region_refuse(fat->region, "it was not unmounted cleanly or has errors");
    return 0;
}

static int claim_run(struct fat *fat)
{
    uint64_t count = fat->free_count;

    fat->free_count = 0;
    if (count == 0)
        return 0;
    return region_claim_free(fat->region, place_of(fat, fat->free_from),
                             count * fat->cluster_bytes);
}

static bool is_marked(const struct fat *fat, uint64_t cluster)
{
    return fat->marks[cluster / 8] >> cluster % 8 & 1;
}

static void mark(struct fat *fat, uint64_t cluster, bool value)
{
    uint8_t bit = (uint8_t)(1U << cluster % 8);

    fat->marks[cluster / 8] =
        (uint8_t)(value ? fat->marks[cluster / 8] | bit : fat->marks[cluster / 8] & ~bit);
}

/* Whether a chain leads from this cluster to a free one, or to this one although it is free. */
static bool meets_free(struct fat *fat, uint64_t cluster, uint32_t entry)
{
    bool led_here = is_marked(fat, cluster);

    mark(fat, cluster, entry == 0);
    if (entry == 0)
        return led_here;
    if (entry >= fat->clusters + FIRST_CLUSTER)
        return false;
    if (entry < cluster)
        return is_marked(fat, entry);
    if (entry > cluster)
        mark(fat, entry, true);
    return false;
}

static int take_entry(struct fat *fat, uint64_t cluster, uint32_t entry)
{
    uint32_t highest = fat->bits == 32 ? 0x0FFFFFFF : (1U << fat->bits) - 1;

    if (meets_free(fat, cluster, entry))
        return region_refuse(fat->region, "a chain of clusters leads to a free one");
    if (entry == 0) {
        if (fat->free_count++ == 0)
            fat->free_from = cluster;
        return 0;
    }
    /* The highest nine are the marks of a bad cluster and of the last one of a file. */
    if (entry < FIRST_CLUSTER || (entry >= fat->clusters + FIRST_CLUSTER && entry < highest - 8))
        return region_refuse(fat->region, "a chain of clusters leads beyond its end");
    return claim_run(fat);
}

/* The same part of all tables, into the chunk: they must be alike. */
static int read_chunk(struct fat *fat, uint64_t offset, size_t bytes)
{
    int r = region_read(fat->region, fat->table + offset, fat->chunk, bytes);

    for (unsigned i = 1; r == 0 && i < fat->tables; i++) {
        r = region_read(fat->region, fat->table + i * fat->table_bytes + offset, fat->other, bytes);
        if (r == 0 && memcmp(fat->chunk, fat->other, bytes) != 0)
            r = region_refuse(fat->region, "its tables contradict each other");
    }
    return r;
}

static int take_chunk(struct fat *fat, uint64_t first, uint64_t count)
{
    int r = read_chunk(fat, first * fat->bits / 8, (size_t)((count * fat->bits + 7) / 8));

    for (uint64_t i = 0; r == 0 && i < count; i++) {
        uint32_t entry = entry_of(fat, fat->chunk, i);

        if (first + i >= FIRST_CLUSTER)
            r = take_entry(fat, first + i, entry);
        else
            r = first + i == 0 ? check_first_entry(fat, entry) : check_second_entry(fat, entry);
    }
    return r;
}

static int plan_tables(const struct fat *fat)
{
    struct byte_ranges ranges = {0};
    int r = 0;

    for (uint64_t at = 0; r == 0 && at < fat->table_bytes; at += CHUNK_BYTES)
        for (unsigned i = 0; r == 0 && i < fat->tables; i++)
            r = byte_ranges_add(&ranges, fat->table + i * fat->table_bytes + at,
                                min_u64(CHUNK_BYTES, fat->table_bytes - at));
    if (r == 0)
        r = region_plan(fat->region, ranges.items, ranges.count);
    byte_ranges_free(&ranges);
    return r;
}

static int take_tables(struct fat *fat)
{
    uint64_t entries = fat->clusters + FIRST_CLUSTER, at_once = CHUNK_BYTES * 8 / fat->bits;
    int r = plan_tables(fat);

    for (uint64_t first = 0; r == 0 && first < entries; first += at_once)
        r = take_chunk(fat, first, min_u64(at_once, entries - first));
    return r == 0 ? claim_run(fat) : r;
}

/* The first cluster of a file or directory of the root directory: 0 when it has none. */
static uint32_t first_cluster(const struct fat *fat, const uint8_t *entry)
{
    bool is_directory = entry[11] & ATTRIBUTE_DIR;

    if (entry[0] == NAME_DELETED || entry[11] & ATTRIBUTE_LABEL)
        return 0;
    if (!is_directory && get_le32(entry + 28) == 0)
        return 0;
    return get_le16(entry + 26) | (fat->bits == 32 ? (uint32_t)get_le16(entry + 20) << 16 : 0);
}

/* A file must not begin in a free cluster. Directories are added to the list. */
static int check_root_entry(struct fat *fat, const uint8_t *entry, struct byte_ranges *directories)
{
    uint32_t cluster = first_cluster(fat, entry);

    if (cluster == 0)
        return 0;
    if (cluster < FIRST_CLUSTER || cluster - FIRST_CLUSTER >= fat->clusters)
        return region_refuse(fat->region, "its root directory leads beyond its end");
    if (is_marked(fat, cluster))
        return region_refuse(fat->region, "its root directory leads to a free cluster");
    if (!(entry[11] & ATTRIBUTE_DIR))
        return 0;
    return byte_ranges_add(directories, place_of(fat, cluster), DIRECTORY_BYTES);
}

/* The root directory, as much of it as lies in one piece. */
static int take_root(struct fat *fat, struct byte_ranges *directories)
{
    for (uint64_t at = 0; at < fat->root_bytes; at += CHUNK_BYTES) {
        size_t bytes = (size_t)min_u64(CHUNK_BYTES, fat->root_bytes - at);
        int r = region_read(fat->region, fat->root + at, fat->chunk, bytes);

        for (size_t i = 0; r == 0 && i < bytes; i += DIRECTORY_BYTES) {
            if (fat->chunk[i] == NAME_END)
                return 0;
            r = check_root_entry(fat, fat->chunk + i, directories);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* A directory begins with an entry for itself. Where it does not, clusters are not where the boot
 * sector, which has no checksum, makes them be. */
static int check_directories(const struct fat *fat, const struct byte_ranges *directories)
{
    static const char self[] = ".          ";
    int r = region_plan(fat->region, directories->items, directories->count);

    for (size_t i = 0; r == 0 && i < directories->count; i++) {
        uint8_t name[sizeof(self) - 1];

        r = region_read(fat->region, directories->items[i].start, name, sizeof(name));
        if (r == 0 && memcmp(name, self, sizeof(name)) != 0)
            r = region_refuse(fat->region, "a directory is not where it should be");
    }
    return r;
}

/* What the tables can't tell of themselves. */
static int check_root(struct fat *fat)
{
    struct byte_ranges directories = {0};
    int r = 0;

    if (fat->bits == 32 &&
        is_marked(fat, (fat->root - fat->data) / fat->cluster_bytes + FIRST_CLUSTER))
        r = region_refuse(fat->region, "its root directory is free by its tables");
    if (r == 0)
        r = take_root(fat, &directories);
    if (r == 0)
        r = check_directories(fat, &directories);
    byte_ranges_free(&directories);
    return r;
}

static int analyse(struct region *region)
{
    CLEANUP_FREE uint8_t *chunk = calloc(2, CHUNK_BYTES + 1);
    struct fat fat = {.region = region, .chunk = chunk};
    int r;

    if (!chunk)
        return -ENOMEM;
    fat.other = chunk + CHUNK_BYTES + 1;
    r = take_boot_sector(&fat);
    if (r < 0)
        return r;
    fat.marks = calloc(1, (size_t)((fat.clusters + FIRST_CLUSTER) / 8 + 1));
    if (!fat.marks)
        return -ENOMEM;
    r = take_tables(&fat);
    if (r == 0)
        r = check_root(&fat);
    free(fat.marks);
    return r;
}

const struct format format_fat = {.name = "FAT", .probe = probe, .analyse = analyse};
