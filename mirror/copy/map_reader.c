/* SPDX-License-Identifier: Apache-2.0 */
#include "map_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

/* So many replies of one extent each in a row are how the endpoint answers, not how the map is. */
#define NARROW_REPLIES 4
/* The first regions to be asked about side by side, in extents as long as those seen so far. */
#define FIRST_REGION_EXTENTS 16

int map_reader_init(struct map_reader *reader, struct endpoint *endpoint, uint64_t end,
                    enum map_source source)
{
    *reader = (struct map_reader){.endpoint = endpoint,
                                  .end = end,
                                  .all_mapped = source == MAP_ALL_MAPPED};
    if (source == MAP_ASK)
        return 0;
    reader->covered = end;
    return extent_list_append(&reader->list, 0, end,
                              source == MAP_ALL_ZEROS ? EXTENT_DEALLOCATED : EXTENT_MAPPED);
}

void map_reader_limit(struct map_reader *reader, const struct block_set *limit)
{
    reader->limit = limit;
    if (!limit || !reader->all_mapped)
        return;
    extent_list_clear(&reader->list);
    reader->covered = 0;
}

/* Adds blocks from covered on; at most so many extents of the limit, and covered says how far it
 * came. */
static int append(struct map_reader *reader, uint64_t blocks, enum extent_status status,
                  size_t extents)
{
    uint64_t end = reader->covered + blocks;
    bool limited = reader->limit && status == EXTENT_MAPPED;
    int r = 0;

    for (; r == 0 && reader->covered < end && extents > 0; extents--) {
        uint64_t next = end;

        if (limited) {
            bool is_in;

            next = block_set_find(reader->limit, reader->covered, end, &is_in);
            status = is_in ? EXTENT_MAPPED : EXTENT_DEALLOCATED;
        }
        r = extent_list_append(&reader->list, reader->covered, next - reader->covered, status);
        reader->covered = r == 0 ? next : reader->covered;
    }
    return r;
}

void map_reader_free(struct map_reader *reader)
{
    if (reader->ahead)
        map_ahead_free(reader->ahead);
    free(reader->ahead);
    reader->ahead = NULL;
    extent_list_free(&reader->list);
    extent_list_free(&reader->reply);
}

/* Nothing more is asked; what is left counts as mapped. */
static void give_up(struct map_reader *reader)
{
    uint64_t lba = reader->covered;
    int r = append(reader, reader->end - lba, EXTENT_MAPPED, SIZE_MAX);

    if (r < 0) {
        reader->error = errmsg_set(&reader->message, r, "%s", strerror(-r));
        return;
    }
    reader->gave_up = true;
    reader->gave_up_lba = lba;
}

/* Adds what of the reply follows on without a gap. False when that is not all of it, or nothing. */
static bool take_reply(struct map_reader *reader)
{
    uint64_t before = reader->covered;

    for (size_t i = 0; i < reader->reply.count; i++) {
        const struct extent *extent = &reader->reply.items[i];
        uint64_t blocks = min_u64(extent->length, reader->end - reader->covered);
        int r;

        if (extent->start != reader->covered)
            return false;
        r = append(reader, blocks, extent->status, SIZE_MAX);
        if (r < 0) {
            reader->error = errmsg_set(&reader->message, r, "%s", strerror(-r));
            return true;
        }
    }
    return reader->covered > before;
}

/* Errors that say that nobody answers any more, rather than that the answer was no. */
static bool target_is_gone(int result)
{
    switch (result) {
    case -EIO:
    case -EINVAL:
    case -EOPNOTSUPP:
    case -EPROTO:
    case -ERANGE:
        return false;
    default:
        return true;
    }
}

/* The question was not answered, as message says. */
static void no_answer(struct map_reader *reader, int result, const struct errmsg *message)
{
    reader->message = *message;
    if (target_is_gone(result))
        reader->error = result;
    else
        give_up(reader);
}

/* Without memory for it one question at a time goes on being asked. */
static void watch_replies(struct map_reader *reader)
{
    bool narrow = reader->reply.count == 1 && reader->covered < reader->end;
    uint64_t length;

    reader->narrow = narrow ? reader->narrow + 1 : 0;
    if (reader->narrow < NARROW_REPLIES)
        return;
    length = min_u64(reader->reply.items[0].length, UINT64_MAX / FIRST_REGION_EXTENTS);
    reader->ahead = malloc(sizeof(*reader->ahead));
    if (reader->ahead)
        map_ahead_init(reader->ahead, reader->endpoint, reader->covered, reader->end,
                       FIRST_REGION_EXTENTS * length);
}

static void map_done(struct endpoint_request *request)
{
    struct map_reader *reader = request->opaque;

    reader->busy = false;
    if (request->result < 0) {
        no_answer(reader, request->result, &request->error);
    } else if (!take_reply(reader)) {
        errmsg_set(&reader->message, 0,
                   "%s: the answer about block %" PRIu64 " on leaves a gap or says nothing",
                   reader->endpoint->info.name, reader->covered);
        give_up(reader);
    } else {
        watch_replies(reader);
    }
    extent_list_clear(&reader->reply);
}

/* Adds what the askers have found, as far as it goes on from covered and there is room. */
static void take_from_ahead(struct map_reader *reader)
{
    struct map_asker *asker;

    while (!reader->error && reader->list.count < MAP_READER_EXTENTS &&
           (asker = map_ahead_turn(reader->ahead))) {
        struct extent_list *found = &asker->found;

        for (size_t i = 0; i < found->count && !reader->error; i++) {
            int r = append(reader, found->items[i].length, found->items[i].status, SIZE_MAX);

            if (r < 0)
                reader->error = errmsg_set(&reader->message, r, "%s", strerror(-r));
        }
        extent_list_clear(found);
        if (asker->covered == asker->end)
            continue;
        if (asker->result < 0)
            no_answer(reader, asker->result, &asker->message);
        return;
    }
}

/* Whatever is in flight when the reader gives up is waited for, and ignored. */
static void pump_ahead(struct map_reader *reader)
{
    if (!reader->gave_up)
        take_from_ahead(reader);
    if (!reader->gave_up && !reader->error && reader->list.count < MAP_READER_EXTENTS)
        map_ahead_pump(reader->ahead);
}

void map_reader_pump(struct map_reader *reader)
{
    int r;

    if (reader->ahead) {
        pump_ahead(reader);
        return;
    }
    if (reader->busy || reader->error || reader->covered == reader->end ||
        reader->list.count >= MAP_READER_EXTENTS)
        return;
    if (reader->all_mapped) {
        r = append(reader, reader->end - reader->covered, EXTENT_MAPPED, MAP_READER_EXTENTS);
        if (r < 0)
            reader->error = errmsg_set(&reader->message, r, "%s", strerror(-r));
        return;
    }
    reader->request = (struct endpoint_request){.op = ENDPOINT_MAP,
                                                .lba = reader->covered,
                                                .blocks = reader->end - reader->covered,
                                                .map = &reader->reply,
                                                .done = map_done,
                                                .opaque = reader};
    reader->busy = true;
    r = endpoint_submit(reader->endpoint, &reader->request);
    if (r < 0) {
        reader->busy = false;
        reader->error = errmsg_set(&reader->message, r, "%s: cannot ask for its map: %s",
                                   reader->endpoint->info.name, strerror(-r));
    }
}

void map_reader_consume(struct map_reader *reader, uint64_t lba)
{
    struct extent_list *list = &reader->list;
    size_t gone = 0;

    while (gone < list->count && list->items[gone].start + list->items[gone].length <= lba)
        gone++;
    if (gone == 0)
        return;
    memmove(list->items, list->items + gone, (list->count - gone) * sizeof(*list->items));
    list->count -= gone;
}

int map_pair_init(struct map_pair *pair, struct endpoint *primary, enum map_source primary_source,
                  struct endpoint *secondary, enum map_source secondary_source)
{
    uint64_t end = primary->info.blocks;
    int r;

    *pair = (struct map_pair){.end = end, .mapped_end = UINT64_MAX};
    r = map_reader_init(&pair->primary, primary, end, primary_source);
    if (r == 0)
        r = map_reader_init(&pair->secondary, secondary, end, secondary_source);
    if (r < 0)
        map_pair_free(pair);
    return r;
}

void map_pair_free(struct map_pair *pair)
{
    map_reader_free(&pair->primary);
    map_reader_free(&pair->secondary);
}

void map_pair_pump(struct map_pair *pair)
{
    map_reader_pump(&pair->primary);
    map_reader_pump(&pair->secondary);
}

bool map_pair_window(const struct map_pair *pair, uint64_t *ret_end)
{
    *ret_end = min_u64(pair->primary.covered, pair->secondary.covered);
    return *ret_end > pair->planned;
}

/* Counts what is mapped on the primary in [planned, end); an extent in two windows counts once. */
static void count_mapped(struct map_pair *pair, uint64_t end)
{
    const struct extent_list *list = &pair->primary.list;

    for (size_t i = 0; i < list->count && list->items[i].start < end; i++) {
        const struct extent *extent = &list->items[i];
        uint64_t from = max_u64(extent->start, pair->planned);
        uint64_t to = min_u64(extent->start + extent->length, end);

        if (extent->status != EXTENT_MAPPED || from >= to)
            continue;
        if (from != pair->mapped_end)
            pair->extents++;
        pair->mapped_blocks += to - from;
        pair->mapped_end = to;
    }
}

void map_pair_take(struct map_pair *pair, uint64_t end)
{
    count_mapped(pair, end);
    pair->planned = end;
    map_reader_consume(&pair->primary, end);
    map_reader_consume(&pair->secondary, end);
}
