/* SPDX-License-Identifier: Apache-2.0 */

/* ext2, ext3 and ext4. libext2fs knows the features, the descriptors and their checksums; the block
 * bitmaps are read here, one group after the other, so that a file system of any size takes the
 * memory of one group. */

#include <errno.h>
#include <stdlib.h>

#include <et/com_err.h>

#include "bitmap_scan.h"
#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "ext_io.h"
#include "ext_reserved.h"
#include "format_registry.h"

#define SUPER_OFFSET 1024
#define SUPER_BYTES  1024
#define BLOCK_MAX    65536

/* How many errors the kernel has found since e2fsck looked last (s_error_count). */
#define ERRORS_OFFSET 0x194

/* Features that a reader may do without, and that are known here to leave the meaning of the block
 * bitmaps alone. Others may not: bigalloc was one when it was new. */
#define RO_KNOWN                                                               \
    (EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE | \
     EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_GDT_CSUM |      \
     EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE |   \
     EXT4_FEATURE_RO_COMPAT_QUOTA | EXT4_FEATURE_RO_COMPAT_BIGALLOC |          \
     EXT4_FEATURE_RO_COMPAT_METADATA_CSUM | EXT4_FEATURE_RO_COMPAT_READONLY |  \
     EXT4_FEATURE_RO_COMPAT_PROJECT | EXT4_FEATURE_RO_COMPAT_SHARED_BLOCKS |   \
     EXT4_FEATURE_RO_COMPAT_VERITY)

struct ext {
    struct region *region;
    struct ext_io io;
    ext2_filsys fs;
    uint64_t block_bytes;
    uint64_t blocks;
    uint8_t *bitmap;           /* of one group */
    uint64_t free_clusters;    /* of all groups so far */
    struct byte_ranges tables; /* blocks of the file system itself; in order once all are there */
    size_t table;              /* the first of them that does not lie before the group */
    struct byte_ranges owned;  /* blocks that every bitmap must call allocated; in order */
    size_t own;                /* as table */
};

static int probe(struct region *region)
{
    uint8_t magic[2];
    int r = region_read(region, SUPER_OFFSET + 0x38, magic, sizeof(magic));

    return r < 0 ? r : get_le16(magic) == EXT2_SUPER_MAGIC;
}

/* What can be seen without libext2fs, and what it does not mind. */
static int check_super(struct region *region)
{
    uint8_t super[SUPER_BYTES];
    uint64_t blocks, bytes;
    uint32_t log_block, incompatible, ro_compatible;
    int r = region_read(region, SUPER_OFFSET, super, sizeof(super));

    if (r < 0)
        return r;
    log_block = get_le32(super + 0x18);
    incompatible = get_le32(super + 0x60);
    ro_compatible = get_le32(super + 0x64);
    blocks = get_le32(super + 0x04);
    if (incompatible & EXT4_FEATURE_INCOMPAT_64BIT)
        blocks |= (uint64_t)get_le32(super + 0x150) << 32;
    if (incompatible & EXT3_FEATURE_INCOMPAT_JOURNAL_DEV)
        return region_refuse(region, "it is the journal of another file system");
    if (incompatible & EXT3_FEATURE_INCOMPAT_RECOVER)
        return region_refuse(region, "its journal has to be replayed");
    if (!(get_le16(super + 0x3A) & EXT2_VALID_FS) || get_le16(super + 0x3A) & EXT2_ERROR_FS ||
        get_le32(super + ERRORS_OFFSET) != 0)
        return region_refuse(region, "it was not unmounted cleanly or has errors");
    if (ro_compatible & ~(uint32_t)RO_KNOWN)
        return region_refuse(region, "it has a feature that is not known here");
    if (incompatible & EXT2_FEATURE_INCOMPAT_META_BG &&
        get_le32(super + 0x5C) & EXT2_FEATURE_COMPAT_RESIZE_INODE)
        return region_refuse(region, "its superblock says two things about where its groups are");
    if (log_block > 6 || mul_overflows(blocks, 1024ULL << log_block, &bytes) ||
        get_le32(super + 0x20) == 0 || get_le32(super + 0x20) > 8 * (uint64_t)BLOCK_MAX ||
        get_le32(super + 0x28) == 0)
        return region_refuse(region, "its superblock makes no sense");
    if (bytes > region_bytes(region))
        return region_refuse(region, "it is larger than the place it lies in");
    return 0;
}

static int plan_bitmaps(struct ext *ext)
{
    struct byte_ranges ranges = {0};
    int r = 0;

    for (dgrp_t group = 0; r == 0 && group < ext->fs->group_desc_count; group++) {
        uint64_t block = ext2fs_block_bitmap_loc(ext->fs, group);

        if (block < ext->blocks && !(ext2fs_has_group_desc_csum(ext->fs) &&
                                     ext2fs_bg_flags_test(ext->fs, group, EXT2_BG_BLOCK_UNINIT)))
            r = byte_ranges_add(&ranges, block * ext->block_bytes, ext->block_bytes);
    }
    if (r == 0)
        r = region_plan(ext->region, ranges.items, ranges.count);
    byte_ranges_free(&ranges);
    return r;
}

static int keep_blocks(struct ext *ext, uint64_t block, uint64_t count)
{
    if (!range_within(block, count, ext->blocks))
        return region_refuse(ext->region, "a group's tables are beyond its end");
    return byte_ranges_add(&ext->tables, block, count);
}

static int keep_copies(struct ext *ext, dgrp_t group)
{
    uint64_t descriptors = ext->fs->desc_blocks + ext->fs->super->s_reserved_gdt_blocks;
    blk64_t super, old_table, new_table;
    blk_t used;
    int r = 0;

    ext2fs_super_and_bgd_loc2(ext->fs, group, &super, &old_table, &new_table, &used);
    if (super)
        r = keep_blocks(ext, super, 1);
    if (r == 0 && old_table)
        r = keep_blocks(ext, old_table, min_u64(descriptors, ext->blocks - old_table));
    if (r == 0 && new_table)
        r = keep_blocks(ext, new_table, 1);
    return r;
}

/* What belongs to no file but to the file system: the kernel wants its bitmaps and tables of inodes
 * to be marked in the block bitmaps, too, and e2fsck the blocks of the reserved inodes. */
static int list_owned(struct ext *ext)
{
    int r = ext_reserved_blocks(ext->region, ext->fs, &ext->owned);

    for (size_t i = 0; r == 0 && i < ext->owned.count; i++)
        r = keep_blocks(ext, ext->owned.items[i].start, ext->owned.items[i].length);
    for (dgrp_t group = 0; r == 0 && group < ext->fs->group_desc_count; group++) {
        r = byte_ranges_add(&ext->owned, ext2fs_block_bitmap_loc(ext->fs, group), 1);
        if (r == 0)
            r = byte_ranges_add(&ext->owned, ext2fs_inode_bitmap_loc(ext->fs, group), 1);
        if (r == 0)
            r = byte_ranges_add(&ext->owned, ext2fs_inode_table_loc(ext->fs, group),
                                ext->fs->inode_blocks_per_group);
    }
    byte_ranges_normalise(&ext->owned);
    return r;
}

/* The tables of the file system itself. A bitmap that was never written (BLOCK_UNINIT) does not
 * name them. One kind after the other, since they lie side by side. */
static int keep_tables(struct ext *ext)
{
    dgrp_t groups = ext->fs->group_desc_count;
    uint64_t begin = align_up(SUPER_OFFSET + SUPER_BYTES, ext->block_bytes) / ext->block_bytes;
    int r = keep_blocks(ext, 0, min_u64(begin, ext->blocks));

    for (dgrp_t group = 0; r == 0 && group < groups; group++)
        r = keep_copies(ext, group);
    for (dgrp_t group = 0; r == 0 && group < groups; group++)
        r = keep_blocks(ext, ext2fs_block_bitmap_loc(ext->fs, group), 1);
    for (dgrp_t group = 0; r == 0 && group < groups; group++)
        r = keep_blocks(ext, ext2fs_inode_bitmap_loc(ext->fs, group), 1);
    for (dgrp_t group = 0; r == 0 && group < groups; group++)
        r = keep_blocks(ext, ext2fs_inode_table_loc(ext->fs, group),
                        ext->fs->inode_blocks_per_group);
    if (r == 0)
        r = list_owned(ext);
    byte_ranges_normalise(&ext->tables);
    for (size_t i = 0; r == 0 && i < ext->tables.count; i++)
        r = region_keep(ext->region, ext->tables.items[i].start * ext->block_bytes,
                        ext->tables.items[i].length * ext->block_bytes);
    return r;
}

/* How many clusters of [first, end), a whole group, hold tables. */
static uint64_t count_table_clusters(struct ext *ext, uint64_t first, uint64_t end)
{
    uint64_t cluster = EXT2FS_CLUSTER_RATIO(ext->fs), count = 0, counted = first;

    for (; ext->table < ext->tables.count; ext->table++) {
        const struct byte_range *table = &ext->tables.items[ext->table];
        uint64_t to = min_u64(table->start + table->length, end);
        uint64_t from = max_u64(table->start, counted);

        if (table->start >= end)
            break;
        if (from < to) {
            from = first + (from - first) / cluster * cluster;
            to = first + align_up(to - first, cluster);
            from = max_u64(from, counted);
            count += (to - from) / cluster;
            counted = to;
        }
        if (table->start + table->length > end)
            break;
    }
    return count;
}

/* A group whose bitmap was never written has nothing in it but tables; its count must say so, too.
 */
static int take_unwritten(struct ext *ext, dgrp_t group, uint64_t first, uint64_t end,
                          uint64_t table_clusters)
{
    uint64_t cluster = EXT2FS_CLUSTER_RATIO(ext->fs);
    uint64_t clusters = (end - first + cluster - 1) / cluster;
    uint64_t told = ext2fs_bg_free_blocks_count(ext->fs, group);

    if (told != clusters - min_u64(table_clusters, clusters))
        return region_refuse(ext->region, "a group without a bitmap has something in it");
    ext->free_clusters += told;
    return region_claim_free(ext->region, first * ext->block_bytes,
                             (end - first) * ext->block_bytes);
}

/* Whether the bitmap of [first, end), a whole group, marks the blocks in it that have an owner. */
static bool marks_owned(struct ext *ext, uint64_t first, uint64_t end)
{
    uint64_t cluster = EXT2FS_CLUSTER_RATIO(ext->fs);

    for (; ext->own < ext->owned.count; ext->own++) {
        const struct byte_range *owned = &ext->owned.items[ext->own];
        uint64_t from = max_u64(owned->start, first);
        uint64_t to = min_u64(owned->start + owned->length, end);

        if (owned->start >= end)
            break;
        for (uint64_t bit = (from - first) / cluster;
             from < to && bit <= (to - 1 - first) / cluster; bit++)
            if (!(ext->bitmap[bit / 8] & 1U << bit % 8))
                return false;
        if (owned->start + owned->length > end)
            break;
    }
    return true;
}

static int take_bitmap(struct ext *ext, dgrp_t group, uint64_t first, uint64_t end)
{
    uint64_t cluster = EXT2FS_CLUSTER_RATIO(ext->fs);
    uint64_t clusters = (end - first + cluster - 1) / cluster, at = 0, free_clusters = 0;
    uint64_t place = ext2fs_block_bitmap_loc(ext->fs, group);
    int bytes = (int)(EXT2_CLUSTERS_PER_GROUP(ext->fs->super) / 8);
    int r;

    if (clusters > 8 * ext->block_bytes || (uint64_t)bytes > ext->block_bytes)
        return region_refuse(ext->region, "its groups are larger than their bitmaps");
    r = region_read(ext->region, place * ext->block_bytes, ext->bitmap, ext->block_bytes);
    if (r < 0)
        return r;
    if (!ext2fs_block_bitmap_csum_verify(ext->fs, group, (char *)ext->bitmap, bytes))
        return region_refuse(ext->region, "the checksum of a block bitmap is wrong");
    if (!marks_owned(ext, first, end))
        return region_refuse(ext->region, "a block bitmap calls blocks free that it needs itself");
    for (struct bit_run run; bitmap_scan_clear(ext->bitmap, clusters, at, &run);
         at = run.from + run.count) {
        uint64_t from = first + run.from * cluster;
        uint64_t to = min_u64(first + (run.from + run.count) * cluster, end);

        free_clusters += run.count;
        r = region_claim_free(ext->region, from * ext->block_bytes, (to - from) * ext->block_bytes);
        if (r < 0)
            return r;
    }
    if (free_clusters != ext2fs_bg_free_blocks_count(ext->fs, group))
        return region_refuse(ext->region, "a block bitmap and its count contradict each other");
    ext->free_clusters += free_clusters;
    return 0;
}

static int take_group(struct ext *ext, dgrp_t group)
{
    uint64_t first = ext2fs_group_first_block2(ext->fs, group);
    uint64_t end = ext2fs_group_last_block2(ext->fs, group) + 1;
    uint64_t tables;

    if (first >= end || end > ext->blocks)
        return region_refuse(ext->region, "its groups make no sense");
    tables = count_table_clusters(ext, first, end);
    if (!ext2fs_group_desc_csum_verify(ext->fs, group))
        return region_refuse(ext->region, "the checksum of a group is wrong");
    if (ext2fs_has_group_desc_csum(ext->fs) &&
        ext2fs_bg_flags_test(ext->fs, group, EXT2_BG_BLOCK_UNINIT))
        return take_unwritten(ext, group, first, end, tables);
    return take_bitmap(ext, group, first, end);
}

/* The sums of all groups are one witness more. */
static int check_sums(const struct ext *ext)
{
    uint64_t free_inodes = 0;

    for (dgrp_t group = 0; group < ext->fs->group_desc_count; group++)
        free_inodes += ext2fs_bg_free_inodes_count(ext->fs, group);
    if (free_inodes != ext->fs->super->s_free_inodes_count)
        return region_refuse(ext->region,
                             "its groups and its superblock count different free inodes");
    if (ext->free_clusters * (uint64_t)EXT2FS_CLUSTER_RATIO(ext->fs) !=
        ext2fs_free_blocks_count(ext->fs->super))
        return region_refuse(ext->region,
                             "its groups and its superblock count different free blocks");
    return 0;
}

static int take_groups(struct ext *ext)
{
    int r = plan_bitmaps(ext);

    ext->bitmap = malloc(ext->block_bytes);
    if (!ext->bitmap)
        return -ENOMEM;
    if (r == 0)
        r = keep_tables(ext);
    for (dgrp_t group = 0; r == 0 && group < ext->fs->group_desc_count; group++)
        r = take_group(ext, group);
    return r < 0 ? r : check_sums(ext);
}

static int analyse(struct region *region)
{
    struct ext ext = {.region = region};
    errcode_t error;
    int r = check_super(region);

    if (r < 0)
        return r;
    initialize_ext2_error_table(); /* or its errors have numbers only */
    error = ext_io_open(&ext.io, region, &ext.fs);
    if (error)
        return ext.io.error ? ext.io.error : region_refuse(region, "%s", error_message(error));
    ext.block_bytes = ext.fs->blocksize;
    ext.blocks = ext2fs_blocks_count(ext.fs->super);
    r = take_groups(&ext);
    free(ext.bitmap);
    byte_ranges_free(&ext.tables);
    byte_ranges_free(&ext.owned);
    ext2fs_close_free(&ext.fs);
    return r;
}

const struct format format_ext = {.name = "ext4", .probe = probe, .analyse = analyse};
