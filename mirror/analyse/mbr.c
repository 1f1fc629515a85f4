/* SPDX-License-Identifier: Apache-2.0 */

/* The partition table in the first sector of a PC's disk: four entries, of which one may be an
 * extended partition, a chain of sectors that each describe one logical partition and the next
 * sector of the chain. */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "byteorder.h"
#include "cleanup.h"
#include "format_registry.h"
#include "partitions.h"

#define TABLE        446
#define ENTRY_BYTES  16
#define LOGICAL_MAX  128
#define FIRST_LOGIC  5
#define TYPE_PROTECT 0xEE

struct entry {
    uint8_t status, type;
    uint64_t start, count; /* sectors, relative */
};

static struct entry get_entry(const uint8_t *sector, int index)
{
    const uint8_t *at = sector + TABLE + ENTRY_BYTES * index;

    return (struct entry){at[0], at[4], get_le32(at + 8), get_le32(at + 12)};
}

static bool is_extended(uint8_t type)
{
    return type == 0x05 || type == 0x0F || type == 0x85;
}

static bool is_used(const struct entry *entry)
{
    return entry->type != 0 && entry->count != 0;
}

/* Boot code and messages are seldom four entries that partitions could have. */
static bool is_table(const uint8_t *sector, uint64_t blocks)
{
    bool used = false;

    for (int i = 0; i < 4; i++) {
        struct entry entry = get_entry(sector, i);

        if ((entry.status & 0x7F) != 0)
            return false;
        if (!is_used(&entry))
            continue;
        if (entry.start == 0 || entry.start >= blocks)
            return false;
        used = true;
    }
    return used && sector[510] == 0x55 && sector[511] == 0xAA;
}

int partitions_refuse_table(struct region *region, const uint8_t boot[static 512])
{
    if (!is_table(boot, region_bytes(region) / region_block_bytes(region)))
        return 0;
    return region_refuse(region, "a partition table lies in its boot sector");
}

/* FAT, NTFS and exFAT end their first sector with the same two bytes. */
static bool is_boot_sector(const uint8_t *sector)
{
    return memcmp(sector + 3, "NTFS    ", 8) == 0 || memcmp(sector + 3, "EXFAT   ", 8) == 0 ||
           memcmp(sector + 54, "FAT", 3) == 0 || memcmp(sector + 82, "FAT32", 5) == 0;
}

static int probe(struct region *region)
{
    uint8_t sector[512];
    bool used = false;
    int r = region_read(region, 0, sector, sizeof(sector));

    if (r < 0)
        return r;
    if (sector[510] != 0x55 || sector[511] != 0xAA || is_boot_sector(sector))
        return 0;
    for (int i = 0; i < 4; i++) {
        struct entry entry = get_entry(sector, i);

        if ((entry.status & 0x7F) != 0 || entry.type == TYPE_PROTECT)
            return 0;
        used = used || is_used(&entry);
    }
    return used;
}

/* The chain of an extended partition. Each of its sectors is kept. */
static int add_logical(struct region *region, const struct entry *extended,
                       struct partition_list *list)
{
    uint64_t unit = region_block_bytes(region), at = extended->start;

    for (unsigned number = FIRST_LOGIC; number < FIRST_LOGIC + LOGICAL_MAX; number++) {
        uint8_t sector[512];
        struct entry logical, next;
        int r = region_read(region, at * unit, sector, sizeof(sector));

        if (r == 0)
            r = region_keep(region, at * unit, unit);
        if (r < 0)
            return r;
        if (sector[510] != 0x55 || sector[511] != 0xAA)
            return region_refuse(region, "the chain of its extended partition is broken");
        logical = get_entry(sector, 0);
        next = get_entry(sector, 1);
        if (is_used(&logical))
            r = partition_list_add(list, (at + logical.start) * unit, logical.count * unit, number);
        if (r < 0)
            return r;
        if (!is_used(&next))
            return 0;
        if (!is_extended(next.type) || next.start == 0 || next.start >= extended->count)
            return region_refuse(region, "the chain of its extended partition leaves it");
        at = extended->start + next.start;
    }
    return region_refuse(region, "the chain of its extended partition does not end");
}

static int analyse(struct region *region)
{
    CLEANUP(partition_list_free) struct partition_list list = {0};
    uint64_t unit = region_block_bytes(region);
    uint8_t sector[512];
    int r = region_read(region, 0, sector, sizeof(sector));

    if (r == 0)
        r = region_keep(region, 0, unit);
    for (int i = 0; r == 0 && i < 4; i++) {
        struct entry entry = get_entry(sector, i);

        if (!is_used(&entry))
            continue;
        if (is_extended(entry.type))
            r = add_logical(region, &entry, &list);
        else
            r = partition_list_add(&list, entry.start * unit, entry.count * unit, (unsigned)i + 1);
    }
    return r < 0 ? r : partition_list_analyse(region, &list);
}

const struct format format_mbr = {.name = "MBR", .probe = probe, .analyse = analyse};
