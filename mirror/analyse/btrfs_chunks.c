/* SPDX-License-Identifier: Apache-2.0 */

/* Chunks: what maps the addresses of btrfs to places on the disk, and what of the disk belongs to
 * none. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "btrfs.h"
#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"

#define CHUNK_BYTES  48
#define STRIPE_BYTES 32
#define TYPE_ANY     UINT64_C(0x7)   /* data, system, metadata */
#define TYPE_PROFILE UINT64_C(0x7F8) /* how it is spread over disks */
#define PROFILE_DUP  UINT64_C(0x20)
#define CHUNKS_MAX   ((size_t)256 * 1024)

/* btrfs puts nothing there itself, boot loaders do; and it keeps clear of so much for each copy of
 * the superblock. */
#define RESERVED    (UINT64_C(1) << 20)
#define SUPER_BYTES (UINT64_C(64) << 10)

static const uint64_t super_places[] = {UINT64_C(64) << 10, UINT64_C(64) << 20,
                                        UINT64_C(256) << 30};

void btrfs_free_chunks(struct btrfs_chunks *chunks)
{
    free(chunks->items);
    *chunks = (struct btrfs_chunks){0};
}

static int append(struct btrfs_chunks *chunks, const struct btrfs_chunk *chunk)
{
    if (chunks->count == chunks->capacity) {
        size_t capacity = chunks->capacity ? 2 * chunks->capacity : 64;
        struct btrfs_chunk *items = realloc(chunks->items, capacity * sizeof(*items));

        if (!items)
            return -ENOMEM;
        chunks->items = items;
        chunks->capacity = capacity;
    }
    chunks->items[chunks->count++] = *chunk;
    return 0;
}

/* That it fits behind those there are, and has whole sectors. */
static bool is_sound(const struct btrfs *btrfs, const struct btrfs_chunks *chunks,
                     const struct btrfs_chunk *chunk)
{
    const struct btrfs_chunk *before = chunks->count > 0 ? &chunks->items[chunks->count - 1] : NULL;

    return chunk->length > 0 && chunk->length <= UINT64_MAX - chunk->logical &&
           chunk->length % btrfs->sector_bytes == 0 && chunk->logical % btrfs->sector_bytes == 0 &&
           (!before || chunk->logical >= before->logical + before->length);
}

static int take_stripe(const struct btrfs *btrfs, const uint8_t *stripe, struct btrfs_chunk *chunk)
{
    uint64_t place = get_le64(stripe + 8);

    if (get_le64(stripe) != btrfs->device_id ||
        memcmp(stripe + 16, btrfs->device_uuid, sizeof(btrfs->device_uuid)) != 0)
        return region_refuse(btrfs->region, "a part of it is on another disk");
    if (!range_within(place, chunk->length, btrfs->device_bytes))
        return region_refuse(btrfs->region, "one of its chunks lies beyond its end");
    chunk->places[chunk->copies++] = place;
    return 0;
}

int btrfs_add_chunk(const struct btrfs *btrfs, struct btrfs_chunks *chunks, uint64_t logical,
                    const uint8_t *item, size_t length, size_t *ret_bytes)
{
    struct btrfs_chunk chunk = {.logical = logical};
    uint64_t type, profile;
    unsigned stripes;
    int r = 0;

    if (length < CHUNK_BYTES || chunks->count == CHUNKS_MAX)
        return region_refuse(btrfs->region, "its chunks make no sense");
    type = get_le64(item + 24);
    profile = type & TYPE_PROFILE;
    stripes = get_le16(item + 44);
    chunk.length = get_le64(item);
    if ((profile && profile != PROFILE_DUP) || type & ~(TYPE_ANY | TYPE_PROFILE))
        return region_refuse(btrfs->region, "it is spread over disks (RAID)");
    if (!(type & TYPE_ANY) || stripes != (profile ? 2 : 1) ||
        length < CHUNK_BYTES + stripes * STRIPE_BYTES || !is_sound(btrfs, chunks, &chunk))
        return region_refuse(btrfs->region, "its chunks make no sense");
    for (unsigned i = 0; r == 0 && i < stripes; i++)
        r = take_stripe(btrfs, item + CHUNK_BYTES + (size_t)i * STRIPE_BYTES, &chunk);
    if (ret_bytes)
        *ret_bytes = CHUNK_BYTES + stripes * STRIPE_BYTES;
    return r == 0 ? append(chunks, &chunk) : r;
}

struct btrfs_chunk *btrfs_find_chunk(const struct btrfs_chunks *chunks, uint64_t logical,
                                     uint64_t length)
{
    size_t from = 0, to = chunks->count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        struct btrfs_chunk *chunk = &chunks->items[middle];

        if (logical < chunk->logical)
            to = middle;
        else if (logical - chunk->logical >= chunk->length)
            from = middle + 1;
        else
            return length <= chunk->length - (logical - chunk->logical) ? chunk : NULL;
    }
    return NULL;
}

static int keep_superblocks(const struct btrfs *btrfs)
{
    int r = region_keep(btrfs->region, 0, min_u64(RESERVED, btrfs->device_bytes));

    for (size_t i = 0; r == 0 && i < sizeof(super_places) / sizeof(super_places[0]); i++)
        if (range_within(super_places[i], SUPER_BYTES, btrfs->device_bytes))
            r = region_keep(btrfs->region, super_places[i], SUPER_BYTES);
    return r;
}

static int compare_starts(const void *a, const void *b)
{
    uint64_t left = ((const struct byte_range *)a)->start;
    uint64_t right = ((const struct byte_range *)b)->start;

    return (left > right) - (left < right);
}

static int claim_between(const struct btrfs *btrfs, const struct byte_ranges *assigned)
{
    uint64_t end = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i <= assigned->count; i++) {
        uint64_t next = i < assigned->count ? assigned->items[i].start : btrfs->device_bytes;

        if (next < end)
            return region_refuse(btrfs->region, "two of its chunks share a place");
        if (next > end && next > RESERVED) {
            uint64_t start = end > RESERVED ? end : RESERVED;

            r = region_claim_free(btrfs->region, start, next - start);
        }
        if (i < assigned->count)
            end = next + assigned->items[i].length;
    }
    return r;
}

int btrfs_claim_unassigned(const struct btrfs *btrfs)
{
    struct byte_ranges assigned = {0};
    int r = keep_superblocks(btrfs);

    for (size_t i = 0; r == 0 && i < btrfs->chunks.count; i++) {
        const struct btrfs_chunk *chunk = &btrfs->chunks.items[i];

        for (unsigned copy = 0; r == 0 && copy < chunk->copies; copy++)
            r = byte_ranges_add(&assigned, chunk->places[copy], chunk->length);
    }
    if (r == 0 && assigned.count > 0)
        qsort(assigned.items, assigned.count, sizeof(assigned.items[0]), compare_starts);
    if (r == 0)
        r = claim_between(btrfs, &assigned);
    byte_ranges_free(&assigned);
    return r;
}
