/* SPDX-License-Identifier: Apache-2.0 */

/* btrfs on one disk, as Linux's include/uapi/linux/btrfs_tree.h has it. Allocated is what the
 * extent tree has, in every copy that a chunk makes of it. What the free space tree and the caches
 * say is not looked at. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "btrfs.h"
#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "format_registry.h"

#define SUPER_OFFSET         UINT64_C(65536)
#define SUPER_BYTES          4096
#define MAGIC_OFFSET         64
#define MAGIC                "_BHRfS_M"
#define FLAGS_KNOWN          UINT64_C(0x3) /* written; a balance has been begun */
#define COMPAT_RO_KNOWN      UINT64_C(0x7) /* the free space tree, and whether it holds; verity */
#define INCOMPAT_METADATA_ID UINT64_C(0x400)
/* Back references, the default subvolume, mixed groups, compression (2), large nodes, long
 * references, short metadata items, no holes, an identity of the nodes' own. */
#define INCOMPAT_KNOWN UINT64_C(0x77F)
#define NODE_MIN       4096
#define NODE_MAX       65536
#define ARRAY_OFFSET   811
#define ARRAY_MAX      2048
#define FIRST_CHUNK    256 /* the object of all chunks */
#define ITEM_CHUNK     228
#define ITEM_ROOT      132
#define ROOT_ITEM_MIN  239

static int probe(struct region *region)
{
    uint8_t byte;
    int r = region_read(region, 0, &byte, 1);

    return r < 0 ? r : region_has(region, SUPER_OFFSET + MAGIC_OFFSET, MAGIC, strlen(MAGIC));
}

static int check_features(const struct btrfs *btrfs, const uint8_t *super)
{
    if (get_le16(super + 196) != 0)
        return region_refuse(btrfs->region, "its checksums are not CRC32C");
    if (!btrfs_checksum_ok(super, SUPER_BYTES))
        return region_refuse(btrfs->region, "the checksum of its superblock is wrong");
    if (get_le64(super + 56) & ~FLAGS_KNOWN)
        return region_refuse(btrfs->region, "its superblock says that something is unusual");
    if (get_le64(super + 180) & ~COMPAT_RO_KNOWN || get_le64(super + 188) & ~INCOMPAT_KNOWN)
        return region_refuse(btrfs->region, "it has features that are not known here");
    if (get_le64(super + 136) != 1)
        return region_refuse(btrfs->region, "it has several disks");
    if (get_le64(super + 96) != 0)
        return region_refuse(btrfs->region, "its log has to be replayed: mount it once");
    return 0;
}

static int take_geometry(struct btrfs *btrfs, const uint8_t *super)
{
    bool own_identity = get_le64(super + 188) & INCOMPAT_METADATA_ID;

    btrfs->sector_bytes = get_le32(super + 144);
    btrfs->node_bytes = get_le32(super + 148);
    btrfs->device_id = get_le64(super + 201);
    btrfs->device_bytes = get_le64(super + 209);
    memcpy(btrfs->device_uuid, super + 267, sizeof(btrfs->device_uuid));
    memcpy(btrfs->fsid, super + (own_identity ? 571 : 32), sizeof(btrfs->fsid));
    if (get_le64(super + 48) != SUPER_OFFSET || !is_power_of_two(btrfs->sector_bytes) ||
        btrfs->sector_bytes < NODE_MIN || !is_power_of_two(btrfs->node_bytes) ||
        btrfs->node_bytes < btrfs->sector_bytes || btrfs->node_bytes > NODE_MAX)
        return region_refuse(btrfs->region, "its superblock makes no sense");
    if (btrfs->device_bytes > region_bytes(btrfs->region))
        return region_refuse(btrfs->region, "it is larger than the place it lies in");
    return 0;
}

/* Those chunks that the others are found in stand in the superblock. */
static int take_first_chunks(struct btrfs *btrfs, const uint8_t *super)
{
    uint32_t length = get_le32(super + 160);
    const uint8_t *array = super + ARRAY_OFFSET;
    size_t bytes;
    int r = 0;

    if (length > ARRAY_MAX)
        return region_refuse(btrfs->region, "its superblock makes no sense");
    for (size_t at = 0; r == 0 && at < length; at += BTRFS_KEY_BYTES + bytes) {
        struct btrfs_key key;

        if (length - at < BTRFS_KEY_BYTES)
            return region_refuse(btrfs->region, "its superblock makes no sense");
        key = btrfs_get_key(array + at);
        if (key.object != FIRST_CHUNK || key.type != ITEM_CHUNK)
            return region_refuse(btrfs->region, "its superblock makes no sense");
        r = btrfs_add_chunk(btrfs, &btrfs->chunks, key.offset, array + at + BTRFS_KEY_BYTES,
                            length - at - BTRFS_KEY_BYTES, &bytes);
    }
    return r;
}

struct chunk_list {
    const struct btrfs *btrfs;
    struct btrfs_chunks chunks;
};

static int take_chunk(void *context, const struct btrfs_key *key, const uint8_t *data,
                      size_t length)
{
    struct chunk_list *list = context;

    if (key->type != ITEM_CHUNK)
        return 0;
    if (key->object != FIRST_CHUNK)
        return region_refuse(list->btrfs->region, "its chunks make no sense");
    return btrfs_add_chunk(list->btrfs, &list->chunks, key->offset, data, length, NULL);
}

static int take_chunks(struct btrfs *btrfs, const uint8_t *super)
{
    struct chunk_list list = {.btrfs = btrfs};
    struct btrfs_root root = {.tree = BTRFS_CHUNK_TREE,
                              .logical = get_le64(super + 88),
                              .generation = get_le64(super + 164),
                              .level = super[199]};
    int r = take_first_chunks(btrfs, super);

    if (r == 0)
        r = btrfs_walk(btrfs, &root, take_chunk, &list);
    btrfs_free_chunks(&btrfs->chunks);
    btrfs->chunks = list.chunks;
    return r;
}

struct root_search {
    const struct btrfs *btrfs;
    struct btrfs_root found;
    bool any;
};

static int look_at_root(void *context, const struct btrfs_key *key, const uint8_t *data,
                        size_t length)
{
    struct root_search *search = context;

    if (key->object != BTRFS_EXTENT_TREE || key->type != ITEM_ROOT)
        return 0;
    if (search->any || length < ROOT_ITEM_MIN)
        return region_refuse(search->btrfs->region, "the root of its extent tree makes no sense");
    search->any = true;
    search->found = (struct btrfs_root){.tree = BTRFS_EXTENT_TREE,
                                        .logical = get_le64(data + 176),
                                        .generation = get_le64(data + 160),
                                        .level = data[238]};
    return 0;
}

static int find_extent_tree(struct btrfs *btrfs, const uint8_t *super, struct btrfs_root *ret)
{
    struct root_search search = {.btrfs = btrfs};
    struct btrfs_root root = {.tree = BTRFS_ROOT_TREE,
                              .logical = get_le64(super + 80),
                              .generation = get_le64(super + 72),
                              .level = super[198]};
    int r = btrfs_walk(btrfs, &root, look_at_root, &search);

    if (r == 0 && !search.any)
        r = region_refuse(btrfs->region, "it has no extent tree");
    *ret = search.found;
    return r;
}

static int take_super(struct btrfs *btrfs, uint8_t *super)
{
    int r = region_read(btrfs->region, SUPER_OFFSET, super, SUPER_BYTES);

    if (r == 0)
        r = check_features(btrfs, super);
    return r == 0 ? take_geometry(btrfs, super) : r;
}

static int analyse(struct region *region)
{
    struct btrfs btrfs = {.region = region};
    struct btrfs_root extent_tree;
    uint8_t super[SUPER_BYTES];
    int r = take_super(&btrfs, super);

    if (r == 0)
        r = take_chunks(&btrfs, super);
    if (r == 0)
        r = btrfs_claim_unassigned(&btrfs);
    if (r == 0)
        r = find_extent_tree(&btrfs, super, &extent_tree);
    if (r == 0)
        r = btrfs_claim_free(&btrfs, &extent_tree);
    btrfs_free_chunks(&btrfs.chunks);
    return r;
}

const struct format format_btrfs = {.name = "btrfs", .probe = probe, .analyse = analyse};
