/* SPDX-License-Identifier: Apache-2.0 */

/* The partition table in the first sector of a PC's disk: four entries, of which one may be an
 * extended partition, a chain of sectors that each describe one logical partition and the next
 * sector of the chain.
 *
 * It counts in logical blocks of the disk that it was made on, and does not say how large those
 * were; the bytes may have come to a LUN with other ones since. So it is read in every unit that
 * disks have. Where it is sound in several, the one counts in which a partition begins with
 * something known; when that is not one alone, all of it is allocated. */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
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
#define TYPE_DYNAMIC 0x42 /* a disk of Windows' Logical Disk Manager */
#define UNIT_MIN     512
#define UNITS_MAX    3
#define WHY_MAX      PARTITION_WHY_MAX

struct entry {
    uint8_t status, type;
    uint64_t start, count; /* units, relative */
};

/* The table as it is in one unit. */
struct reading {
    struct region *region;
    uint64_t unit; /* bytes */
    struct partition_list list;
    struct byte_ranges chain; /* the sectors of an extended partition */
    bool dynamic;             /* its partitions are pieces of volumes */
    char why[WHY_MAX];        /* it cannot be so: "partition 1 goes beyond the end" */
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
static bool is_table(const uint8_t *sector, uint64_t units)
{
    bool used = false;

    for (int i = 0; i < 4; i++) {
        struct entry entry = get_entry(sector, i);

        if ((entry.status & 0x7F) != 0)
            return false;
        if (!is_used(&entry))
            continue;
        if (entry.start == 0 || entry.start >= units)
            return false;
        used = true;
    }
    return used && sector[510] == 0x55 && sector[511] == 0xAA;
}

int partitions_refuse_table(struct region *region, const uint8_t boot[static 512])
{
    if (!is_table(boot, region_bytes(region) / UNIT_MIN))
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

static void reading_free(struct reading *reading)
{
    partition_list_free(&reading->list);
    byte_ranges_free(&reading->chain);
}

/* It is none: returns 0. */
static int not_so(struct reading *reading, const char *why)
{
    snprintf(reading->why, sizeof(reading->why), "%s", why);
    return 0;
}

/* One sector of the chain of an extended partition. 1: so far it is one; 0: it is none, or the last
 * one, which is when *ret_next is not used. */
static int add_logical(struct reading *reading, uint64_t at, unsigned number,
                       struct entry *ret_next)
{
    uint64_t unit = reading->unit;
    struct entry logical;
    uint8_t sector[512];
    int r = region_read(reading->region, at * unit, sector, sizeof(sector));

    if (r == -ERANGE)
        return not_so(reading, "the chain of its extended partition goes beyond the end");
    if (r == 0)
        r = byte_ranges_add(&reading->chain, at * unit, unit);
    if (r < 0)
        return r;
    if (sector[510] != 0x55 || sector[511] != 0xAA)
        return not_so(reading, "the chain of its extended partition is broken");
    logical = get_entry(sector, 0);
    *ret_next = get_entry(sector, 1);
    reading->dynamic = reading->dynamic || logical.type == TYPE_DYNAMIC;
    if (is_used(&logical))
        r = partition_list_add(&reading->list, (at + logical.start) * unit, logical.count * unit,
                               number);
    return r < 0 ? r : 1;
}

/* The chain of an extended partition. 1: sound; 0: not; -errno. */
static int add_chain(struct reading *reading, const struct entry *extended)
{
    uint64_t at = extended->start;

    for (unsigned number = FIRST_LOGIC; number < FIRST_LOGIC + LOGICAL_MAX; number++) {
        struct entry next;
        int r = add_logical(reading, at, number, &next);

        if (r <= 0)
            return r;
        if (!is_used(&next))
            return 1;
        if (!is_extended(next.type) || next.start == 0 || next.start >= extended->count)
            return not_so(reading, "the chain of its extended partition leaves it");
        at = extended->start + next.start;
    }
    return not_so(reading, "the chain of its extended partition does not end");
}

/* 1: the table may be meant in this unit; 0: it cannot be, and why; -errno. */
static int read_table(struct reading *reading, const uint8_t *sector)
{
    int r = 1;

    for (int i = 0; r > 0 && i < 4; i++) {
        struct entry entry = get_entry(sector, i);

        if (!is_used(&entry))
            continue;
        reading->dynamic = reading->dynamic || entry.type == TYPE_DYNAMIC;
        if (is_extended(entry.type)) {
            r = add_chain(reading, &entry);
            continue;
        }
        r = partition_list_add(&reading->list, entry.start * reading->unit,
                               entry.count * reading->unit, (unsigned)i + 1);
        r = r < 0 ? r : 1;
    }
    if (r <= 0)
        return r;
    return partition_list_check(&reading->list, region_bytes(reading->region), reading->why);
}

/* Whether something that is known begins where a partition does, or a chain leads to one. */
static bool begins_known(struct reading *reading)
{
    bool known = reading->chain.count > 0;

    for (size_t i = 0; !known && i < reading->list.count; i++)
        known = region_knows(reading->region, reading->list.items[i].start,
                             reading->list.items[i].length);
    return known;
}

static int take(struct reading *reading)
{
    int r = region_keep(reading->region, 0, reading->unit);

    if (reading->dynamic)
        return region_refuse(reading->region, "it is a dynamic disk of Windows");
    for (size_t i = 0; r == 0 && i < reading->chain.count; i++)
        r = region_keep(reading->region, reading->chain.items[i].start,
                        reading->chain.items[i].length);
    return r < 0 ? r : partition_list_analyse(reading->region, &reading->list);
}

/* Of the readings that are possible, the one in which partitions begin with something known. */
static int choose(struct region *region, struct reading *possible, size_t count)
{
    struct reading *chosen = NULL;

    if (count == 1)
        return take(possible);
    for (size_t i = 0; i < count; i++) {
        if (!begins_known(&possible[i]))
            continue;
        if (chosen) {
            chosen = NULL;
            break;
        }
        chosen = &possible[i];
    }
    if (chosen)
        return take(chosen);
    return region_refuse(region, "it may be meant in units of %u and of %u bytes",
                         (unsigned)possible[0].unit, (unsigned)possible[1].unit);
}

/* The units of disks, and that of this one. */
static size_t list_units(const struct region *region, uint64_t units[static UNITS_MAX])
{
    uint32_t own = region_block_bytes(region);
    size_t count = 0;

    units[count++] = UNIT_MIN;
    units[count++] = 4096;
    if (own != UNIT_MIN && own != 4096)
        units[count++] = own;
    return count;
}

static int analyse(struct region *region)
{
    struct reading readings[UNITS_MAX] = {0};
    uint64_t units[UNITS_MAX];
    size_t count = list_units(region, units), possible = 0;
    char why[WHY_MAX] = "";
    uint8_t sector[512];
    int r = region_read(region, 0, sector, sizeof(sector));

    for (size_t i = 0; r >= 0 && i < count; i++) {
        struct reading *reading = &readings[possible];

        reading_free(reading);
        *reading = (struct reading){.region = region, .unit = units[i]};
        r = read_table(reading, sector);
        if (r > 0)
            possible++;
        else if (i == 0)
            memcpy(why, reading->why, sizeof(why));
    }
    if (r >= 0)
        r = possible ? choose(region, readings, possible) : region_refuse(region, "%s", why);
    for (size_t i = 0; i < UNITS_MAX; i++)
        reading_free(&readings[i]);
    return r;
}

const struct format format_mbr = {.name = "MBR", .probe = probe, .analyse = analyse};
