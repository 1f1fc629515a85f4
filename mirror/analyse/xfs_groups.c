/* SPDX-License-Identifier: Apache-2.0 */

/* The free-space trees of XFS, by block number: one in each allocation group, with its root named
 * by the group's header (AGF). All groups' trees are walked together, level by level, so that the
 * blocks of a level are read side by side. The blocks of a group's free list (AGFL) are in no tree:
 * they count as allocated. */

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
#define TREE_CRC        52
#define HEADER_BYTES    16
#define HEADER_BYTES_V5 56
#define RECORD_BYTES    8
#define POINTER_BYTES   4
#define LEVELS_MAX      9
#define NODES_MAX       (1 << 20)
#define GROUP_HEADERS   4 /* sectors: superblock, AGF, AGI, AGFL */

/* A group while its tree is walked. */
struct group {
    uint32_t blocks; /* the last group may be smaller */
    uint32_t end;    /* where the last extent found ended */
    uint64_t found;  /* free blocks found so far */
    uint64_t free;   /* free blocks by its header */
};

struct node {
    uint32_t group;
    uint32_t block; /* in the group */
    uint32_t level; /* 0: a leaf */
};

struct nodes {
    struct node *items;
    size_t count, capacity;
};

struct walk {
    const struct xfs *xfs;
    struct group *groups;
    struct nodes now, next;
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
    uint32_t levels = get_be32(agf + 28);

    group->blocks =
        (uint32_t)min_u64(xfs->ag_blocks, xfs->blocks - (uint64_t)index * xfs->ag_blocks);
    group->free = get_be32(agf + 52);
    if (get_be32(agf) != AGF_MAGIC || get_be32(agf + 4) != 1 || get_be32(agf + 8) != index ||
        get_be32(agf + 12) != group->blocks || levels == 0 || levels > LEVELS_MAX)
        return region_refuse(xfs->region, "the header of group %u makes no sense", index);
    if (xfs->checksums && (!xfs_checksum_ok(agf, xfs->sector_bytes, AGF_CRC) ||
                           memcmp(agf + 64, xfs->meta_uuid, sizeof(xfs->meta_uuid)) != 0))
        return region_refuse(xfs->region, "the checksum of group %u is wrong", index);
    return add_node(&walk->now, (struct node){index, get_be32(agf + 16), levels - 1});
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

    *ret_records = get_be16(block + 6);
    if (get_be32(block) != (xfs->checksums ? TREE_MAGIC_CRC : TREE_MAGIC) ||
        get_be16(block + 4) != node->level || *ret_records > (xfs->block_bytes - header) / record)
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

/* The extents of a leaf follow those of the leaf before it. */
static int take_leaf(struct walk *walk, const struct node *node, const uint8_t *records,
                     unsigned count)
{
    const struct xfs *xfs = walk->xfs;
    struct group *group = &walk->groups[node->group];

    for (unsigned i = 0; i < count; i++) {
        uint32_t start = get_be32(records + (size_t)RECORD_BYTES * i);
        uint32_t length = get_be32(records + (size_t)RECORD_BYTES * i + 4);
        int r;

        if (length == 0 || start < group->end || !range_within(start, length, group->blocks))
            return region_refuse(xfs->region, "the free-space tree of group %u contradicts itself",
                                 node->group);
        group->end = start + length;
        group->found += length;
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
    for (uint32_t i = 0; i < walk->xfs->ag_count; i++)
        if (walk->groups[i].found != walk->groups[i].free)
            return region_refuse(walk->xfs->region,
                                 "group %u has another number of free blocks than its header says",
                                 i);
    return 0;
}

int xfs_take_groups(const struct xfs *xfs)
{
    CLEANUP_FREE struct group *groups = calloc(xfs->ag_count, sizeof(*groups));
    CLEANUP_FREE uint8_t *block = malloc(xfs->block_bytes);
    struct walk walk = {.xfs = xfs, .groups = groups, .block = block};
    int r = groups && block ? read_headers(&walk) : -ENOMEM;

    while (r == 0 && walk.now.count > 0)
        r = take_level(&walk);
    free(walk.now.items);
    free(walk.next.items);
    return r < 0 ? r : check_sums(&walk);
}
