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

int claims_begin(struct claims *claims)
{
    if (claims->depth == CLAIMS_DEPTH_MAX)
        return -E2BIG;
    claims->marks[claims->depth++] =
        (struct claims_mark){claims->free.count, claims->keep.count, claims->area_count};
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

/* The list so far, in whole blocks, and where it ends. */
struct build {
    struct extent_list *list;
    uint64_t blocks;
    uint32_t block_size;
};

static int append_free(struct build *build, uint64_t start, uint64_t end)
{
    uint64_t from =
        min_u64(start / build->block_size + (start % build->block_size != 0), build->blocks);
    uint64_t to = min_u64(end / build->block_size, build->blocks);
    uint64_t covered = extent_list_end(build->list);
    int r;

    if (from >= to)
        return 0;
    r = extent_list_append(build->list, covered, from - covered, EXTENT_MAPPED);
    return r < 0 ? r : extent_list_append(build->list, from, to - from, EXTENT_DEALLOCATED);
}

/* The free ranges without what is kept; both are normal. */
static int build_list(const struct claims *claims, struct build *build)
{
    const struct byte_ranges *keep = &claims->keep;
    size_t k = 0;
    uint64_t covered;

    for (size_t i = 0; i < claims->free.count; i++) {
        uint64_t at = claims->free.items[i].start;
        uint64_t end = at + claims->free.items[i].length;
        int r = 0;

        while (k < keep->count && keep->items[k].start + keep->items[k].length <= at)
            k++;
        for (size_t j = k; r == 0 && j < keep->count && keep->items[j].start < end; j++) {
            if (keep->items[j].start > at)
                r = append_free(build, at, keep->items[j].start);
            at = max_u64(at, keep->items[j].start + keep->items[j].length);
        }
        if (r == 0 && at < end)
            r = append_free(build, at, end);
        if (r < 0)
            return r;
    }
    covered = extent_list_end(build->list);
    return extent_list_append(build->list, covered, build->blocks - covered, EXTENT_MAPPED);
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static size_t find_number(const uint64_t *numbers, size_t count, uint64_t number)
{
    const uint64_t *found = bsearch(&number, numbers, count, sizeof(number), compare_numbers);

    return found ? (size_t)(found - numbers) : count;
}

/* Where the reasons change: sorted, each once, from 0 to blocks. */
static size_t find_edges(const struct claims *claims, uint64_t blocks, uint32_t block_size,
                         uint64_t *edges)
{
    size_t count = 0, kept = 1;

    edges[count++] = 0;
    edges[count++] = blocks;
    for (size_t i = 0; i < claims->area_count; i++) {
        const struct byte_range *range = &claims->areas[i].range;

        edges[count++] = min_u64(range->start / block_size, blocks);
        edges[count++] = min_u64((range->start + range->length - 1) / block_size + 1, blocks);
    }
    qsort(edges, count, sizeof(*edges), compare_numbers);
    for (size_t i = 1; i < count; i++)
        if (edges[i] != edges[kept - 1])
            edges[kept++] = edges[i];
    return kept;
}

/* Draws the areas one over the other; owner[i] is the last one over [edges[i], edges[i + 1]). */
static void draw(const struct claims *claims, uint64_t blocks, uint32_t block_size,
                 const uint64_t *edges, size_t edge_count, const char **owner)
{
    for (size_t i = 0; i < claims->area_count; i++) {
        const struct byte_range *range = &claims->areas[i].range;
        uint64_t start = min_u64(range->start / block_size, blocks);
        uint64_t end = min_u64((range->start + range->length - 1) / block_size + 1, blocks);

        for (size_t e = find_number(edges, edge_count, start); e < edge_count && edges[e] < end;
             e++)
            owner[e] = claims->areas[i].why;
    }
}

static int build_areas(const struct claims *claims, uint64_t blocks, uint32_t block_size,
                       struct allocation *ret)
{
    CLEANUP_FREE uint64_t *edges = calloc(2 * claims->area_count + 2, sizeof(*edges));
    CLEANUP_FREE const char **owner = calloc(2 * claims->area_count + 2, sizeof(*owner));
    size_t count;

    if (!edges || !owner)
        return -ENOMEM;
    count = find_edges(claims, blocks, block_size, edges);
    draw(claims, blocks, block_size, edges, count, owner);
    ret->areas = calloc(count, sizeof(*ret->areas));
    if (!ret->areas)
        return -ENOMEM;
    for (size_t i = 0; i + 1 < count; i++) {
        struct allocation_area *last = ret->area_count ? &ret->areas[ret->area_count - 1] : NULL;
        const char *why = owner[i] ? owner[i] : "unknown contents";

        if (last && strcmp(last->why, why) == 0) {
            last->end = edges[i + 1];
            continue;
        }
        ret->areas[ret->area_count].end = edges[i + 1];
        ret->areas[ret->area_count].why = strdup(why);
        if (!ret->areas[ret->area_count].why)
            return -ENOMEM;
        ret->area_count++;
    }
    return 0;
}

int claims_build(struct claims *claims, uint64_t blocks, uint32_t block_size,
                 struct allocation *ret)
{
    struct build build = {&ret->list, blocks, block_size};
    int r;

    byte_ranges_normalise(&claims->free);
    byte_ranges_normalise(&claims->keep);
    r = build_list(claims, &build);
    if (r == 0)
        r = build_areas(claims, blocks, block_size, ret);
    if (r < 0)
        allocation_free(ret);
    return r;
}
