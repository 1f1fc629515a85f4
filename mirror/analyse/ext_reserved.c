/* SPDX-License-Identifier: Apache-2.0 */
#include "ext_reserved.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"

struct walk {
    uint64_t left; /* no file has more blocks than its file system */
    struct byte_ranges *ranges;
    int error;
};

static int take_block(ext2_filsys fs, blk64_t *block, e2_blkcnt_t count, blk64_t reference,
                      int offset, void *context)
{
    struct walk *walk = context;
    struct byte_ranges *ranges = walk->ranges;
    struct byte_range *last = ranges->count ? &ranges->items[ranges->count - 1] : NULL;

    (void)count, (void)reference, (void)offset;
    if (*block >= ext2fs_blocks_count(fs->super) || walk->left == 0)
        walk->error = -EUCLEAN;
    else if (last && last->start + last->length == *block)
        last->length++;
    else
        walk->error = byte_ranges_add(ranges, *block, 1);
    if (walk->error)
        return BLOCK_ABORT;
    walk->left--;
    return 0;
}

static int take_inode(struct region *region, ext2_filsys fs, ext2_ino_t number,
                      struct byte_ranges *ranges)
{
    struct walk walk = {.left = ext2fs_blocks_count(fs->super), .ranges = ranges};
    struct ext2_inode inode;
    errcode_t error = ext2fs_read_inode(fs, number, &inode);

    if (!error && (inode.i_flags & EXT4_INLINE_DATA_FL ||
                   (number != EXT2_BAD_INO && inode.i_links_count == 0 && inode.i_mode == 0)))
        return 0;
    if (!error)
        error = ext2fs_block_iterate3(fs, number, BLOCK_FLAG_READ_ONLY, NULL, take_block, &walk);
    if (walk.error == -ENOMEM)
        return walk.error;
    if (error || walk.error)
        return region_refuse(region, "its reserved inode %u makes no sense", (unsigned)number);
    return 0;
}

/* A group whose inode bitmap was never written has no inodes that are in use. */
static int check_bitmap(struct region *region, ext2_filsys fs, ext2_ino_t first)
{
    CLEANUP_FREE uint8_t *bitmap = NULL;
    int bytes = (int)(EXT2_INODES_PER_GROUP(fs->super) / 8), r;

    if (ext2fs_has_group_desc_csum(fs) && ext2fs_bg_flags_test(fs, 0, EXT2_BG_INODE_UNINIT))
        return region_refuse(region, "its first group is said to have no inodes");
    if (bytes <= 0 || (unsigned)bytes > fs->blocksize)
        return region_refuse(region, "its groups have more inodes than their bitmaps");
    bitmap = malloc(fs->blocksize);
    if (!bitmap)
        return -ENOMEM;
    r = region_read(region, ext2fs_inode_bitmap_loc(fs, 0) * fs->blocksize, bitmap, fs->blocksize);
    if (r < 0)
        return r;
    if (!ext2fs_inode_bitmap_csum_verify(fs, 0, (char *)bitmap, bytes))
        return region_refuse(region, "the checksum of an inode bitmap is wrong");
    for (ext2_ino_t i = 0; i + 1 < first && i < (ext2_ino_t)bytes * 8; i++)
        if (!(bitmap[i / 8] & 1U << i % 8))
            return region_refuse(region, "its inode bitmap calls a reserved inode free");
    return 0;
}

int ext_reserved_blocks(struct region *region, ext2_filsys fs, struct byte_ranges *ret)
{
    ext2_ino_t first = EXT2_FIRST_INODE(fs->super);
    int r;

    if (first < EXT2_GOOD_OLD_FIRST_INO || first > EXT2_INODES_PER_GROUP(fs->super))
        return region_refuse(region, "its first inode makes no sense");
    r = check_bitmap(region, fs, first);
    for (ext2_ino_t i = 1; r == 0 && i < first; i++)
        if (i != EXT2_RESIZE_INO)
            r = take_inode(region, fs, i, ret);
    return r;
}
