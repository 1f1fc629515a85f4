/* SPDX-License-Identifier: Apache-2.0 */

/* A walk through one of btrfs's trees. A loop cannot go on for ever: levels go down by one, and
 * keys up, from node to node. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l/crc.h>

#include "btrfs.h"
#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"

#define HEADER_BYTES   101
#define ITEM_BYTES     25
#define POINTER_BYTES  33
#define CHECKSUM_BYTES 32

struct walk {
    struct btrfs *btrfs;
    uint64_t tree;
    uint8_t *nodes[BTRFS_LEVELS_MAX]; /* the one that is looked at on each level */
    struct btrfs_key last;            /* of the items before */
    bool any;                         /* there were items before */
    btrfs_item *item;
    void *context;
};

/* What a parent says of its child. */
struct pointer {
    uint64_t logical;
    uint64_t generation;
    uint8_t level;
    bool has_key; /* not so for the root */
    struct btrfs_key key;
};

struct btrfs_key btrfs_get_key(const uint8_t *bytes)
{
    return (struct btrfs_key){.object = get_le64(bytes),
                              .type = bytes[8],
                              .offset = get_le64(bytes + 9)};
}

static int compare_keys(const struct btrfs_key *a, const struct btrfs_key *b)
{
    if (a->object != b->object)
        return a->object < b->object ? -1 : 1;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

bool btrfs_checksum_ok(const uint8_t *bytes, size_t length)
{
    uint32_t crc = ~crc32_iscsi((uint8_t *)bytes + CHECKSUM_BYTES, (int)(length - CHECKSUM_BYTES),
                                UINT32_MAX); /* which does not write to it */

    return crc == get_le32(bytes);
}

static uint8_t *node_of(struct walk *walk, unsigned level)
{
    if (!walk->nodes[level])
        walk->nodes[level] = malloc(walk->btrfs->node_bytes);
    return walk->nodes[level];
}

static bool is_as_told(const struct walk *walk, const uint8_t *node, const struct pointer *pointer)
{
    const struct btrfs *btrfs = walk->btrfs;

    return memcmp(node + 32, btrfs->fsid, sizeof(btrfs->fsid)) == 0 &&
           get_le64(node + 48) == pointer->logical && get_le64(node + 80) == pointer->generation &&
           get_le64(node + 88) == walk->tree && node[100] == pointer->level;
}

/* That its entries have room, and that the first one is what the parent says. */
static bool has_sound_entries(const struct walk *walk, const uint8_t *node,
                              const struct pointer *pointer)
{
    uint32_t room = walk->btrfs->node_bytes - HEADER_BYTES, count = get_le32(node + 96);
    struct btrfs_key first;

    if (count > room / (pointer->level ? POINTER_BYTES : ITEM_BYTES))
        return false;
    if (count == 0)
        return pointer->level == 0 && !pointer->has_key;
    first = btrfs_get_key(node + HEADER_BYTES);
    return !pointer->has_key || compare_keys(&first, &pointer->key) == 0;
}

static int read_node(struct walk *walk, const struct pointer *pointer)
{
    const struct btrfs *btrfs = walk->btrfs;
    const struct btrfs_chunk *chunk =
        btrfs_find_chunk(&btrfs->chunks, pointer->logical, btrfs->node_bytes);
    uint8_t *node = node_of(walk, pointer->level);
    int r;

    if (!node)
        return -ENOMEM;
    if (!chunk)
        return region_refuse(btrfs->region, "one of its nodes lies in no chunk");
    r = region_read(btrfs->region, chunk->places[0] + (pointer->logical - chunk->logical), node,
                    btrfs->node_bytes);
    if (r < 0)
        return r;
    if (!btrfs_checksum_ok(node, btrfs->node_bytes))
        return region_refuse(btrfs->region, "the checksum of one of its nodes is wrong");
    if (!is_as_told(walk, node, pointer) || !has_sound_entries(walk, node, pointer))
        return region_refuse(btrfs->region, "one of its nodes is not what leads to it says");
    return 0;
}

static int take_item(struct walk *walk, const uint8_t *node, uint32_t number, uint32_t count)
{
    const uint8_t *header = node + HEADER_BYTES + (size_t)number * ITEM_BYTES;
    uint32_t offset = get_le32(header + BTRFS_KEY_BYTES), size = get_le32(header + 21);
    uint32_t room = walk->btrfs->node_bytes - HEADER_BYTES;
    struct btrfs_key key = btrfs_get_key(header);

    if (walk->any && compare_keys(&walk->last, &key) >= 0)
        return region_refuse(walk->btrfs->region, "the keys of one of its trees do not ascend");
    if (offset < count * ITEM_BYTES || !range_within(offset, size, room))
        return region_refuse(walk->btrfs->region, "an item lies beyond its node");
    walk->last = key;
    walk->any = true;
    return walk->item(walk->context, &key, node + HEADER_BYTES + offset, size);
}

static int take_leaf(struct walk *walk, const uint8_t *node)
{
    uint32_t count = get_le32(node + 96);
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < count; i++)
        r = take_item(walk, node, i, count);
    return r;
}

static struct pointer get_pointer(const uint8_t *node, uint32_t number)
{
    const uint8_t *bytes = node + HEADER_BYTES + (size_t)number * POINTER_BYTES;

    return (struct pointer){.logical = get_le64(bytes + BTRFS_KEY_BYTES),
                            .generation = get_le64(bytes + 25),
                            .level = (uint8_t)(node[100] - 1),
                            .has_key = true,
                            .key = btrfs_get_key(bytes)};
}

/* The leaves below a node are read many at a time. */
static int plan_leaves(const struct walk *walk, const uint8_t *node)
{
    const struct btrfs *btrfs = walk->btrfs;
    struct byte_ranges places = {0};
    uint32_t count = get_le32(node + 96);
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < count; i++) {
        uint64_t logical = get_pointer(node, i).logical;
        const struct btrfs_chunk *chunk =
            btrfs_find_chunk(&btrfs->chunks, logical, btrfs->node_bytes);

        if (chunk)
            r = byte_ranges_add(&places, chunk->places[0] + (logical - chunk->logical),
                                btrfs->node_bytes);
    }
    if (r == 0)
        r = region_plan(btrfs->region, places.items, places.count);
    byte_ranges_free(&places);
    return r;
}

static int visit(struct walk *walk, const struct pointer *pointer)
{
    const uint8_t *node;
    int r = read_node(walk, pointer);

    if (r < 0)
        return r;
    node = walk->nodes[pointer->level];
    if (pointer->level == 0)
        return take_leaf(walk, node);
    if (pointer->level == 1)
        r = plan_leaves(walk, node);
    for (uint32_t i = 0, count = get_le32(node + 96); r == 0 && i < count; i++) {
        struct pointer child = get_pointer(node, i);

        r = visit(walk, &child);
    }
    return r;
}

int btrfs_walk(struct btrfs *btrfs, const struct btrfs_root *root, btrfs_item *item, void *context)
{
    struct walk walk = {.btrfs = btrfs, .tree = root->tree, .item = item, .context = context};
    struct pointer pointer = {.logical = root->logical,
                              .generation = root->generation,
                              .level = root->level};
    int r;

    if (root->level >= BTRFS_LEVELS_MAX)
        return region_refuse(btrfs->region, "one of its trees is deeper than trees can be");
    r = visit(&walk, &pointer);
    for (unsigned i = 0; i < BTRFS_LEVELS_MAX; i++)
        free(walk.nodes[i]);
    return r;
}
