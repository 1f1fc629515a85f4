/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "block_set.h"
#include "fuzz.h"
#include "map_reader.h"

/* A map reader, or a pair of them, against endpoints that answer what they like, when they like. */

enum { BLOCKS = 256, ASKED_MAX = 64 };

struct source {
    struct endpoint base;
    struct fuzz_input input;
    struct endpoint_request *asked[ASKED_MAX];
    size_t count;
    bool unmapped[BLOCKS]; /* it has told so, in an answer that held */
};

static int submit(struct endpoint *endpoint, struct endpoint_request *request)
{
    struct source *source = (struct source *)endpoint;

    FUZZ_CHECK(request->op == ENDPOINT_MAP && request->blocks > 0);
    FUZZ_CHECK(request->lba < BLOCKS && request->blocks <= BLOCKS - request->lba);
    if (source->count == ASKED_MAX || fuzz_byte(&source->input) == 0xFF)
        return -ENOMEM;
    source->asked[source->count++] = request;
    return 0;
}

static const struct endpoint_ops ops = {.submit = submit};

static void note(struct source *source, const struct extent_list *map)
{
    for (size_t i = 0; i < map->count; i++)
        for (uint64_t lba = map->items[i].start;
             lba < map->items[i].start + map->items[i].length && lba < BLOCKS; lba++)
            if (map->items[i].status != EXTENT_MAPPED)
                source->unmapped[lba] = true;
}

/* Answers one of the questions: soundly, with a gap, too much, nothing, or with an error. */
static void answer(struct source *source)
{
    static const int errors[] = {-EIO, -ENOTCONN, -EPROTO, -ENOMEM};
    struct fuzz_input *input = &source->input;
    size_t which = fuzz_byte(input) % source->count;
    struct endpoint_request *request = source->asked[which];
    uint8_t how = fuzz_byte(input);
    uint64_t at = request->lba;

    source->asked[which] = source->asked[--source->count];
    request->result = (how & 0x0F) == 0x0F ? errors[how >> 6] : 0;
    request->unsound = (how & 0x0F) == 0x0E;
    if (request->result < 0 || request->unsound)
        errmsg_set(&request->error, request->result, "told");
    at += (how & 0x0F) == 0x0D;
    for (unsigned i = 0; i < (how >> 4 & 3U) && request->result == 0; i++) {
        uint8_t extent = fuzz_byte(input);

        FUZZ_CHECK(extent_list_append(request->map, at, 1U + (extent & 0x3F),
                                      (enum extent_status)((extent >> 6) % 3)) == 0);
        at += 1U + (extent & 0x3F);
    }
    if (request->result == 0)
        note(source, request->map);
    request->done(request);
}

/* What is known goes on from where it was taken up to, without a gap, and calls unmapped only what
 * was told to be, or what is not in the limit. */
static void check(const struct map_reader *reader, const struct source *source, uint64_t taken,
                  const struct block_set *limit)
{
    uint64_t at = 0;

    FUZZ_CHECK(reader->covered <= BLOCKS && taken <= reader->covered);
    for (size_t i = 0; i < reader->list.count; i++) {
        const struct extent *extent = &reader->list.items[i];

        FUZZ_CHECK(extent->length > 0 && (i == 0 ? extent->start <= taken : extent->start == at));
        at = extent->start + extent->length;
        for (uint64_t lba = extent->start; lba < at && extent->status != EXTENT_MAPPED; lba++) {
            bool in_limit = true;

            if (limit)
                block_set_find(limit, lba, BLOCKS, &in_limit);
            FUZZ_CHECK(source->unmapped[lba] || !in_limit);
        }
    }
    FUZZ_CHECK(reader->list.count == 0 || at == reader->covered);
    FUZZ_CHECK(!reader->error || reader->message.text[0]);
    FUZZ_CHECK(!reader->gave_up || reader->doubt.text[0]);
}

static void make_limit(struct fuzz_input *input, struct block_set *limit)
{
    block_set_init(limit, BLOCKS);
    for (int i = 0; i < 4; i++) {
        uint64_t start = fuzz_byte(input), length = fuzz_byte(input) % (BLOCKS - start) + 1;

        FUZZ_CHECK(block_set_add(limit, start, length < BLOCKS - start ? length : BLOCKS - start) ==
                   0);
    }
    FUZZ_CHECK(block_set_settle(limit) == 0);
}

/* The window is known of both sides, and goes on from the last one. Returns the blocks in it that
 * the primary has mapped. */
static uint64_t check_window(const struct map_pair *pair, uint64_t end)
{
    uint64_t mapped = 0;

    FUZZ_CHECK(end > pair->planned && end <= BLOCKS);
    FUZZ_CHECK(end <= pair->primary.covered && end <= pair->secondary.covered);
    for (uint64_t lba = pair->planned; lba < end; lba++)
        for (size_t i = 0; i < pair->primary.list.count; i++) {
            const struct extent *extent = &pair->primary.list.items[i];

            if (lba >= extent->start && lba < extent->start + extent->length)
                mapped += extent->status == EXTENT_MAPPED;
        }
    return mapped;
}

/* Both sides by turns; each decides what it answers by its half of the input. */
static void run_pair(const uint8_t *data, size_t size)
{
    struct source sides[2] = {{.input = {data, size / 2}},
                              {.input = {data + size / 2, size - size / 2}}};
    struct map_pair pair;
    uint64_t mapped = 0, end;

    for (size_t i = 0; i < 2; i++)
        sides[i].base = (struct endpoint){.ops = &ops, .info = {.name = "lun", .blocks = BLOCKS}};
    FUZZ_CHECK(map_pair_init(&pair, &sides[0].base, MAP_ASK, &sides[1].base,
                             size % 3 == 0   ? MAP_ALL_ZEROS
                             : size % 3 == 1 ? MAP_ALL_MAPPED
                                             : MAP_ASK) == 0);
    while (sides[0].input.left + sides[1].input.left > 0 && !map_pair_finished(&pair)) {
        struct source *side = &sides[sides[0].input.left == 0];
        uint8_t what = fuzz_byte(&side->input);

        side = &sides[what >> 7];
        if (what % 3 == 0)
            map_pair_pump(&pair);
        else if (what % 3 == 1 && side->count > 0)
            answer(side);
        else if (map_pair_window(&pair, &end)) {
            end -= what % (end - pair.planned);
            mapped += check_window(&pair, end);
            map_pair_take(&pair, end);
            FUZZ_CHECK(pair.planned == end && pair.mapped_blocks == mapped);
            FUZZ_CHECK(pair.extents <= mapped);
        }
        check(&pair.primary, &sides[0], pair.planned, NULL);
        FUZZ_CHECK(map_pair_busy(&pair) == (sides[0].count + sides[1].count > 0));
    }
    for (size_t i = 0; i < 2; i++)
        while (sides[i].count > 0)
            answer(&sides[i]);
    map_pair_free(&pair);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = {.input = {data, size}};
    struct map_reader reader;
    struct block_set limit = {0};
    uint8_t mode = fuzz_byte(&source.input);
    bool limited = mode & 1;
    uint64_t taken = 0;

    if (mode & 2) {
        run_pair(source.input.data, source.input.left);
        return 0;
    }
    source.base = (struct endpoint){.ops = &ops, .info = {.name = "lun", .blocks = BLOCKS}};
    FUZZ_CHECK(map_reader_init(&reader, &source.base, BLOCKS, MAP_ASK) == 0);
    if (limited)
        make_limit(&source.input, &limit);
    map_reader_limit(&reader, limited ? &limit : NULL);
    while (source.input.left > 0 && taken < BLOCKS) {
        uint8_t what = fuzz_byte(&source.input);

        if (what % 3 == 0)
            map_reader_pump(&reader);
        else if (what % 3 == 1 && source.count > 0)
            answer(&source);
        else if (reader.covered > taken)
            map_reader_consume(&reader, taken += 1 + what % (reader.covered - taken));
        check(&reader, &source, taken, limited ? &limit : NULL);
        FUZZ_CHECK(map_reader_busy(&reader) == (source.count > 0));
    }
    while (source.count > 0)
        answer(&source);
    map_reader_free(&reader);
    block_set_free(&limit);
    return 0;
}
