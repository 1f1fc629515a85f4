/* SPDX-License-Identifier: Apache-2.0 */

/* The free-space trees of XFS, by block number: one in each allocation group, with its root named
 * by the group's header (AGF). All groups' trees are walked together, level by level, so that the
 * blocks of a level are read side by side. The blocks of a group's free list (AGFL) are in no tree:
 * they count as allocated.
 *
 * Without checksums (version 4) nothing tells a damaged record from a sound one, so the trees by
 * size are walked, too: they must list the same extents. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "xfs.h"

#define AGF_MAGIC       0x58414746U /* "XAGF" */
#define AGF_CRC         216
#define TREE_MAGIC      0x41425442U /* "ABTB" */
#define TREE_MAGIC_CRC  0x41423342U /* "AB3B" */
#define SIZE_MAGIC      0x41425443U /* "ABTC" */
#define TREE_CRC        52
#define HEADER_BYTES    16
#define HEADER_BYTES_V5 56
#define RECORD_BYTES    8
#define POINTER_BYTES   4
#define LEVELS_MAX      9
#define NODES_MAX       (1 << 20)
#define GROUP_HEADERS   4 /* sectors: superblock, AGF, AGI, AGFL */

struct node {
    uint32_t group;
    uint32_t block; /* in the group */
    uint32_t level; /* 0: a leaf */
};

/* A group while its trees are walked. */
struct group {
    uint32_t blocks; /* the last group may be smaller */
    uint32_t free;   /* free blocks by its header */
    struct node root, size_root;
    /* Of the extents of the tree by block and of that by size, in this order. */
    struct sum {
        uint64_t last;   /* how the last extent is sorted, or where it ends */
        uint64_t blocks; /* found so far */
        uint64_t digest; /* the same for the same extents in any order */
    } sums[2];
};

struct nodes {
    struct node *items;
    size_t count, capacity;
};

struct walk {
    const struct xfs *xfs;
    struct group *groups;
    struct nodes now, next;
    bool by_size; /* which tree */
    uint8_t *block;
};

static uint64_t place(const struct xfs *xfs, uint32_t group, uint32_t block)
{
    return ((uint64_t)group * xfs->ag_blocks + block) * xfs->block_bytes;
}

static int add_node(struct nodes *nodes, struct node node)
{
    if (nodes->count == NODES_MAX)
        return -E2BIG;
    if (nodes->count == nodes->capacity) {
        size_t capacity = nodes->capacity ? nodes->capacity * 2 : 64;
        struct node *items = reallocarray(nodes->items, capacity, sizeof(*items));

        if (!items)
            return -ENOMEM;
        nodes->items = items;
        nodes->capacity = capacity;
    }
    nodes->items[nodes->count++] = node;
    return 0;
}

static int check_header(struct walk *walk, uint32_t index, uint8_t *agf)
{
    const struct xfs *xfs = walk->xfs;
    struct group *group = &walk->groups[index];
    uint32_t levels = get_be32(agf + 28), size_levels = get_be32(agf + 32);

    group->blocks =
        (uint32_t)min_u64(xfs->ag_blocks, xfs->blocks - (uint64_t)index * xfs->ag_blocks);
    group->free = get_be32(agf + 52);
    if (get_be32(agf) != AGF_MAGIC || get_be32(agf + 4) != 1 || get_be32(agf + 8) != index ||
        get_be32(agf + 12) != group->blocks || levels == 0 || levels > LEVELS_MAX ||
        size_levels == 0 || size_levels > LEVELS_MAX)
        return region_refuse(xfs->region, "the header of group %u makes no sense", index);
    if (xfs->checksums && (!xfs_checksum_ok(agf, xfs->sector_bytes, AGF_CRC) ||
                           memcmp(agf + 64, xfs->meta_uuid, sizeof(xfs->meta_uuid)) != 0))
        return region_refuse(xfs->region, "the checksum of group %u is wrong", index);
    group->root = (struct node){index, get_be32(agf + 16), levels - 1};
    group->size_root = (struct node){index, get_be32(agf + 20), size_levels - 1};
    return add_node(&walk->now, group->root);
}

/* The headers of all groups, which lie far from each other, and the roots they name. */
static int read_headers(struct walk *walk)
{
    const struct xfs *xfs = walk->xfs;
    struct byte_ranges plan = {0};
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < xfs->ag_count; i++)
        r = byte_ranges_add(&plan, place(xfs, i, 0) + xfs->sector_bytes, xfs->sector_bytes);
    if (r == 0)
        r = region_plan(xfs->region, plan.items, plan.count);
    for (uint32_t i = 0; r == 0 && i < xfs->ag_count; i++) {
        r = region_read(xfs->region, plan.items[i].start, walk->block, xfs->sector_bytes);
        if (r == 0)
            r = check_header(walk, i, walk->block);
        if (r == 0)
            r = region_keep(xfs->region, place(xfs, i, 0),
                            (uint64_t)GROUP_HEADERS * xfs->sector_bytes);
    }
    byte_ranges_free(&plan);
    return r;
}

/* How many records a block has, or refuses. */
static int check_block(struct walk *walk, const struct node *node, unsigned *ret_records)
{
    const struct xfs *xfs = walk->xfs;
    uint8_t *block = walk->block;
    uint32_t header = xfs->checksums ? HEADER_BYTES_V5 : HEADER_BYTES;
    uint32_t record = node->level ? RECORD_BYTES + POINTER_BYTES : RECORD_BYTES;
    uint32_t magic = xfs->checksums ? TREE_MAGIC_CRC : walk->by_size ? SIZE_MAGIC : TREE_MAGIC;

    *ret_records = get_be16(block + 6);
    if (get_be32(block) != magic || get_be16(block + 4) != node->level ||
        *ret_records > (xfs->block_bytes - header) / record)
        return region_refuse(xfs->region, "the free-space tree of group %u is damaged",
                             node->group);
    if (xfs->checksums && (!xfs_checksum_ok(block, xfs->block_bytes, TREE_CRC) ||
                           memcmp(block + 32, xfs->meta_uuid, sizeof(xfs->meta_uuid)) != 0 ||
                           get_be32(block + 48) != node->group ||
                           get_be64(block + 16) != place(xfs, node->group, node->block) / 512))
        return region_refuse(xfs->region, "a checksum in the free-space tree of group %u is wrong",
                             node->group);
    return 0;
}

/* Mixes both numbers so that sums of it are as good as never equal by chance. */
static uint64_t mix(uint32_t start, uint32_t length)
{
    uint64_t number = ((uint64_t)start << 32 | length) + 0x9E3779B97F4A7C15U;

    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9U;
    number = (number ^ number >> 27) * 0x94D049BB133111EBU;
    return number ^ number >> 31;
}

/* False when the extent is impossible, or not where it belongs in the tree: behind the end of the
 * last one, or, by size, after it in the order of length and start. */
static bool add_extent(const struct walk *walk, struct group *group, uint32_t start,
                       uint32_t length)
{
    struct sum *sum = &group->sums[walk->by_size];
    uint64_t order = walk->by_size ? (uint64_t)length << 32 | start : start;

    if (length == 0 || !range_within(start, length, group->blocks) ||
        (walk->by_size ? order <= sum->last : order < sum->last))
        return false;
    sum->last = walk->by_size ? order : (uint64_t)start + length;
    sum->blocks += length;
    sum->digest += mix(start, length);
    return true;
}

static bool overlaps(uint64_t start, uint64_t length, uint64_t other, uint64_t other_length)
{
    return start < other + other_length && other < start + length;
}

/* Whether the extent has blocks that belong to no file and are never free: the group's headers, the
 * roots of its trees, the log. */
static bool frees_owned(const struct xfs *xfs, const struct node *node, const struct group *group,
                        uint32_t start, uint32_t length)
{
    uint64_t headers = align_up((uint64_t)GROUP_HEADERS * xfs->sector_bytes, xfs->block_bytes);

    return overlaps(start, length, 0, headers / xfs->block_bytes) ||
           overlaps(start, length, group->root.block, 1) ||
           overlaps(start, length, group->size_root.block, 1) ||
           overlaps(start, length, node->block, 1) ||
           overlaps(place(xfs, node->group, start), (uint64_t)length * xfs->block_bytes,
                    xfs->log_start, xfs->log_bytes);
}

static int take_leaf(struct walk *walk, const struct node *node, const uint8_t *records,
                     unsigned count)
{
    const struct xfs *xfs = walk->xfs;

    for (unsigned i = 0; i < count; i++) {
        uint32_t start = get_be32(records + (size_t)RECORD_BYTES * i);
        uint32_t length = get_be32(records + (size_t)RECORD_BYTES * i + 4);
        int r;

        if (!add_extent(walk, &walk->groups[node->group], start, length))
            return region_refuse(xfs->region, "the free-space tree of group %u contradicts itself",
                                 node->group);
        if (frees_owned(xfs, node, &walk->groups[node->group], start, length))
            return region_refuse(
                xfs->region,
                "the free-space tree of group %u calls blocks free that it needs itself",
                node->group);
        if (walk->by_size)
            continue;
        r = region_claim_free(xfs->region, place(xfs, node->group, start),
                              (uint64_t)length * xfs->block_bytes);
        if (r < 0)
            return r;
    }
    return 0;
}

static int take_node(struct walk *walk, const struct node *node)
{
    const struct xfs *xfs = walk->xfs;
    uint32_t header = xfs->checksums ? HEADER_BYTES_V5 : HEADER_BYTES;
    uint32_t room = (xfs->block_bytes - header) / (RECORD_BYTES + POINTER_BYTES);
    const uint8_t *records = walk->block + header,
                  *pointers = records + (size_t)room * RECORD_BYTES;
    unsigned count = 0;
    int r;

    if (node->block >= walk->groups[node->group].blocks)
        return region_refuse(xfs->region, "the free-space tree of group %u leaves it", node->group);
    r = region_read(xfs->region, place(xfs, node->group, node->block), walk->block,
                    xfs->block_bytes);
    if (r == 0)
        r = check_block(walk, node, &count);
    if (r < 0)
        return r;
    if (node->level == 0)
        return take_leaf(walk, node, records, count);
    for (unsigned i = 0; r == 0 && i < count; i++)
        r = add_node(&walk->next,
                     (struct node){node->group, get_be32(pointers + (size_t)POINTER_BYTES * i),
                                   node->level - 1});
    return r;
}

/* All blocks of one level. */
static int take_level(struct walk *walk)
{
    const struct xfs *xfs = walk->xfs;
    struct byte_ranges plan = {0};
    struct nodes done;
    int r = 0;

    for (size_t i = 0; r == 0 && i < walk->now.count; i++)
        r = byte_ranges_add(&plan, place(xfs, walk->now.items[i].group, walk->now.items[i].block),
                            xfs->block_bytes);
    if (r == 0)
        r = region_plan(xfs->region, plan.items, plan.count);
    byte_ranges_free(&plan);
    for (size_t i = 0; r == 0 && i < walk->now.count; i++)
        r = take_node(walk, &walk->now.items[i]);
    done = walk->now;
    done.count = 0;
    walk->now = walk->next;
    walk->next = done;
    return r;
}

static int check_sums(const struct walk *walk)
{
    const struct xfs *xfs = walk->xfs;

    for (uint32_t i = 0; i < xfs->ag_count; i++) {
        const struct sum *sums = walk->groups[i].sums;

        if (sums[0].blocks != walk->groups[i].free)
            return region_refuse(xfs->region,
                                 "group %u has another number of free blocks than its header says",
                                 i);
        if (!xfs->checksums &&
            (sums[0].blocks != sums[1].blocks || sums[0].digest != sums[1].digest))
            return region_refuse(xfs->region,
                                 "the two free-space trees of group %u contradict each other", i);
    }
    return 0;
}

static int take_trees(struct walk *walk)
{
    int r = 0;

    while (r == 0 && walk->now.count > 0)
        r = take_level(walk);
    if (r < 0 || walk->xfs->checksums)
        return r;
    walk->by_size = true;
    for (uint32_t i = 0; r == 0 && i < walk->xfs->ag_count; i++)
        r = add_node(&walk->now, walk->groups[i].size_root);
    while (r == 0 && walk->now.count > 0)
        r = take_level(walk);
    return r;
}

int xfs_take_groups(const struct xfs *xfs)
{
    CLEANUP_FREE struct group *groups = calloc(xfs->ag_count, sizeof(*groups));
    CLEANUP_FREE uint8_t *block = malloc(xfs->block_bytes);
    struct walk walk = {.xfs = xfs, .groups = groups, .block = block};
    int r = groups && block ? read_headers(&walk) : -ENOMEM;

    if (r == 0)
        r = take_trees(&walk);
    free(walk.now.items);
    free(walk.next.items);
    return r < 0 ? r : check_sums(&walk);
}
