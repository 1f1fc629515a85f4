/* SPDX-License-Identifier: Apache-2.0 */

/* Whether a suspended Windows holds an NTFS: the memory of the machine is in hiberfil.sys, in the
 * root directory, and the file system is not what it believes it to be. Directories are trees of
 * blocks; all blocks are looked through, which needs no rule of how names are sorted. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "ntfs.h"

#define INDEX_ROOT_HEADER   16
#define INDEX_BLOCK_HEADER  24
#define INDEX_HEADER        16
#define INDEX_HAS_BLOCKS    0x01
#define INDEX_BLOCK_MAX     65536
#define ENTRY_HEADER        16
#define ENTRY_LAST          0x02
#define NAME_OFFSET         66 /* of the name in a file name attribute */
#define NAME_COUNT_OFFSET   64
#define RECORD_NUMBER_MASK  UINT64_C(0xFFFFFFFFFFFF)
#define DIRECTORY_BYTES_MAX (UINT64_C(64) << 20)
#define HIBERNATION_BYTES   4096 /* a shorter file is none of Windows' */

static const char hibernation_file[] = "hiberfil.sys";

/* What the search has found. */
struct search {
    struct ntfs *ntfs;
    bool found;
    uint64_t record;
};

/* Of the key of an entry: a file name attribute. */
static bool is_hibernation_file(const uint8_t *key, size_t bytes)
{
    size_t count = sizeof(hibernation_file) - 1;

    if (bytes < NAME_OFFSET + count * 2 || key[NAME_COUNT_OFFSET] != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        uint16_t letter = get_le16(key + NAME_OFFSET + i * 2);

        if (letter > 0x7F || (letter | 0x20) != (hibernation_file[i] | 0x20))
            return false;
    }
    return true;
}

/* The entries behind an index header, of which bytes bytes were read. */
static int search_entries(struct search *search, const uint8_t *header, size_t bytes)
{
    size_t at = get_le32(header), end = get_le32(header + 4);

    if (at < INDEX_HEADER || end > bytes)
        return region_refuse(search->ntfs->region, "its root directory is damaged");
    for (;;) {
        const uint8_t *entry = header + at;
        size_t length, key_bytes;

        if (!range_within(at, ENTRY_HEADER, end))
            return region_refuse(search->ntfs->region, "its root directory is damaged");
        length = get_le16(entry + 8);
        key_bytes = get_le16(entry + 10);
        if (length < ENTRY_HEADER || !range_within(at, length, end) ||
            key_bytes > length - ENTRY_HEADER)
            return region_refuse(search->ntfs->region, "its root directory is damaged");
        if (get_le16(entry + 12) & ENTRY_LAST)
            return 0;
        if (is_hibernation_file(entry + ENTRY_HEADER, key_bytes)) {
            search->found = true;
            search->record = get_le64(entry) & RECORD_NUMBER_MASK;
        }
        at += length;
    }
}

static int search_block(struct search *search, uint8_t *block, size_t bytes)
{
    int r = ntfs_undo_fixups(search->ntfs, block, bytes, "INDX", "its root directory");

    return r < 0 ? r
                 : search_entries(search, block + INDEX_BLOCK_HEADER, bytes - INDEX_BLOCK_HEADER);
}

/* Blocks whose bit is clear hold what was there once. */
static int search_blocks(struct search *search, const struct byte_ranges *places, uint64_t count,
                         uint32_t block_bytes, const uint8_t *bits)
{
    CLEANUP_FREE uint8_t *block = malloc(block_bytes);
    int r;

    if (!block)
        return -ENOMEM;
    r = region_plan(search->ntfs->region, places->items, places->count);
    for (uint64_t i = 0; r == 0 && !search->found && i < count; i++) {
        if (!(bits[i / 8] >> i % 8 & 1))
            continue;
        r = ntfs_read_places(search->ntfs, places, i * block_bytes, block, block_bytes);
        if (r == 0)
            r = search_block(search, block, block_bytes);
    }
    return r;
}

/* Which of the blocks are in use. */
static int read_bits(struct ntfs *ntfs, struct ntfs_file *file, uint8_t *bits, uint64_t count)
{
    struct ntfs_attribute bitmap;
    int r = ntfs_find_attribute(ntfs, file, NTFS_BITMAP, "$I30", &bitmap);

    if (r < 0)
        return r;
    if (r == 1)
        r = ntfs_read_attribute(ntfs, file, &bitmap, bits, (count + 7) / 8);
    else
        r = -ERANGE;
    return r == -ERANGE ? region_refuse(ntfs->region, "its root directory is damaged") : r;
}

/* The blocks of a directory that is too long for its record. */
static int search_allocation(struct search *search, struct ntfs_file *file, uint32_t block_bytes)
{
    CLEANUP_FREE uint8_t *bits = NULL;
    struct byte_ranges places = {0};
    struct ntfs_attribute blocks;
    uint64_t count;
    int r = ntfs_find_attribute(search->ntfs, file, NTFS_INDEX_ALLOCATION, "$I30", &blocks);

    if (r < 0)
        return r;
    if (r == 0)
        return region_refuse(search->ntfs->region, "its root directory does not say where it is");
    count = blocks.bytes / block_bytes;
    if (blocks.bytes > DIRECTORY_BYTES_MAX)
        return region_refuse(search->ntfs->region, "its root directory is too long");
    bits = malloc(count / 8 + 1);
    if (!bits)
        return -ENOMEM;
    r = read_bits(search->ntfs, file, bits, count);
    if (r == 0)
        r = ntfs_places(search->ntfs, file, &blocks, &places);
    if (r == 0)
        r = search_blocks(search, &places, count, block_bytes, bits);
    byte_ranges_free(&places);
    return r;
}

static int search_root(struct search *search, struct ntfs_file *file)
{
    struct ntfs *ntfs = search->ntfs;
    struct ntfs_attribute root;
    uint32_t block_bytes;
    int r = ntfs_open(ntfs, NTFS_FILE_ROOT, file);

    if (r == 0)
        r = ntfs_find_attribute(ntfs, file, NTFS_INDEX_ROOT, "$I30", &root);
    if (r < 0)
        return r;
    if (r == 0 || !root.resident || root.value_bytes < INDEX_ROOT_HEADER + INDEX_HEADER)
        return region_refuse(ntfs->region, "its root directory is missing");
    block_bytes = get_le32(root.value + 8);
    if (!is_power_of_two(block_bytes) || block_bytes < 512 || block_bytes > INDEX_BLOCK_MAX)
        return region_refuse(ntfs->region, "its root directory is damaged");
    r = search_entries(search, root.value + INDEX_ROOT_HEADER,
                       root.value_bytes - INDEX_ROOT_HEADER);
    if (r < 0 || search->found || !(root.value[INDEX_ROOT_HEADER + 12] & INDEX_HAS_BLOCKS))
        return r;
    return search_allocation(search, file, block_bytes);
}

static int judge_file(struct ntfs *ntfs, const uint8_t *begin)
{
    static const uint8_t nothing[HIBERNATION_BYTES];

    /* Windows writes "wake" when it has gone on. */
    if (memcmp(begin, nothing, sizeof(nothing)) == 0 || memcmp(begin, "wake", 4) == 0 ||
        memcmp(begin, "WAKE", 4) == 0)
        return 0;
    return region_refuse(ntfs->region, "a suspended Windows holds it (hiberfil.sys)");
}

static int check_file(struct ntfs *ntfs, struct ntfs_file *file)
{
    uint8_t begin[HIBERNATION_BYTES];
    struct ntfs_attribute data;
    int r = ntfs_find_attribute(ntfs, file, NTFS_DATA, "", &data);

    if (r < 0)
        return r;
    if (r == 0)
        return region_refuse(ntfs->region, "hiberfil.sys cannot be looked into");
    r = ntfs_read_attribute(ntfs, file, &data, begin, sizeof(begin));
    if (r == -ERANGE)
        return 0;
    return r == 0 ? judge_file(ntfs, begin) : r;
}

int ntfs_check_hibernation(struct ntfs *ntfs)
{
    CLEANUP(ntfs_close) struct ntfs_file file = {0};
    struct search search = {.ntfs = ntfs};
    int r = search_root(&search, &file);

    if (r < 0 || !search.found)
        return r;
    r = ntfs_open(ntfs, search.record, &file);
    return r == 0 ? check_file(ntfs, &file) : r;
}
