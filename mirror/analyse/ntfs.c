/* SPDX-License-Identifier: Apache-2.0 */

/* NTFS 3.0 and 3.1. Free is what the file $Bitmap calls free; the copy of the boot sector behind
 * the last cluster, and all else there, is never claimed. Anything that may still be waiting in the
 * log or in a suspended Windows, and anything that contradicts itself, makes all of it allocated.
 */

#include "ntfs.h"
#include "partitions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "cluster_bitmap.h"
#include "format_registry.h"

#define BOOT_BYTES          512
#define BOOT_FILE_BYTES     8192 /* $Boot, at the begin */
#define SECTOR_MIN          256
#define SHADOW_HEADER       0x1E00
#define SHADOW_HEADER_BYTES 512
#define SECTOR_MAX          4096
#define CLUSTER_BYTES_MAX   (UINT64_C(2) << 20)
#define RECORD_BYTES_MIN    512
/* Of the file table, how much is looked at for files, how much of it at once (a multiple of any
 * record), and how many runs of clusters are noted. */
#define FILES_BYTES    (16U << 20)
#define FILES_CHUNK    ((size_t)256 * 1024)
#define FILES_RUNS     65536
#define MIRROR_RECORDS 4

static int probe(struct region *region)
{
    uint8_t byte;
    int r = region_read(region, 0, &byte, 1);

    return r < 0 ? r : region_has(region, 3, "NTFS    ", 8);
}

/* A number of units, or, from 128 on, the negated logarithm of what they make. */
static uint64_t small_or_power(uint8_t value, uint64_t unit)
{
    unsigned power = 256U - value;

    if (value < 128)
        return value * unit;
    return power < 32 ? UINT64_C(1) << power : 0;
}

/* Sectors of a cluster; the same encoding, but a logarithm of sectors. */
static uint64_t cluster_sectors(uint8_t value)
{
    if (value <= 128)
        return value;
    return value > 224 ? UINT64_C(1) << (256U - value) : 0;
}

/* Windows keeps the boot sector once more, in the sector behind the last one that it counts. Where
 * it is not there, the file system is not what the boot sector makes it, but one column of a
 * stripe, say. Code and serial numbers may differ. */
static int check_backup(const struct ntfs *ntfs, const uint8_t *boot)
{
    static const struct byte_range same[] = {{3, 11}, {40, 26}, {68, 1}, {510, 2}};
    uint64_t sector = get_le16(boot + 11), place;
    uint8_t backup[BOOT_BYTES];
    int r;

    if (mul_overflows(get_le64(boot + 40), sector, &place) ||
        !range_within(place, sector, region_bytes(ntfs->region)))
        return region_refuse(ntfs->region, "there is no room for its backup boot sector");
    r = region_keep(ntfs->region, place, sector);
    if (r == 0)
        r = region_read(ntfs->region, place, backup, min_u64(sector, sizeof(backup)));
    for (size_t i = 0; r == 0 && i < sizeof(same) / sizeof(same[0]); i++)
        if (same[i].start + same[i].length <= sector &&
            memcmp(boot + same[i].start, backup + same[i].start, same[i].length) != 0)
            r = region_refuse(ntfs->region, "its backup boot sector is not where it should be");
    return r;
}

/* Volume shadow copies hold blocks that only they need and that the bitmap calls free. Windows
 * notes at a fixed place whether there are any: where their catalog begins. */
static int check_shadow_copies(struct ntfs *ntfs)
{
    static const uint8_t identifier[16] = {0x6B, 0x87, 0x08, 0x38, 0x76, 0xC1, 0x48, 0x4E,
                                           0xB7, 0xAE, 0x04, 0x04, 0x6E, 0x6C, 0xC7, 0x52};
    uint8_t header[SHADOW_HEADER_BYTES];
    int r = region_read(ntfs->region, SHADOW_HEADER, header, sizeof(header));

    if (r < 0)
        return r;
    if (memcmp(header, identifier, sizeof(identifier)) == 0 && get_le64(header + 48) != 0)
        return region_refuse(ntfs->region,
                             "it has volume shadow copies, whose blocks its bitmap calls free");
    return 0;
}

static int take_boot_sector(struct ntfs *ntfs)
{
    uint8_t boot[BOOT_BYTES];
    uint64_t sector, sectors, record;
    int r = region_read(ntfs->region, 0, boot, sizeof(boot));

    if (r == 0)
        r = partitions_refuse_table(ntfs->region, boot);
    if (r < 0)
        return r;
    sector = get_le16(boot + 11);
    sectors = get_le64(boot + 40);
    ntfs->cluster_bytes = cluster_sectors(boot[13]) * sector;
    record = small_or_power(boot[64], ntfs->cluster_bytes);
    if (boot[510] != 0x55 || boot[511] != 0xAA || !is_power_of_two(sector) || sector < SECTOR_MIN ||
        sector > SECTOR_MAX || !is_power_of_two(ntfs->cluster_bytes) ||
        ntfs->cluster_bytes > CLUSTER_BYTES_MAX || !is_power_of_two(record) ||
        record < RECORD_BYTES_MIN || record > NTFS_RECORD_BYTES_MAX)
        return region_refuse(ntfs->region, "its boot sector makes no sense");
    if (sectors > region_bytes(ntfs->region) / sector)
        return region_refuse(ntfs->region, "it is larger than the place it lies in");
    r = check_backup(ntfs, boot);
    if (r < 0)
        return r;
    ntfs->record_bytes = (uint32_t)record;
    ntfs->clusters = sectors / (ntfs->cluster_bytes / sector);
    if (get_le64(boot + 48) >= ntfs->clusters || get_le64(boot + 56) >= ntfs->clusters)
        return region_refuse(ntfs->region, "its file table is beyond its end");
    ntfs->table_start = get_le64(boot + 48) * ntfs->cluster_bytes;
    ntfs->mirror_start = get_le64(boot + 56) * ntfs->cluster_bytes;
    return 0;
}

static int read_copy(const struct ntfs *ntfs, uint64_t table_start, uint64_t number, uint8_t *to)
{
    int r = region_read(ntfs->region, table_start + number * ntfs->record_bytes, to,
                        ntfs->record_bytes);

    return r < 0 ? r
                 : ntfs_undo_fixups(ntfs, to, ntfs->record_bytes, "FILE",
                                    "a record of its file table");
}

/* The copy of the first records must be like them, as far as these are in use. */
static int check_mirror(const struct ntfs *ntfs, uint8_t *record, uint8_t *copy)
{
    int r = 0;

    for (uint64_t i = 0; r == 0 && i < MIRROR_RECORDS; i++) {
        r = read_copy(ntfs, ntfs->table_start, i, record);
        if (r == 0)
            r = read_copy(ntfs, ntfs->mirror_start, i, copy);
        if (r == 0 && memcmp(record, copy, min_u64(get_le32(record + 24), ntfs->record_bytes)) != 0)
            r = region_refuse(ntfs->region, "the copy of its file table contradicts it");
    }
    return r;
}

static int note_used(struct ntfs *ntfs)
{
    uint64_t boot = align_up(BOOT_FILE_BYTES, ntfs->cluster_bytes);
    uint64_t mirror = align_up((uint64_t)MIRROR_RECORDS * ntfs->record_bytes, ntfs->cluster_bytes);
    int r = byte_ranges_add(&ntfs->used, 0, boot);

    return r == 0 ? byte_ranges_add(&ntfs->used, ntfs->mirror_start, mirror) : r;
}

/* The file table's own record says where the table is; when it has several records, those are in
 * the part of the table that the ones before them tell of. */
static int take_table(struct ntfs *ntfs, struct ntfs_file *file)
{
    struct ntfs_attribute data;
    int r = ntfs_open(ntfs, NTFS_FILE_MFT, file);

    if (r == 0)
        r = ntfs_find_attribute(ntfs, file, NTFS_DATA, "", &data);
    if (r < 0)
        return r;
    if (r == 0)
        return region_refuse(ntfs->region, "its file table does not say where it is");
    r = ntfs_places(ntfs, file, &data, &ntfs->table);
    if (r == 0 && (ntfs->table.count == 0 || ntfs->table.items[0].start != ntfs->table_start))
        r = region_refuse(ntfs->region, "its file table is not where its boot sector says");
    return r;
}

static int take_bitmap(struct ntfs *ntfs, struct ntfs_file *file)
{
    struct byte_ranges places = {0};
    struct ntfs_attribute data;
    int r = ntfs_open(ntfs, NTFS_FILE_BITMAP, file);

    if (r == 0)
        r = ntfs_find_attribute(ntfs, file, NTFS_DATA, "", &data);
    if (r < 0)
        return r;
    if (r == 0 || data.resident ||
        min_u64(data.bytes, data.initialised_bytes) < (ntfs->clusters + 7) / 8)
        return region_refuse(ntfs->region, "its bitmap is missing or too short");
    r = ntfs_places(ntfs, file, &data, &places);
    if (r == 0)
        r = cluster_bitmap_claim(&(struct cluster_bitmap){.region = ntfs->region,
                                                          .places = &places,
                                                          .clusters = ntfs->clusters,
                                                          .cluster_bytes = ntfs->cluster_bytes,
                                                          .used = &ntfs->used});
    byte_ranges_free(&places);
    return r;
}

/* Clusters that cannot be used are those of a file that has holes everywhere else. */
static int note_bad_clusters(struct ntfs *ntfs, struct ntfs_file *file)
{
    struct ntfs_attribute bad;
    int r = ntfs_open(ntfs, NTFS_FILE_BAD, file);

    if (r == 0)
        r = ntfs_find_attribute(ntfs, file, NTFS_DATA, "$Bad", &bad);
    return r == 1 ? ntfs_note_scattered(ntfs, &bad) : r;
}

/* So much of the file table as is to be looked at, as places in it. */
static int plan_files(const struct ntfs *ntfs, uint64_t *ret_bytes)
{
    struct byte_ranges ranges = {0};
    uint64_t bytes = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < ntfs->table.count && bytes < FILES_BYTES; i++) {
        uint64_t now = min_u64(ntfs->table.items[i].length, FILES_BYTES - bytes);

        r = byte_ranges_add(&ranges, ntfs->table.items[i].start, now);
        bytes += now;
    }
    if (r == 0)
        r = region_plan(ntfs->region, ranges.items, ranges.count);
    byte_ranges_free(&ranges);
    *ret_bytes = bytes / ntfs->record_bytes * ntfs->record_bytes;
    return r;
}

/* The bitmap has no checksum and no copy. That a part of it was lost, or is from another time, is
 * seen by files whose clusters it calls free: those of the first files are noted. To go through all
 * of them would take longer than what is free saves. */
static int note_files(struct ntfs *ntfs)
{
    CLEANUP_FREE uint8_t *chunk = malloc(FILES_CHUNK);
    uint64_t bytes = 0;
    int r = chunk ? plan_files(ntfs, &bytes) : -ENOMEM;

    for (uint64_t at = 0; r == 0 && at < bytes; at += FILES_CHUNK) {
        size_t now = (size_t)min_u64(FILES_CHUNK, bytes - at);

        r = ntfs_read_places(ntfs, &ntfs->table, at, chunk, now);
        for (size_t i = 0; r == 0 && i < now && ntfs->used.count < FILES_RUNS;
             i += ntfs->record_bytes)
            r = ntfs_note_record(ntfs, chunk + i);
    }
    return r;
}

static int take_parts(struct ntfs *ntfs)
{
    CLEANUP_FREE uint8_t *records = malloc(2 * NTFS_RECORD_BYTES_MAX);
    CLEANUP(ntfs_close) struct ntfs_file file = {0};
    int r;

    if (!records)
        return -ENOMEM;
    r = note_used(ntfs);
    if (r == 0)
        r = check_mirror(ntfs, records, records + NTFS_RECORD_BYTES_MAX);
    if (r == 0)
        r = take_table(ntfs, &file);
    if (r == 0)
        r = ntfs_check_clean(ntfs);
    if (r == 0)
        r = note_bad_clusters(ntfs, &file);
    if (r == 0)
        r = note_files(ntfs);
    return r == 0 ? take_bitmap(ntfs, &file) : r;
}

static int analyse(struct region *region)
{
    struct ntfs ntfs = {.region = region};
    int r = take_boot_sector(&ntfs);

    if (r == 0)
        r = check_shadow_copies(&ntfs);
    if (r == 0)
        r = take_parts(&ntfs);
    byte_ranges_free(&ntfs.table);
    byte_ranges_free(&ntfs.used);
    return r;
}

const struct format format_ntfs = {.name = "NTFS", .probe = probe, .analyse = analyse};
