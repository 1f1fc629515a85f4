/* SPDX-License-Identifier: Apache-2.0 */
#include "claims.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"

/* A free range below this is dearer to remember than to copy, once memory is short. */
#define FORGET_FIRST 8192

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

void claims_free(struct claims *claims)
{
    free_areas(claims, 0);
    free(claims->areas);
    byte_ranges_free(&claims->free);
    byte_ranges_free(&claims->keep);
    free(claims->tracks);
    *claims = (struct claims){0};
}

/* Drops free ranges below a bound that grows until half of the room is there. The marks move with
 * what they stand before. */
static void forget_small(struct claims *claims)
{
    while (claims->free.count > CLAIMS_FREE_MAX / 2) {
        size_t kept = 0;
        unsigned mark = 0;

        claims->forget_below = claims->forget_below ? claims->forget_below * 2 : FORGET_FIRST;
        for (size_t i = 0; i < claims->free.count; i++) {
            for (; mark < claims->depth && claims->marks[mark].free == i; mark++)
                claims->marks[mark].free = kept;
            if (claims->free.items[i].length >= claims->forget_below)
                claims->free.items[kept++] = claims->free.items[i];
        }
        for (; mark < claims->depth; mark++)
            claims->marks[mark].free = kept;
        claims->free.count = kept;
    }
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

int claims_add_free(struct claims *claims, uint64_t start, uint64_t length)
{
    size_t mark = claims->depth ? claims->marks[claims->depth - 1].free : 0;

    if (length == 0 || extend_last(&claims->free, mark, start, length))
        return 0;
    if (claims->free.count >= CLAIMS_FREE_MAX)
        forget_small(claims);
    return byte_ranges_add(&claims->free, start, length);
}

int claims_add_keep(struct claims *claims, uint64_t start, uint64_t length)
{
    size_t mark = claims->depth ? claims->marks[claims->depth - 1].keep : 0;

    if (length == 0 || extend_last(&claims->keep, mark, start, length))
        return 0;
    if (claims->keep.count >= CLAIMS_KEEP_MAX)
        return -E2BIG;
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
    if (claims->depth == CLAIMS_DEPTH_MAX)
        return -E2BIG;
    claims->marks[claims->depth++] = (struct claims_mark){claims->free.count, claims->keep.count,
                                                          claims->area_count, claims->track_count};
    return 0;
}

void claims_commit(struct claims *claims)
{
    claims->depth--;
}

void claims_rollback(struct claims *claims)
{
    const struct claims_mark *mark = &claims->marks[--claims->depth];

    claims->free.count = mark->free;
    claims->keep.count = mark->keep;
    free_areas(claims, mark->areas);
    claims->track_count = mark->tracks;
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
