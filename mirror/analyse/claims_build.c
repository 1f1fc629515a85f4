/* SPDX-License-Identifier: Apache-2.0 */

/* The sum of what was claimed, as lists of blocks and of reasons. */

#include "claims.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"

/* The list so far, in whole blocks, and where it ends. */
struct build {
    struct extent_runs *list;
    uint64_t blocks;
    uint32_t block_size;
};

static int append_free(struct build *build, uint64_t start, uint64_t end)
{
    uint64_t from =
        min_u64(start / build->block_size + (start % build->block_size != 0), build->blocks);
    uint64_t to = min_u64(end / build->block_size, build->blocks);
    uint64_t covered = extent_runs_end(build->list);
    int r;

    from = max_u64(from, covered);
    if (from >= to)
        return 0;
    r = extent_runs_append(build->list, from - covered, EXTENT_MAPPED);
    return r < 0 ? r : extent_runs_append(build->list, to - from, EXTENT_DEALLOCATED);
}

/* All that was claimed free, in order of its begin: ranges and tracks by turns. */
struct free_walk {
    const struct claims *claims;
    size_t range, item; /* the next ones */
    uint64_t track;     /* of the item */
};

/* False: there is nothing more. */
static bool next_free(struct free_walk *walk, struct byte_range *ret)
{
    const struct claims *claims = walk->claims;
    const struct claims_tracks *tracks =
        walk->item < claims->track_count ? &claims->tracks[walk->item] : NULL;
    bool more = walk->range < claims->free.count;
    uint64_t start;

    if (!tracks && !more)
        return false;
    start = tracks ? tracks->start + walk->track * tracks->track_bytes + CLAIMS_HEAD_BYTES : 0;
    if (!tracks || (more && claims->free.items[walk->range].start < start)) {
        *ret = claims->free.items[walk->range++];
        return true;
    }
    *ret = (struct byte_range){start, tracks->track_bytes - CLAIMS_HEAD_BYTES};
    if (++walk->track == tracks->count) {
        walk->track = 0;
        walk->item++;
    }
    return true;
}

/* What is free without what is kept, of which all before *k is behind; both are in order. */
static int append_without_keep(struct build *build, const struct byte_ranges *keep, size_t *k,
                               const struct byte_range *range)
{
    uint64_t at = range->start, end = range->start + range->length;
    int r = 0;

    while (*k < keep->count && keep->items[*k].start + keep->items[*k].length <= at)
        ++*k;
    for (size_t j = *k; r == 0 && j < keep->count && keep->items[j].start < end; j++) {
        if (keep->items[j].start > at)
            r = append_free(build, at, keep->items[j].start);
        at = max_u64(at, keep->items[j].start + keep->items[j].length);
    }
    return r == 0 && at < end ? append_free(build, at, end) : r;
}

static int build_list(const struct claims *claims, struct build *build)
{
    struct free_walk walk = {.claims = claims};
    struct byte_range range;
    size_t k = 0;
    uint64_t covered;

    while (next_free(&walk, &range)) {
        int r = append_without_keep(build, &claims->keep, &k, &range);

        if (r < 0)
            return r;
    }
    covered = extent_runs_end(build->list);
    return extent_runs_append(build->list, build->blocks - covered, EXTENT_MAPPED);
}

static int compare_tracks(const void *a, const void *b)
{
    const struct claims_tracks *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

/* In order. Tracks over tracks are nothing that two volumes could have: the later ones go. */
static void sort_tracks(struct claims *claims)
{
    uint64_t end = 0;
    size_t kept = 0;

    if (claims->track_count == 0)
        return;
    qsort(claims->tracks, claims->track_count, sizeof(*claims->tracks), compare_tracks);
    for (size_t i = 0; i < claims->track_count; i++) {
        const struct claims_tracks *tracks = &claims->tracks[i];

        if (tracks->start < end)
            continue;
        end = tracks->start + tracks->track_bytes * tracks->count;
        claims->tracks[kept++] = *tracks;
    }
    claims->track_count = kept;
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
    sort_tracks(claims);
    r = build_list(claims, &build);
    if (r == 0)
        r = build_areas(claims, blocks, block_size, ret);
    if (r < 0)
        allocation_free(ret);
    return r;
}

/* Whether anything is kept of [start, start + length); at or after *k, which moves on. */
static bool is_kept(const struct byte_ranges *keep, size_t *k, uint64_t start, uint64_t length)
{
    while (*k < keep->count && keep->items[*k].start + keep->items[*k].length <= start)
        ++*k;
    return *k < keep->count && keep->items[*k].start < start + length;
}

int claims_build_heads(const struct claims *claims, uint64_t lun_bytes, struct extent_runs *ret)
{
    const uint64_t pieces = lun_bytes / CLAIMS_HEAD_BYTES;
    size_t k = 0;
    int r = 0;

    for (size_t i = 0; i < claims->track_count; i++) {
        const struct claims_tracks *tracks = &claims->tracks[i];

        for (uint64_t track = 0; track < tracks->count && r == 0; track++) {
            uint64_t start = tracks->start + track * tracks->track_bytes;

            if (is_kept(&claims->keep, &k, start, CLAIMS_HEAD_BYTES) || start >= lun_bytes)
                continue;
            start /= CLAIMS_HEAD_BYTES;
            r = extent_runs_append(ret, start - extent_runs_end(ret), EXTENT_DEALLOCATED);
            if (r == 0)
                r = extent_runs_append(ret, 1, EXTENT_MAPPED);
        }
    }
    if (r == 0 && extent_runs_end(ret) > 0)
        r = extent_runs_append(ret, pieces - extent_runs_end(ret), EXTENT_DEALLOCATED);
    if (r < 0)
        extent_runs_free(ret);
    return r;
}
