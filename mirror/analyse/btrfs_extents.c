/* SPDX-License-Identifier: Apache-2.0 */

/* What is free within the chunks: what the extent tree does not have. Its sums must be those of the
 * block groups, so that a tree of which a part is missing is not believed. */

#include <errno.h>

#include "btrfs.h"
#include "byteorder.h"
#include "checked.h"

#define ITEM_EXTENT      168
#define ITEM_METADATA    169
#define ITEM_BLOCK_GROUP 192
#define GROUP_BYTES      24

/* Goes through the extents in the order of their addresses. */
struct sweep {
    struct btrfs *btrfs;
    size_t chunk; /* the first that is not done with */
    uint64_t end; /* of the last extent */
};

/* [from, to) of the chunk's addresses. */
static int claim(const struct btrfs *btrfs, const struct btrfs_chunk *chunk, uint64_t from,
                 uint64_t to)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && from < to && i < chunk->copies; i++)
        r = region_claim_free(btrfs->region, chunk->places[i] + (from - chunk->logical), to - from);
    return r;
}

/* What is left of those chunks that end before logical. */
static int finish_chunks(struct sweep *sweep, uint64_t logical)
{
    struct btrfs_chunks *chunks = &sweep->btrfs->chunks;
    int r = 0;

    for (; r == 0 && sweep->chunk < chunks->count; sweep->chunk++) {
        const struct btrfs_chunk *chunk = &chunks->items[sweep->chunk];
        uint64_t end = chunk->logical + chunk->length;

        if (end > logical)
            break;
        r = claim(sweep->btrfs, chunk, max_u64(sweep->end, chunk->logical), end);
    }
    return r;
}

static int take_extent(struct sweep *sweep, uint64_t start, uint64_t length)
{
    struct btrfs *btrfs = sweep->btrfs;
    struct btrfs_chunk *chunk = btrfs_find_chunk(&btrfs->chunks, start, length);
    int r;

    if (!chunk || length == 0 || start % btrfs->sector_bytes || length % btrfs->sector_bytes)
        return region_refuse(btrfs->region, "one of its extents lies in no chunk");
    if (start < sweep->end)
        return region_refuse(btrfs->region, "its extents overlap");
    r = finish_chunks(sweep, start);
    if (r == 0)
        r = claim(btrfs, chunk, max_u64(sweep->end, chunk->logical), start);
    chunk->used += length;
    sweep->end = start + length;
    return r;
}

static int take_group(struct sweep *sweep, const struct btrfs_key *key, const uint8_t *data,
                      size_t length)
{
    struct btrfs_chunk *chunk = btrfs_find_chunk(&sweep->btrfs->chunks, key->object, key->offset);

    if (!chunk || chunk->logical != key->object || chunk->length != key->offset ||
        chunk->has_group || length < GROUP_BYTES)
        return region_refuse(sweep->btrfs->region, "a block group is that of no chunk");
    chunk->has_group = true;
    chunk->told = get_le64(data);
    return 0;
}

static int take_item(void *context, const struct btrfs_key *key, const uint8_t *data, size_t length)
{
    struct sweep *sweep = context;

    switch (key->type) {
    case ITEM_EXTENT:
        return take_extent(sweep, key->object, key->offset);
    case ITEM_METADATA:
        return take_extent(sweep, key->object, sweep->btrfs->node_bytes);
    case ITEM_BLOCK_GROUP:
        return take_group(sweep, key, data, length);
    default: /* who uses an extent, if not told with it */
        return 0;
    }
}

int btrfs_claim_free(struct btrfs *btrfs, const struct btrfs_root *extent_tree)
{
    struct sweep sweep = {.btrfs = btrfs};
    int r = btrfs_walk(btrfs, extent_tree, take_item, &sweep);

    if (r == 0)
        r = finish_chunks(&sweep, UINT64_MAX);
    for (size_t i = 0; r == 0 && i < btrfs->chunks.count; i++) {
        const struct btrfs_chunk *chunk = &btrfs->chunks.items[i];

        if (!chunk->has_group || chunk->used != chunk->told)
            r = region_refuse(btrfs->region, "its extents and its block groups do not add up");
    }
    return r;
}
