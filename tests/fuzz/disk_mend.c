/* SPDX-License-Identifier: Apache-2.0 */

/* Without this a mutation of a table with a checksum finds out that the checksum is looked at, and
 * nothing else. The checksums are reckoned bit by bit here, not by the library that the product
 * has. */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "disk_pieces.h"

#define CRC32          0xEDB88320U
#define CRC32C         0x82F63B78U
#define CRC16          0xA001U
#define BYTES_MAX      65536

#define EXT_SUPER      1024
#define EXT_GROUPS_MAX 64
#define EXT_INODES     10 /* those that are the file system's own */
#define EXT_64BIT      0x80U
#define EXT_CSUM_SEED  0x2000U
#define EXT_GDT_CSUM   0x10U
#define EXT_CSUM       0x400U

/* What the formats' superblocks said that came first on the disk. */
struct mend {
    uint8_t *input;
    size_t size;
    uint32_t xfs_sector, xfs_block;
    uint32_t btrfs_node;
    uint8_t btrfs_id[16];
    uint8_t bytes[BYTES_MAX];
};

static uint32_t crc_of(uint32_t polynomial, uint32_t start, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        start ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            start = start >> 1 ^ (start & 1 ? polynomial : 0);
    }
    return start;
}

static uint32_t usual_crc(uint32_t polynomial, const uint8_t *bytes, size_t length)
{
    return ~crc_of(polynomial, UINT32_MAX, bytes, length);
}

static const uint8_t *get(struct mend *mend, uint64_t offset, size_t length)
{
    disk_read(mend->input, mend->size, offset, mend->bytes, length);
    return mend->bytes;
}

static void set_le32(struct mend *mend, uint64_t offset, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                        (uint8_t)(value >> 24)};

    disk_write(mend->input, mend->size, offset, bytes, sizeof(bytes));
}

/* The CRC32C over a structure of XFS, in which the checksum itself counts as zeros. */
static void mend_xfs(struct mend *mend, uint64_t offset, size_t length, size_t crc_at)
{
    if (length < crc_at + 4 || length > BYTES_MAX)
        return;
    get(mend, offset, length);
    memset(mend->bytes + crc_at, 0, 4);
    set_le32(mend, offset + crc_at, usual_crc(CRC32C, mend->bytes, length));
}

static void mend_xfs_super(struct mend *mend, uint64_t offset, const uint8_t *super)
{
    mend->xfs_block = get_be32(super + 4);
    mend->xfs_sector = get_be16(super + 102);
    if ((get_be16(super + 100) & 15) == 5)
        mend_xfs(mend, offset, mend->xfs_sector, 224);
}

static void mend_btrfs(struct mend *mend, uint64_t offset, size_t length)
{
    if (length > 32 && length <= BYTES_MAX)
        set_le32(mend, offset, usual_crc(CRC32C, get(mend, offset, length) + 32, length - 32));
}

/* Where there is no other id of the tables, it is the file system's. */
static void mend_btrfs_super(struct mend *mend, uint64_t offset, const uint8_t *super)
{
    static const uint8_t none[16];
    uint8_t other[16];

    mend->btrfs_node = get_le32(super + 148);
    memcpy(mend->btrfs_id, super + 32, 16);
    disk_read(mend->input, mend->size, offset + 571, other, sizeof(other));
    if (memcmp(other, none, 16) != 0 && get_le64(super + 188) & 1U << 10)
        memcpy(mend->btrfs_id, other, 16);
    mend_btrfs(mend, offset, 4096);
}

static void mend_gpt(struct mend *mend, uint64_t offset, const uint8_t *header)
{
    uint64_t entries = get_le64(header + 72) * DISK_SECTOR;
    uint64_t bytes = (uint64_t)get_le32(header + 80) * get_le32(header + 84);
    uint32_t length = get_le32(header + 12);

    if (bytes <= BYTES_MAX)
        set_le32(mend, offset + 88, usual_crc(CRC32, get(mend, entries, bytes), bytes));
    if (length < 92 || length > DISK_SECTOR)
        return;
    get(mend, offset, length);
    memset(mend->bytes + 16, 0, 4);
    set_le32(mend, offset + 16, usual_crc(CRC32, mend->bytes, length));
}

static uint32_t lvm_crc(const uint8_t *bytes, size_t length)
{
    return crc_of(CRC32, 0xF597A6CFU, bytes, length);
}

static void mend_lvm_label(struct mend *mend, uint64_t offset)
{
    set_le32(mend, offset + 16, lvm_crc(get(mend, offset, DISK_SECTOR) + 20, DISK_SECTOR - 20));
}

/* The text may go on at the begin of its ring. */
static void mend_lvm_area(struct mend *mend, uint64_t offset, const uint8_t *header)
{
    uint64_t area = get_le64(header + 24), ring = get_le64(header + 32);
    uint64_t text = get_le64(header + 40), bytes = get_le64(header + 48), first;

    if (text >= 512 && text < ring && bytes <= BYTES_MAX && bytes <= ring - 512) {
        first = bytes < ring - text ? bytes : ring - text;
        get(mend, area + text, first);
        disk_read(mend->input, mend->size, area + 512, mend->bytes + first, bytes - first);
        set_le32(mend, offset + 56, lvm_crc(mend->bytes, bytes));
    }
    set_le32(mend, offset, lvm_crc(get(mend, offset, 512) + 4, 508));
}

/* The last two bytes of each stride are the fixup's number. */
static void mend_ntfs(struct mend *mend, uint64_t offset, const uint8_t *record)
{
    size_t number = get_le16(record + 4), count = get_le16(record + 6);
    uint8_t fixup[2];

    if (number > DISK_SECTOR - 2 || count > BYTES_MAX / DISK_SECTOR)
        return;
    memcpy(fixup, record + number, 2);
    for (size_t i = 1; i < count; i++)
        disk_write(mend->input, mend->size, offset + i * DISK_SECTOR - 2, fixup, 2);
}

/* The sum of the eleven sectors of the boot region fills the twelfth. */
static void mend_exfat(struct mend *mend, uint64_t offset, unsigned sector_log)
{
    size_t sector = (size_t)1 << sector_log, length = 11 * sector;
    uint32_t sum = 0;

    if (sector_log < 9 || sector_log > 12)
        return;
    get(mend, offset, length);
    for (size_t i = 0; i < length; i++)
        if (i != 106 && i != 107 && i != 112)
            sum = (sum << 31 | sum >> 1) + mend->bytes[i];
    for (size_t i = 0; i < sector; i += 4)
        set_le32(mend, offset + length + i, sum);
}

static void mend_md(struct mend *mend, uint64_t offset)
{
    size_t devices = get_le32(get(mend, offset, 256) + 220), length = 256 + 2 * devices;
    uint64_t sum = 0;

    if (devices > 1024)
        return;
    get(mend, offset, length + 2);
    memset(mend->bytes + 216, 0, 4);
    for (size_t i = 0; i + 4 <= length; i += 4)
        sum += get_le32(mend->bytes + i);
    if (length % 4)
        sum += get_le16(mend->bytes + length - 2);
    set_le32(mend, offset + 216, (uint32_t)sum + (uint32_t)(sum >> 32));
}

struct ext_mend {
    uint32_t seed; /* all its checksums begin with it */
    uint64_t block_bytes;
    uint64_t descriptors; /* where they begin */
    size_t descriptor_bytes;
    size_t block_bitmap_bytes, inode_bitmap_bytes, inode_bytes;
    bool wide; /* CRC32C everywhere; else CRC-16, of the descriptors alone */
};

static void set_le16(struct mend *mend, uint64_t offset, uint32_t value)
{
    uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};

    disk_write(mend->input, mend->size, offset, bytes, sizeof(bytes));
}

static uint32_t ext_crc(const struct ext_mend *ext, uint32_t start, const void *bytes,
                        size_t length)
{
    return crc_of(ext->wide ? CRC32C : CRC16, start, bytes, length);
}

/* The halves of a bitmap's checksum lie apart, in the group's descriptor. */
static void mend_ext_bitmap(struct mend *mend, const struct ext_mend *ext, uint64_t descriptor,
                            size_t place_at, size_t sum_at, size_t bytes)
{
    uint64_t place = get_le32(get(mend, descriptor, ext->descriptor_bytes) + place_at);
    uint32_t sum;

    if (bytes > ext->block_bytes)
        return;
    sum = ext_crc(ext, ext->seed, get(mend, place * ext->block_bytes, bytes), bytes);
    set_le16(mend, descriptor + sum_at, sum);
    if (ext->descriptor_bytes >= 64)
        set_le16(mend, descriptor + sum_at + 32, sum >> 16);
}

/* An inode of zeros has no checksum. */
static void mend_ext_inode(struct mend *mend, const struct ext_mend *ext, uint64_t table,
                           uint32_t number)
{
    uint64_t offset = table + (uint64_t)(number - 1) * ext->inode_bytes;
    const uint8_t *inode = get(mend, offset, ext->inode_bytes);
    uint8_t number_bytes[4] = {(uint8_t)number};
    bool has_high = ext->inode_bytes > 128 && get_le16(inode + 128) >= 4;
    uint32_t sum = ext_crc(ext, ext->seed, number_bytes, 4);

    if (inode[0] == 0 && memcmp(inode, inode + 1, ext->inode_bytes - 1) == 0)
        return;
    sum = ext_crc(ext, sum, inode + 100, 4); /* its generation */
    memset(mend->bytes + 124, 0, 2);
    if (has_high)
        memset(mend->bytes + 130, 0, 2);
    sum = ext_crc(ext, sum, mend->bytes, ext->inode_bytes);
    set_le16(mend, offset + 124, sum);
    if (has_high)
        set_le16(mend, offset + 130, sum >> 16);
}

static void mend_ext_group(struct mend *mend, const struct ext_mend *ext, uint32_t group)
{
    uint64_t descriptor = ext->descriptors + group * ext->descriptor_bytes;
    uint32_t flags = get_le16(get(mend, descriptor, ext->descriptor_bytes) + 18);
    uint64_t table = get_le32(mend->bytes + 8) * ext->block_bytes;
    uint8_t number[4] = {(uint8_t)group};
    uint32_t sum = ext_crc(ext, ext->seed, number, 4);

    if (ext->wide && !(flags & 2))
        mend_ext_bitmap(mend, ext, descriptor, 0, 24, ext->block_bitmap_bytes);
    if (ext->wide && !(flags & 1))
        mend_ext_bitmap(mend, ext, descriptor, 4, 26, ext->inode_bitmap_bytes);
    for (uint32_t i = 1; ext->wide && group == 0 && i <= EXT_INODES; i++)
        mend_ext_inode(mend, ext, table, i);
    get(mend, descriptor, ext->descriptor_bytes);
    if (ext->wide)
        memset(mend->bytes + 30, 0, 2);
    sum = ext_crc(ext, sum, mend->bytes, ext->wide ? 32 : 30);
    sum = ext_crc(ext, sum, mend->bytes + 32, ext->descriptor_bytes - 32);
    set_le16(mend, descriptor + 30, sum);
}

/* False: there is nothing to be mended, or nothing that could be. */
static bool read_ext_super(const uint8_t *super, struct ext_mend *ret)
{
    uint32_t log_block = get_le32(super + 24), features = get_le32(super + 96);

    *ret = (struct ext_mend){.wide = get_le32(super + 100) & EXT_CSUM,
                             .block_bytes = UINT64_C(1024) << (log_block & 7),
                             .descriptor_bytes = features & EXT_64BIT ? get_le16(super + 254) : 32,
                             .block_bitmap_bytes = get_le32(super + 36) / 8,
                             .inode_bitmap_bytes = get_le32(super + 40) / 8,
                             .inode_bytes = get_le16(super + 88)};
    ret->descriptors = (get_le32(super + 20) + UINT64_C(1)) * ret->block_bytes;
    ret->seed = ext_crc(ret, ret->wide ? UINT32_MAX : 0xFFFF, super + 104, 16);
    if (ret->wide && features & EXT_CSUM_SEED)
        ret->seed = get_le32(super + 624);
    return log_block <= 6 && ret->descriptor_bytes >= 32 && ret->descriptor_bytes <= 1024 &&
           ret->inode_bytes >= 128 && ret->inode_bytes <= 1024 && get_le32(super + 32) > 0 &&
           get_le32(super + 100) & (EXT_CSUM | EXT_GDT_CSUM);
}

/* All that has a checksum in it hangs on the superblock, whose own comes last. */
static void mend_ext(struct mend *mend)
{
    uint8_t super[1024];
    struct ext_mend ext;
    uint64_t groups;

    disk_read(mend->input, mend->size, EXT_SUPER, super, sizeof(super));
    if (!read_ext_super(super, &ext))
        return;
    groups = (get_le32(super + 4) - UINT64_C(1) - get_le32(super + 20)) / get_le32(super + 32) + 1;
    for (uint32_t group = 0; group < groups && group < EXT_GROUPS_MAX; group++)
        mend_ext_group(mend, &ext, group);
    if (ext.wide)
        set_le32(mend, EXT_SUPER + 1020, crc_of(CRC32C, UINT32_MAX, super, 1020));
}

static bool is_ntfs_record(const uint8_t *sector)
{
    return memcmp(sector, "FILE", 4) == 0 || memcmp(sector, "INDX", 4) == 0 ||
           memcmp(sector, "RSTR", 4) == 0 || memcmp(sector, "RCRD", 4) == 0;
}

static void mend_sector(struct mend *mend, uint64_t offset, const uint8_t *sector)
{
    static const uint8_t none[16];

    if (offset == EXT_SUPER && get_le16(sector + 56) == 0xEF53)
        mend_ext(mend);
    else if (memcmp(sector, "XFSB", 4) == 0)
        mend_xfs_super(mend, offset, sector);
    else if (memcmp(sector, "XAGF", 4) == 0)
        mend_xfs(mend, offset, mend->xfs_sector, 216);
    else if (memcmp(sector, "AB3B", 4) == 0 || memcmp(sector, "AB3C", 4) == 0)
        mend_xfs(mend, offset, mend->xfs_block, 52);
    else if (memcmp(sector, "EFI PART", 8) == 0)
        mend_gpt(mend, offset, sector);
    else if (memcmp(sector, "LABELONE", 8) == 0)
        mend_lvm_label(mend, offset);
    else if (memcmp(sector + 4, " LVM2 x[5A%r0N*>", 16) == 0)
        mend_lvm_area(mend, offset, sector);
    else if (is_ntfs_record(sector))
        mend_ntfs(mend, offset, sector);
    else if (memcmp(sector + 3, "EXFAT   ", 8) == 0)
        mend_exfat(mend, offset, sector[108]);
    else if (get_le32(sector) == 0xA92B4EFCU)
        mend_md(mend, offset);
    else if (memcmp(sector + 64, "_BHRfS_M", 8) == 0)
        mend_btrfs_super(mend, offset, sector);
    else if (memcmp(sector + 32, mend->btrfs_id, 16) == 0 && memcmp(mend->btrfs_id, none, 16) != 0)
        mend_btrfs(mend, offset, mend->btrfs_node);
}

void disk_mend(uint8_t *input, size_t size)
{
    struct mend *mend = calloc(1, sizeof(*mend));
    struct disk_piece piece;

    if (!mend)
        abort();
    mend->input = input;
    mend->size = size;
    for (size_t at = DISK_HEAD_BYTES; disk_next_piece(input, size, &at, &piece);)
        for (size_t i = 0; piece.sector < DISK_BASE && i < piece.bytes; i += DISK_SECTOR) {
            uint64_t offset = (uint64_t)piece.sector * DISK_SECTOR + i;
            uint8_t sector[DISK_SECTOR];

            disk_read(input, size, offset, sector, sizeof(sector));
            mend_sector(mend, offset, sector);
        }
    free(mend);
}
