/* SPDX-License-Identifier: Apache-2.0 */

/* The GUID partition table (UEFI specification 2.10, chapter 5): a header and an array of entries
 * at the begin of the disk, and both once more at its end. */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l/crc.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "format_registry.h"
#include "partitions.h"

#define SIGNATURE           "EFI PART"
#define HEADER_BYTES        92
#define ENTRY_BYTES_MIN     128
#define ENTRIES_MAX         4096
#define TABLE_BYTES_MAX     ((size_t)2 << 20)
#define SECTOR_MAX          4096

#define MBR_TYPE_PROTECTIVE 0xEE

struct gpt {
    uint64_t sector; /* bytes of a logical block */
    uint64_t own, other;
    uint64_t entries_start; /* bytes */
    uint32_t entry_count, entry_bytes;
    uint8_t *entries;
};

static const uint64_t sectors[] = {512, 4096};

/* Where the two headers belong; false when the region has no room for them. */
static bool header_places(struct region *region, uint64_t sector, uint64_t *ret_first,
                          uint64_t *ret_last)
{
    uint64_t count = region_bytes(region) / sector;

    *ret_first = sector;
    *ret_last = count ? (count - 1) * sector : 0;
    return count > 3;
}

static bool is_protected(struct region *region)
{
    uint8_t mbr[512];

    if (region_read(region, 0, mbr, sizeof(mbr)) < 0 || mbr[510] != 0x55 || mbr[511] != 0xAA)
        return false;
    for (int i = 0; i < 4; i++)
        if (mbr[446 + 16 * i + 4] == MBR_TYPE_PROTECTIVE)
            return true;
    return false;
}

static int probe(struct region *region)
{
    if (is_protected(region))
        return 1;
    for (size_t i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++) {
        uint64_t first, last;

        if (!header_places(region, sectors[i], &first, &last))
            continue;
        if (region_has(region, first, SIGNATURE, strlen(SIGNATURE)) ||
            region_has(region, last, SIGNATURE, strlen(SIGNATURE)))
            return 1;
    }
    return 0;
}

static void gpt_free(struct gpt *gpt)
{
    free(gpt->entries);
}

static bool parse_header(struct gpt *gpt, uint8_t *header, uint64_t place)
{
    uint32_t size = get_le32(header + 12), crc = get_le32(header + 16);

    if (memcmp(header, SIGNATURE, strlen(SIGNATURE)) != 0 || size < HEADER_BYTES ||
        size > gpt->sector)
        return false;
    memset(header + 16, 0, 4);
    if (crc32_gzip_refl(0, header, size) != crc)
        return false;
    gpt->own = get_le64(header + 24);
    gpt->other = get_le64(header + 32);
    gpt->entry_count = get_le32(header + 80);
    gpt->entry_bytes = get_le32(header + 84);
    return gpt->own == place / gpt->sector && gpt->entry_count <= ENTRIES_MAX &&
           gpt->entry_bytes >= ENTRY_BYTES_MIN && gpt->entry_bytes % 8 == 0 &&
           (uint64_t)gpt->entry_count * gpt->entry_bytes <= TABLE_BYTES_MAX &&
           !mul_overflows(get_le64(header + 72), gpt->sector, &gpt->entries_start);
}

/* 1: the header at place and its entries are sound. 0: they are not. -errno. */
static int read_gpt(struct region *region, uint64_t sector, uint64_t place, struct gpt *ret)
{
    uint8_t header[SECTOR_MAX];
    size_t bytes;
    uint32_t crc;
    int r = region_read(region, place, header, sector);

    *ret = (struct gpt){.sector = sector};
    if (r < 0)
        return r;
    crc = get_le32(header + 88);
    if (!parse_header(ret, header, place))
        return 0;
    bytes = (size_t)ret->entry_count * ret->entry_bytes;
    if (!range_within(ret->entries_start, bytes, region_bytes(region)))
        return 0;
    ret->entries = malloc(bytes ? bytes : 1);
    if (!ret->entries)
        return -ENOMEM;
    r = region_read(region, ret->entries_start, ret->entries, bytes);
    if (r < 0)
        return r;
    return crc32_gzip_refl(0, ret->entries, bytes) == crc;
}

/* The table and its header stay, wherever they are. */
static int keep_table(struct region *region, const struct gpt *gpt)
{
    uint64_t bytes = (uint64_t)gpt->entry_count * gpt->entry_bytes;
    int r = region_keep(region, gpt->own * gpt->sector, gpt->sector);

    return r < 0 ? r : region_keep(region, gpt->entries_start, bytes);
}

/* Whether the partition holds pieces of volumes of Windows' Logical Disk Manager, or tells of them.
 */
static bool is_dynamic(const uint8_t type[static 16])
{
    static const uint8_t metadata[16] = {0xAA, 0xC8, 0x08, 0x58, 0x8F, 0x7E, 0xE0, 0x42,
                                         0x85, 0xD2, 0xE1, 0xE9, 0x04, 0x34, 0xCF, 0xB3};
    static const uint8_t data[16] = {0xA0, 0x60, 0x9B, 0xAF, 0x31, 0x14, 0x62, 0x4F,
                                     0xBC, 0x68, 0x33, 0x11, 0x71, 0x4A, 0x69, 0xAD};

    return memcmp(type, metadata, sizeof(metadata)) == 0 || memcmp(type, data, sizeof(data)) == 0;
}

static int add_entry(struct region *region, const struct gpt *gpt, uint32_t index,
                     struct partition_list *list)
{
    static const uint8_t unused[16];
    const uint8_t *entry = gpt->entries + (size_t)index * gpt->entry_bytes;
    uint64_t first = get_le64(entry + 32), last = get_le64(entry + 40);
    uint64_t sectors_in_all = region_bytes(region) / gpt->sector;

    if (memcmp(entry, unused, sizeof(unused)) == 0)
        return 0;
    if (is_dynamic(entry))
        return region_refuse(region, "it is a dynamic disk of Windows");
    if (first > last || last >= sectors_in_all)
        return region_refuse(region, "partition %u goes beyond the end", index + 1);
    return partition_list_add(list, first * gpt->sector, (last - first + 1) * gpt->sector,
                              index + 1);
}

static int analyse_table(struct region *region, const struct gpt *gpt)
{
    CLEANUP(partition_list_free) struct partition_list list = {0};
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < gpt->entry_count; i++)
        r = add_entry(region, gpt, i, &list);
    return r < 0 ? r : partition_list_analyse(region, &list);
}

static bool same_entries(const struct gpt *a, const struct gpt *b)
{
    return a->entry_count == b->entry_count && a->entry_bytes == b->entry_bytes &&
           memcmp(a->entries, b->entries, (size_t)a->entry_count * a->entry_bytes) == 0;
}

/* The last sectors of the disk hold the backup, sound or not: they are kept. */
static int keep_both(struct region *region, const struct gpt *sound)
{
    uint64_t bytes = (uint64_t)sound->entry_count * sound->entry_bytes;
    uint64_t tables = align_up(bytes, sound->sector) + 2 * sound->sector;
    uint64_t other = min_u64(sound->other, region_bytes(region) / sound->sector) * sound->sector;
    int r = region_keep(region, 0, tables);

    if (r == 0)
        r = region_keep(region, other > tables ? other - tables : 0, tables + sound->sector);
    if (r == 0)
        r = region_keep(region, region_bytes(region) - min_u64(tables, region_bytes(region)),
                        tables);
    return r < 0 ? r : keep_table(region, sound);
}

static int analyse_pair(struct region *region, const struct gpt *first, bool first_sound,
                        const struct gpt *last, bool last_sound)
{
    const struct gpt *sound = first_sound ? first : last;
    int r;

    if (first_sound && last_sound && !same_entries(first, last))
        return region_refuse(region, "its first table and the backup are not the same");
    if (!first_sound)
        region_note(region, "its first table is damaged; the backup counts");
    else if (!last_sound)
        region_note(region, "its backup is damaged or not at the end; the first table counts");
    r = keep_both(region, sound);
    if (r == 0 && first_sound && last_sound)
        r = keep_table(region, last);
    return r < 0 ? r : analyse_table(region, sound);
}

struct gpt_pair {
    struct gpt first, last;
    bool first_sound, last_sound;
};

static void gpt_pair_free(struct gpt_pair *pair)
{
    gpt_free(&pair->first);
    gpt_free(&pair->last);
}

/* 1: one of the two tables in this unit is sound, or both. 0: none. -errno. */
static int read_pair(struct region *region, uint64_t sector, struct gpt_pair *ret)
{
    uint64_t first, last;
    int r;

    if (!header_places(region, sector, &first, &last))
        return 0;
    r = read_gpt(region, sector, first, &ret->first);
    if (r < 0)
        return r;
    ret->first_sound = r;
    r = read_gpt(region, sector, last, &ret->last);
    if (r < 0)
        return r;
    ret->last_sound = r;
    return ret->first_sound || ret->last_sound;
}

/* Without the protective MBR a table may be what an older use of the disk left, the backup above
 * all, while something newer that is not known here begins where that MBR was. */
static int analyse(struct region *region)
{
    CLEANUP(gpt_pair_free) struct gpt_pair small = {0};
    CLEANUP(gpt_pair_free) struct gpt_pair large = {0};
    const struct gpt_pair *pair = &small;
    int in_small, in_large;

    if (!is_protected(region))
        return region_refuse(region, "its protective MBR is gone, so it may be out of date");
    in_small = read_pair(region, sectors[0], &small);
    if (in_small < 0)
        return in_small;
    in_large = read_pair(region, sectors[1], &large);
    if (in_large < 0)
        return in_large;
    if (!in_small && !in_large)
        return region_refuse(region, "neither its first table nor the backup is sound");
    if (in_small && in_large)
        return region_refuse(region, "it is sound in units of %u and of %u bytes",
                             (unsigned)sectors[0], (unsigned)sectors[1]);
    if (in_large)
        pair = &large;
    return analyse_pair(region, &pair->first, pair->first_sound, &pair->last, pair->last_sound);
}

const struct format format_gpt = {.name = "GPT", .probe = probe, .analyse = analyse};
