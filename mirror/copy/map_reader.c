/* SPDX-License-Identifier: Apache-2.0 */
#include "map_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

/* This number of replies of one extent each in a row are how the endpoint answers, not how the map
 * is. */
#define NARROW_REPLIES 4
/* The first regions to be asked about side by side, in extents as long as those seen so far. */
#define FIRST_REGION_EXTENTS 16

static void fail(struct map_reader *reader, int error)
{
    if (!reader->error)
        reader->error = errmsg_set(&reader->message, error, "%s", strerror(-error));
}

/* As much of told as there is room for goes to list, cut by the limit. */
static void expand(struct map_reader *reader)
{
    while (reader->told_first < reader->told.count && reader->list.count < MAP_READER_EXTENTS) {
        const struct extent *extent = &reader->told.items[reader->told_first];
        uint64_t end = extent->start + extent->length, next = end;
        enum extent_status status = extent->status;
        int r;

        if (reader->limit && status == EXTENT_MAPPED) {
            bool is_in;

            next = block_set_find(reader->limit, reader->covered, end, &is_in);
            status = is_in ? EXTENT_MAPPED : EXTENT_DEALLOCATED;
        }
        r = extent_list_append(&reader->list, reader->covered, next - reader->covered, status);
        if (r < 0) {
            fail(reader, r);
            return;
        }
        reader->covered = next;
        reader->told_first += next == end;
    }
    if (reader->told_first == reader->told.count) {
        extent_list_clear(&reader->told);
        reader->told_first = 0;
    }
}

static bool has_room(const struct map_reader *reader)
{
    return !reader->error && reader->told.count == 0 && reader->list.count < MAP_READER_EXTENTS;
}

static int tell(struct map_reader *reader, uint64_t blocks, enum extent_status status)
{
    int r = extent_list_append(&reader->told, reader->told_end, blocks, status);

    reader->told_end += r == 0 ? blocks : 0;
    return r;
}

int map_reader_init(struct map_reader *reader, struct endpoint *endpoint, uint64_t end,
                    enum map_source source)
{
    int r = 0;

    *reader = (struct map_reader){.endpoint = endpoint, .end = end};
    if (source != MAP_ASK)
        r = tell(reader, end, source == MAP_ALL_ZEROS ? EXTENT_DEALLOCATED : EXTENT_MAPPED);
    expand(reader);
    return r < 0 ? r : reader->error;
}

void map_reader_limit(struct map_reader *reader, const struct block_set *limit)
{
    struct extent_list all = reader->list;

    if (!limit)
        return;
    reader->limit = limit;
    reader->list = reader->told;
    reader->told = all;
    reader->covered = 0;
}

void map_reader_free(struct map_reader *reader)
{
    if (reader->ahead)
        map_ahead_free(reader->ahead);
    free(reader->ahead);
    reader->ahead = NULL;
    extent_list_free(&reader->list);
    extent_list_free(&reader->told);
    extent_list_free(&reader->reply);
}

/* Nothing more is asked; what is left counts as mapped. */
static void give_up(struct map_reader *reader, const struct errmsg *why)
{
    uint64_t lba = reader->told_end;
    int r = tell(reader, reader->end - lba, EXTENT_MAPPED);

    if (r < 0) {
        fail(reader, r);
        return;
    }
    reader->doubt = *why;
    reader->gave_up = true;
    reader->gave_up_lba = lba;
}

static void note_doubt(struct map_reader *reader, const struct errmsg *doubt)
{
    if (!reader->doubt.text[0])
        reader->doubt = *doubt;
}

/* Adds what of the reply follows on without a gap. False when that is not all of it, or nothing. */
static bool take_reply(struct map_reader *reader)
{
    uint64_t before = reader->told_end;

    for (size_t i = 0; i < reader->reply.count; i++) {
        const struct extent *extent = &reader->reply.items[i];
        uint64_t blocks = min_u64(extent->length, reader->end - reader->told_end);
        int r;

        if (extent->start != reader->told_end)
            return false;
        r = tell(reader, blocks, extent->status);
        if (r < 0) {
            fail(reader, r);
            return true;
        }
    }
    return reader->told_end > before;
}

/* Errors that say that the target no longer answers, rather than that the answer was no. */
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
    if (!target_is_gone(result)) {
        give_up(reader, message);
        return;
    }
    reader->message = *message;
    reader->error = result;
}

/* Without memory for it one question at a time goes on being asked. */
static void watch_replies(struct map_reader *reader)
{
    bool narrow = reader->reply.count == 1 && reader->told_end < reader->end;
    uint64_t length;

    reader->narrow = narrow ? reader->narrow + 1 : 0;
    if (reader->narrow < NARROW_REPLIES)
        return;
    length = min_u64(reader->reply.items[0].length, UINT64_MAX / FIRST_REGION_EXTENTS);
    reader->ahead = malloc(sizeof(*reader->ahead));
    if (reader->ahead)
        map_ahead_init(reader->ahead, reader->endpoint, reader->told_end, reader->end,
                       FIRST_REGION_EXTENTS * length);
}

static void map_done(struct endpoint_request *request)
{
    struct map_reader *reader = request->opaque;
    struct errmsg why;

    reader->busy = false;
    if (request->unsound)
        note_doubt(reader, &request->error);
    if (request->result < 0) {
        no_answer(reader, request->result, &request->error);
    } else if (!take_reply(reader)) {
        errmsg_set(&why, 0,
                   "%s: the answer about block %" PRIu64 " on leaves a gap or says nothing",
                   reader->endpoint->info.name, reader->told_end);
        give_up(reader, &why);
    } else {
        watch_replies(reader);
    }
    extent_list_clear(&reader->reply);
}

/* Adds what the asker has found. False: it has not come to its end, and maybe won't. */
static bool take_from_asker(struct map_reader *reader, struct map_asker *asker)
{
    struct extent_list *found = &asker->found;
    int r = 0;

    for (size_t i = 0; i < found->count && r == 0; i++)
        r = tell(reader, found->items[i].length, found->items[i].status);
    extent_list_clear(found);
    if (asker->doubt.text[0])
        note_doubt(reader, &asker->doubt);
    asker->doubt.text[0] = '\0';
    if (r < 0)
        fail(reader, r);
    else if (asker->covered < asker->end && asker->result < 0)
        no_answer(reader, asker->result, &asker->message);
    return asker->covered == asker->end;
}

/* Adds what the askers have found, as far as it goes on from what was told and there is room. */
static void take_from_ahead(struct map_reader *reader)
{
    struct map_asker *asker;
    bool go_on = true;

    while (go_on && has_room(reader) && (asker = map_ahead_turn(reader->ahead))) {
        go_on = take_from_asker(reader, asker);
        expand(reader);
    }
}

/* Whatever is in flight when the reader gives up is waited for, and ignored. */
static void pump_ahead(struct map_reader *reader)
{
    if (!reader->gave_up)
        take_from_ahead(reader);
    if (!reader->gave_up && has_room(reader))
        map_ahead_pump(reader->ahead);
}

void map_reader_pump(struct map_reader *reader)
{
    int r;

    expand(reader);
    if (reader->ahead) {
        pump_ahead(reader);
        return;
    }
    if (reader->busy || reader->told_end == reader->end || !has_room(reader))
        return;
    reader->request = (struct endpoint_request){.op = ENDPOINT_MAP,
                                                .lba = reader->told_end,
                                                .blocks = reader->end - reader->told_end,
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
