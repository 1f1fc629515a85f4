/* SPDX-License-Identifier: Apache-2.0 */

/* The sum of what was claimed, as lists of blocks and of reasons. */

#include "claims.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"

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

/* All of each free track but its begin. */
static int add_tracks(struct claims *claims)
{
    int r = 0;

    for (size_t i = 0; i < claims->track_count; i++) {
        const struct claims_tracks *tracks = &claims->tracks[i];

        for (uint64_t track = 0; track < tracks->count && r == 0; track++)
            r = claims_add_free(claims,
                                tracks->start + track * tracks->track_bytes + CLAIMS_HEAD_BYTES,
                                tracks->track_bytes - CLAIMS_HEAD_BYTES);
    }
    return r;
}

/* Every block that is touched by what is kept. */
static int remove_kept(struct claims *claims)
{
    uint32_t size = claims->block_size;
    int r = 0;

    for (size_t i = 0; i < claims->keep.count && r == 0; i++) {
        const struct byte_range *range = &claims->keep.items[i];
        uint64_t from = min_u64(range->start / size, claims->blocks);
        uint64_t to = min_u64((range->start + range->length - 1) / size + 1, claims->blocks);

        r = block_set_remove(&claims->free[0], from, to - from);
    }
    return r;
}

/* What is free becomes what is allocated. */
static int build_set(struct claims *claims, struct block_set *ret)
{
    int r = add_tracks(claims);

    if (r == 0)
        r = claims_settle_free(claims);
    if (r == 0)
        r = remove_kept(claims);
    if (r == 0)
        r = block_set_settle(&claims->free[0]);
    if (r == 0)
        r = block_set_invert(&claims->free[0]);
    if (r < 0)
        return r;
    *ret = claims->free[0];
    ret->budget_bytes = 0;
    block_set_init(&claims->free[0], claims->blocks);
    return 0;
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

int claims_build(struct claims *claims, struct allocation *ret)
{
    int r;

    byte_ranges_normalise(&claims->keep);
    sort_tracks(claims);
    r = build_set(claims, &ret->allocated);
    if (r == 0)
        r = build_areas(claims, claims->blocks, claims->block_size, ret);
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

int claims_build_heads(const struct claims *claims, struct extent_runs *ret)
{
    const uint64_t lun_bytes = claims->blocks * claims->block_size;
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
