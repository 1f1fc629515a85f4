/* SPDX-License-Identifier: Apache-2.0 */
#include "region.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "checked.h"
#include "region_internal.h"

#define SENTENCE_MAX 512
#define PROBE_MAX    64

uint64_t region_bytes(const struct region *region)
{
    return region->bytes;
}

uint32_t region_block_bytes(const struct region *region)
{
    return disk_reader_block_bytes(region->analyser->reader);
}

bool region_place(const struct region *region, uint64_t *ret_start)
{
    *ret_start = 0;
    for (; region->below; region = region->below) {
        if (region->segment_count != 1 || region->segments[0].stripes != 1)
            return false;
        *ret_start += region->segments[0].origins[0];
    }
    return true;
}

static const struct region_segment *find_segment(const struct region *region, uint64_t offset)
{
    size_t low = 0, high = region->segment_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (region->segments[middle].start <= offset)
            low = middle;
        else
            high = middle;
    }
    return &region->segments[low];
}

/* Where a byte is in the region below, and how many bytes follow it there; offset is within. */
static uint64_t translate(const struct region *region, uint64_t offset, uint64_t *ret_follow)
{
    const struct region_segment *segment = find_segment(region, offset);
    uint64_t within = offset - segment->start, chunk, in_chunk;

    if (segment->stripes == 1) {
        *ret_follow = segment->length - within;
        return segment->origins[0] + within;
    }
    chunk = within / segment->stripe_bytes;
    in_chunk = within % segment->stripe_bytes;
    *ret_follow = segment->stripe_bytes - in_chunk;
    return segment->origins[chunk % segment->stripes] +
           chunk / segment->stripes * segment->stripe_bytes + in_chunk;
}

int region_read(struct region *region, uint64_t offset, void *to, size_t length)
{
    uint8_t *at = to;

    if (!range_within(offset, length, region->bytes))
        return -ERANGE;
    if (!region->below)
        return disk_reader_read(region->analyser->reader, offset, to, length);
    while (length > 0) {
        uint64_t follow, origin = translate(region, offset, &follow);
        size_t part = min_u64(length, follow);
        int r = region_read(region->below, origin, at, part);

        if (r < 0)
            return r;
        at += part;
        offset += part;
        length -= part;
    }
    return 0;
}

bool region_has(struct region *region, uint64_t offset, const void *bytes, size_t length)
{
    uint8_t found[PROBE_MAX];

    return length <= sizeof(found) && region_read(region, offset, found, length) == 0 &&
           memcmp(found, bytes, length) == 0;
}

/* Adds where the range lies on the LUN. */
static int add_on_disk(const struct region *region, uint64_t start, uint64_t length,
                       struct byte_ranges *ranges)
{
    if (!region->below)
        return byte_ranges_add(ranges, start, length);
    while (length > 0) {
        uint64_t follow, origin = translate(region, start, &follow);
        uint64_t part = min_u64(length, follow);
        int r = add_on_disk(region->below, origin, part, ranges);

        if (r < 0)
            return r;
        start += part;
        length -= part;
    }
    return 0;
}

int region_plan(struct region *region, const struct byte_range *ranges, size_t count)
{
    struct byte_ranges on_disk = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++)
        if (ranges[i].start < region->bytes)
            r = add_on_disk(region, ranges[i].start,
                            min_u64(ranges[i].length, region->bytes - ranges[i].start), &on_disk);
    if (r == 0)
        r = disk_reader_plan(region->analyser->reader, on_disk.items, on_disk.count);
    byte_ranges_free(&on_disk);
    return r;
}

/* How many of the first bytes of a segment lie in this stripe: what is in one stripe is in one
 * piece below. */
static uint64_t bytes_in_stripe(const struct region_segment *segment, unsigned stripe,
                                uint64_t bytes)
{
    uint64_t row = segment->stripe_bytes * segment->stripes;
    uint64_t rest = bytes % row, before = segment->stripe_bytes * stripe;

    rest = rest > before ? min_u64(rest - before, segment->stripe_bytes) : 0;
    return bytes / row * segment->stripe_bytes + rest;
}

/* Does one of the claims for each piece on the LUN that the range consists of. */
struct claim {
    int (*add)(struct claims *claims, uint64_t start, uint64_t length);
    const char *why; /* of an area, which has no add */
};

static int claim_range(struct region *region, uint64_t start, uint64_t length,
                       const struct claim *claim)
{
    struct claims *claims = &region->analyser->claims;

    if (!region->below && claim->why)
        return claims_add_area(claims, start, length, claim->why);
    if (!region->below)
        return claim->add(claims, start, length);
    while (length > 0) {
        const struct region_segment *segment = find_segment(region, start);
        uint64_t within = start - segment->start;
        uint64_t part = min_u64(length, segment->length - within);

        for (unsigned i = 0; i < segment->stripes; i++) {
            uint64_t from = segment->stripes == 1 ? within : bytes_in_stripe(segment, i, within);
            uint64_t to =
                segment->stripes == 1 ? within + part : bytes_in_stripe(segment, i, within + part);
            int r = to == from
                        ? 0
                        : claim_range(region->below, segment->origins[i] + from, to - from, claim);

            if (r < 0)
                return r;
        }
        start += part;
        length -= part;
    }
    return 0;
}

int region_claim_free(struct region *region, uint64_t start, uint64_t length)
{
    const struct claim claim = {.add = claims_add_free};

    if (!range_within(start, length, region->bytes))
        return -ERANGE;
    return claim_range(region, start, length, &claim);
}

int region_claim_tracks(struct region *region, uint64_t start, uint64_t track_bytes, uint64_t count)
{
    struct claims_tracks tracks = {.track_bytes = track_bytes, .count = count};
    uint64_t bytes, place;

    if (mul_overflows(track_bytes, count, &bytes) || !range_within(start, bytes, region->bytes))
        return -ERANGE;
    if (!region_place(region, &place))
        return region_refuse(region, "it does not lie in one piece");
    tracks.start = place + start;
    return claims_add_tracks(&region->analyser->claims, &tracks);
}

int region_keep(struct region *region, uint64_t start, uint64_t length)
{
    const struct claim claim = {.add = claims_add_keep};

    if (start >= region->bytes)
        return 0;
    return claim_range(region, start, min_u64(length, region->bytes - start), &claim);
}

int region_name(struct region *region, uint64_t start, uint64_t length, const char *what)
{
    char why[2 * REGION_PATH_MAX];
    const struct claim claim = {.why = why};

    if (start >= region->bytes)
        return 0;
    snprintf(why, sizeof(why), "%s%s%s", region->path, region->path[0] ? ", " : "", what);
    return claim_range(region, start, min_u64(length, region->bytes - start), &claim);
}

bool region_skips_gaps(const struct region *region)
{
    return region->analyser->params->skip_gaps;
}

bool region_ends_at_lstar(const struct region *region)
{
    return region->analyser->params->vtoc_lstar;
}

static int check_segments(const struct region *region, const struct region_segment *segments,
                          size_t count, uint64_t *ret_bytes)
{
    *ret_bytes = 0;
    if (count == 0)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        const struct region_segment *segment = &segments[i];
        uint64_t row = 0;

        if (segment->start != *ret_bytes || segment->length == 0 || segment->stripes == 0 ||
            segment->stripes > REGION_STRIPES_MAX ||
            add_overflows(*ret_bytes, segment->length, ret_bytes))
            return -EINVAL;
        if (segment->stripes > 1 && (segment->stripe_bytes == 0 ||
                                     mul_overflows(segment->stripe_bytes, segment->stripes, &row) ||
                                     segment->length % row != 0))
            return -EINVAL;
        for (unsigned s = 0; s < segment->stripes; s++)
            if (!range_within(segment->origins[s], segment->length / segment->stripes,
                              region->bytes))
                return -ERANGE;
    }
    return 0;
}

/* Names come from the disk and go to terminals and into JSON. */
static void make_plain(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
            *text = '?';
}

bool region_knows(struct region *region, uint64_t start, uint64_t length)
{
    const struct region_segment segment = {.length = length, .stripes = 1, .origins = {start}};
    struct region part = {.analyser = region->analyser,
                          .below = region,
                          .segments = &segment,
                          .segment_count = 1,
                          .depth = region->depth + 1};

    return check_segments(region, &segment, 1, &part.bytes) == 0 && analyse_knows(&part);
}

int region_descend_mapped(struct region *region, const struct region_segment *segments,
                          size_t count, const char *label)
{
    struct region part = {.analyser = region->analyser,
                          .below = region,
                          .segments = segments,
                          .segment_count = count,
                          .depth = region->depth + 1};
    int r = check_segments(region, segments, count, &part.bytes);

    if (r < 0)
        return r;
    snprintf(part.path, sizeof(part.path), "%s%s%s", region->path, region->path[0] ? ", " : "",
             label);
    make_plain(part.path);
    return analyse_region(&part);
}

int region_descend(struct region *region, uint64_t start, uint64_t length, const char *label)
{
    const struct region_segment segment = {.length = length, .stripes = 1, .origins = {start}};

    return region_descend_mapped(region, &segment, 1, label);
}

static void note(struct region *region, const char *end, const char *sentence, va_list arguments)
{
    char text[SENTENCE_MAX], whole[SENTENCE_MAX + 2 * REGION_PATH_MAX];

    vsnprintf(text, sizeof(text), sentence, arguments);
    snprintf(whole, sizeof(whole), "%s%s%s%s%s%s", region->path, region->path[0] ? ": " : "",
             region->format ? region->format->name : "", region->format ? ": " : "", text, end);
    analyser_note(region->analyser, whole);
}

int region_refuse(struct region *region, const char *sentence, ...)
{
    va_list arguments;

    va_start(arguments, sentence);
    note(region, "; all of it counts as allocated", sentence, arguments);
    va_end(arguments);
    region->refused = true;
    return -EUCLEAN;
}

void region_note(struct region *region, const char *sentence, ...)
{
    va_list arguments;

    va_start(arguments, sentence);
    note(region, "", sentence, arguments);
    va_end(arguments);
}
