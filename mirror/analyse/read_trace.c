/* SPDX-License-Identifier: Apache-2.0 */
#include "read_trace.h"

#include <isa-l/crc64.h>

#include "checked.h"

#define GRAIN_FIRST 65536

/* Joins what is near to each other, in ever larger grains, until half of the room is free. */
static void coarsen(struct read_trace *trace)
{
    struct byte_ranges *places = &trace->places;

    byte_ranges_normalise(places);
    while (places->count > READ_TRACE_MAX / 2) {
        trace->grain_bytes = trace->grain_bytes ? 2 * trace->grain_bytes : GRAIN_FIRST;
        for (size_t i = 0; i < places->count; i++) {
            struct byte_range *place = &places->items[i];
            uint64_t before = place->start % trace->grain_bytes;

            place->start -= before;
            place->length = align_up(place->length + before, trace->grain_bytes);
        }
        byte_ranges_normalise(places);
    }
}

int read_trace_add(struct read_trace *trace, uint64_t offset, const void *bytes, size_t length)
{
    struct byte_ranges *places = &trace->places;
    struct byte_range *last = places->count ? &places->items[places->count - 1] : NULL;

    trace->digest = crc64_ecma_refl(trace->digest, bytes, length);
    if (last && offset >= last->start && offset <= last->start + last->length) {
        last->length = max_u64(last->length, offset + length - last->start);
        return 0;
    }
    if (places->count >= READ_TRACE_MAX)
        coarsen(trace);
    return byte_ranges_add(places, offset, length);
}

uint64_t read_trace_digest(const struct read_trace *trace, const struct block_set *set)
{
    return block_set_digest(set, trace->digest);
}

int read_trace_build(struct read_trace *trace, uint32_t block_size, struct block_set *ret)
{
    const struct byte_ranges *places = &trace->places;
    int r = 0;

    byte_ranges_normalise(&trace->places);
    for (size_t i = 0; r == 0 && i < places->count; i++) {
        uint64_t end = places->items[i].start + places->items[i].length;
        uint64_t from = places->items[i].start / block_size;
        uint64_t to = min_u64(end / block_size + (end % block_size != 0), ret->blocks);

        if (from < to)
            r = block_set_add_touched(ret, from, to - from);
    }
    return r == 0 ? block_set_settle(ret) : r;
}

void read_trace_free(struct read_trace *trace)
{
    byte_ranges_free(&trace->places);
}
