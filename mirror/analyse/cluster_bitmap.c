/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_bitmap.h"

#include <errno.h>
#include <stdlib.h>

#include "bitmap_scan.h"
#include "checked.h"
#include "cleanup.h"

#define CHUNK_BYTES ((size_t)256 * 1024)

/* Where the reading of the bitmap and the look at what is used have come to. Both go upwards. */
struct walk {
    const struct cluster_bitmap *bitmap;
    size_t place; /* of places */
    uint64_t place_done;
    size_t used;         /* the first of used that does not lie before the run */
    struct bit_run open; /* it may go on in the next chunk */
};

int cluster_bitmap_add(struct byte_ranges *ranges, uint64_t start, uint64_t length)
{
    struct byte_range *last = ranges->count > 0 ? &ranges->items[ranges->count - 1] : NULL;

    if (!last || last->start + last->length != start)
        return byte_ranges_add(ranges, start, length);
    last->length += length;
    return 0;
}

/* The next bytes of the file. */
static int read_next(struct walk *walk, uint8_t *to, size_t bytes)
{
    const struct byte_ranges *places = walk->bitmap->places;

    while (bytes > 0) {
        const struct byte_range *place;
        size_t now;
        int r;

        if (walk->place == places->count)
            return -EINVAL;
        place = &places->items[walk->place];
        now = (size_t)min_u64(bytes, place->length - walk->place_done);
        r = region_read(walk->bitmap->region, place->start + walk->place_done, to, now);
        if (r < 0)
            return r;
        to += now;
        bytes -= now;
        walk->place_done += now;
        if (walk->place_done == place->length) {
            walk->place++;
            walk->place_done = 0;
        }
    }
    return 0;
}

static int claim_run(struct walk *walk)
{
    const struct cluster_bitmap *bitmap = walk->bitmap;
    uint64_t start = bitmap->origin + walk->open.from * bitmap->cluster_bytes;
    uint64_t length = walk->open.count * bitmap->cluster_bytes;
    const struct byte_ranges *used = bitmap->used;

    if (length == 0)
        return 0;
    walk->open.count = 0;
    while (walk->used < used->count &&
           used->items[walk->used].start + used->items[walk->used].length <= start)
        walk->used++;
    if (walk->used < used->count && used->items[walk->used].start < start + length)
        return region_refuse(bitmap->region, "its bitmap calls free what it needs itself");
    return region_claim_free(bitmap->region, start, length);
}

/* The clear bits of a chunk that begins with the cluster first. */
static int take_chunk(struct walk *walk, const uint8_t *bytes, uint64_t first, uint64_t bits)
{
    struct bit_run run;
    int r = 0;

    for (uint64_t at = 0; r == 0 && bitmap_scan_clear(bytes, bits, at, &run);
         at = run.from + run.count) {
        if (walk->open.count > 0 && walk->open.from + walk->open.count == first + run.from) {
            walk->open.count += run.count;
            continue;
        }
        r = claim_run(walk);
        walk->open = (struct bit_run){first + run.from, run.count};
    }
    return r;
}

static int keep_used(const struct cluster_bitmap *bitmap)
{
    int r = 0;

    byte_ranges_normalise(bitmap->used);
    for (size_t i = 0; r == 0 && i < bitmap->used->count; i++)
        r = region_keep(bitmap->region, bitmap->used->items[i].start,
                        bitmap->used->items[i].length);
    return r;
}

int cluster_bitmap_claim(const struct cluster_bitmap *bitmap)
{
    CLEANUP_FREE uint8_t *chunk = malloc(CHUNK_BYTES);
    struct walk walk = {.bitmap = bitmap};
    int r;

    if (!chunk)
        return -ENOMEM;
    r = keep_used(bitmap);
    if (r == 0)
        r = region_plan(bitmap->region, bitmap->places->items, bitmap->places->count);
    for (uint64_t at = 0; r == 0 && at < bitmap->clusters; at += CHUNK_BYTES * 8) {
        uint64_t bits = min_u64(CHUNK_BYTES * 8, bitmap->clusters - at);

        r = read_next(&walk, chunk, (size_t)((bits + 7) / 8));
        if (r == 0)
            r = take_chunk(&walk, chunk, at, bits);
    }
    return r == 0 ? claim_run(&walk) : r;
}
