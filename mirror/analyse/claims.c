/* SPDX-License-Identifier: Apache-2.0 */
#include "claims.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"

int byte_ranges_add(struct byte_ranges *ranges, uint64_t start, uint64_t length)
{
    if (ranges->count == ranges->capacity) {
        size_t capacity = ranges->capacity ? ranges->capacity * 2 : 64;
        struct byte_range *items = reallocarray(ranges->items, capacity, sizeof(*items));

        if (!items)
            return -ENOMEM;
        ranges->items = items;
        ranges->capacity = capacity;
    }
    ranges->items[ranges->count++] = (struct byte_range){start, length};
    return 0;
}

void byte_ranges_free(struct byte_ranges *ranges)
{
    free(ranges->items);
    *ranges = (struct byte_ranges){0};
}

static void free_areas(struct claims *claims, size_t from)
{
    for (size_t i = from; i < claims->area_count; i++)
        free(claims->areas[i].why);
    claims->area_count = from;
}

/* What the innermost level may take; at least so much that it can remember anything at all. */
static void share_memory(struct claims *claims)
{
    size_t taken = claims->keep.capacity * sizeof(*claims->keep.items), least = 4096;

    for (unsigned level = 0; level < claims->depth; level++)
        taken += claims->free[level].bytes;
    claims->free[claims->depth].budget_bytes =
        claims->bytes_max > taken + least ? claims->bytes_max - taken : least;
}

void claims_init(struct claims *claims, uint64_t blocks, uint32_t block_size)
{
    *claims =
        (struct claims){.blocks = blocks, .block_size = block_size, .bytes_max = CLAIMS_BYTES};
    for (unsigned level = 0; level <= CLAIMS_DEPTH_MAX; level++)
        block_set_init(&claims->free[level], blocks);
    share_memory(claims);
}

void claims_free(struct claims *claims)
{
    free_areas(claims, 0);
    free(claims->areas);
    for (unsigned level = 0; level <= CLAIMS_DEPTH_MAX; level++)
        block_set_free(&claims->free[level]);
    byte_ranges_free(&claims->keep);
    free(claims->tracks);
    *claims = (struct claims){0};
}

int claims_settle_free(struct claims *claims)
{
    const struct byte_range range = claims->last_free;
    uint64_t from = range.start / claims->block_size + (range.start % claims->block_size != 0);
    uint64_t to = min_u64((range.start + range.length) / claims->block_size, claims->blocks);

    claims->last_free.length = 0;
    return from < to ? block_set_add(&claims->free[claims->depth], from, to - from) : 0;
}

int claims_add_free(struct claims *claims, uint64_t start, uint64_t length)
{
    struct byte_range *last = &claims->last_free;
    int r;

    if (length == 0 || claims->forgets_free)
        return 0;
    if (last->length > 0 && last->start + last->length == start) {
        last->length += length;
        return 0;
    }
    r = claims_settle_free(claims);
    *last = (struct byte_range){start, length};
    return r;
}

/* Joins it to the last range, which must be younger than the mark: a rollback would not undo it
 * otherwise. */
static bool extend_last(struct byte_ranges *ranges, size_t mark, uint64_t start, uint64_t length)
{
    struct byte_range *last = ranges->count > mark ? &ranges->items[ranges->count - 1] : NULL;

    if (!last || last->start + last->length != start)
        return false;
    last->length += length;
    return true;
}

int claims_add_keep(struct claims *claims, uint64_t start, uint64_t length)
{
    size_t mark = claims->depth ? claims->marks[claims->depth - 1].keep : 0;

    if (length == 0 || extend_last(&claims->keep, mark, start, length))
        return 0;
    if (claims->keep.count >= CLAIMS_KEEP_MAX)
        return -E2BIG;
    if (claims->keep.count == claims->keep.capacity) {
        int r = byte_ranges_add(&claims->keep, start, length);

        share_memory(claims);
        return r;
    }
    return byte_ranges_add(&claims->keep, start, length);
}

int claims_add_area(struct claims *claims, uint64_t start, uint64_t length, const char *why)
{
    char *text;

    if (length == 0)
        return 0;
    if (claims->area_count >= CLAIMS_AREA_MAX)
        return -E2BIG;
    if (claims->area_count == claims->area_capacity) {
        size_t capacity = claims->area_capacity ? claims->area_capacity * 2 : 16;
        struct claims_area *areas = reallocarray(claims->areas, capacity, sizeof(*areas));

        if (!areas)
            return -ENOMEM;
        claims->areas = areas;
        claims->area_capacity = capacity;
    }
    text = strdup(why);
    if (!text)
        return -ENOMEM;
    claims->areas[claims->area_count++] = (struct claims_area){{start, length}, text};
    return 0;
}

int claims_add_tracks(struct claims *claims, const struct claims_tracks *tracks)
{
    if (tracks->count == 0 || claims->track_count >= CLAIMS_TRACK_MAX)
        return 0;
    if (tracks->start % CLAIMS_HEAD_BYTES != 0 || tracks->track_bytes % CLAIMS_HEAD_BYTES != 0 ||
        tracks->track_bytes <= CLAIMS_HEAD_BYTES)
        return -EINVAL;
    if (claims->track_count == claims->track_capacity) {
        size_t capacity = claims->track_capacity ? claims->track_capacity * 2 : 16;
        struct claims_tracks *items = reallocarray(claims->tracks, capacity, sizeof(*items));

        if (!items)
            return -ENOMEM;
        claims->tracks = items;
        claims->track_capacity = capacity;
    }
    claims->tracks[claims->track_count++] = *tracks;
    return 0;
}

int claims_begin(struct claims *claims)
{
    int r;

    if (claims->depth == CLAIMS_DEPTH_MAX)
        return -E2BIG;
    r = claims_settle_free(claims);
    if (r == 0)
        r = block_set_settle(&claims->free[claims->depth]);
    if (r < 0)
        return r;
    claims->marks[claims->depth++] =
        (struct claims_mark){claims->keep.count, claims->area_count, claims->track_count};
    share_memory(claims);
    return 0;
}

int claims_commit(struct claims *claims)
{
    struct block_set *inner = &claims->free[claims->depth];
    int r = claims_settle_free(claims);

    if (r == 0)
        r = block_set_settle(inner);
    claims->depth--;
    share_memory(claims);
    if (r == 0)
        r = block_set_take(&claims->free[claims->depth], inner);
    block_set_free(inner);
    return r;
}

void claims_rollback(struct claims *claims)
{
    const struct claims_mark *mark;

    claims->last_free.length = 0;
    block_set_free(&claims->free[claims->depth]);
    mark = &claims->marks[--claims->depth];
    claims->keep.count = mark->keep;
    free_areas(claims, mark->areas);
    claims->track_count = mark->tracks;
    share_memory(claims);
}

static int compare_ranges(const void *a, const void *b)
{
    const struct byte_range *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

void byte_ranges_normalise(struct byte_ranges *ranges)
{
    size_t kept = 0;

    if (ranges->count < 2)
        return;
    qsort(ranges->items, ranges->count, sizeof(*ranges->items), compare_ranges);
    for (size_t i = 1; i < ranges->count; i++) {
        struct byte_range *last = &ranges->items[kept];
        const struct byte_range *next = &ranges->items[i];

        if (next->start <= last->start + last->length)
            last->length =
                max_u64(last->start + last->length, next->start + next->length) - last->start;
        else
            ranges->items[++kept] = *next;
    }
    ranges->count = kept + 1;
}
