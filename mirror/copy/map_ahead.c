/* SPDX-License-Identifier: Apache-2.0 */
#include "map_ahead.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "checked.h"

/* A region that took no more questions is too small, one that took more is too large. */
#define FEW_QUESTIONS  4
#define MANY_QUESTIONS 64

void map_ahead_init(struct map_ahead *ahead, struct endpoint *endpoint, uint64_t lba, uint64_t end,
                    uint64_t region_blocks)
{
    *ahead = (struct map_ahead){.endpoint = endpoint,
                                .next = lba,
                                .end = end,
                                .region_blocks = max_u64(region_blocks, 1)};
    for (unsigned i = 0; i < MAP_AHEAD_ASKERS; i++)
        ahead->askers[i].ahead = ahead;
}

void map_ahead_free(struct map_ahead *ahead)
{
    for (unsigned i = 0; i < MAP_AHEAD_ASKERS; i++) {
        extent_list_free(&ahead->askers[i].found);
        extent_list_free(&ahead->askers[i].reply);
    }
}

static struct map_asker *asker_at(struct map_ahead *ahead, unsigned place)
{
    return &ahead->askers[(ahead->first + place) % MAP_AHEAD_ASKERS];
}

static void fail(struct map_asker *asker, int error, const char *why)
{
    asker->result =
        errmsg_set(&asker->message, error, "%s: the answer about block %" PRIu64 " on %s",
                   asker->ahead->endpoint->info.name, asker->covered, why);
}

/* Adds what of the reply follows on without a gap. */
static void take_reply(struct map_asker *asker)
{
    uint64_t before = asker->covered;

    for (size_t i = 0; i < asker->reply.count && asker->covered < asker->end; i++) {
        const struct extent *extent = &asker->reply.items[i];
        uint64_t blocks = min_u64(extent->length, asker->end - asker->covered);

        if (extent->start != asker->covered) {
            fail(asker, -EPROTO, "leaves a gap");
            return;
        }
        if (extent_list_append(&asker->found, asker->covered, blocks, extent->status) < 0) {
            fail(asker, -ENOMEM, "does not fit into memory");
            return;
        }
        asker->covered += blocks;
    }
    if (asker->covered == before)
        fail(asker, -EPROTO, "says nothing");
}

static void asker_done(struct endpoint_request *request)
{
    struct map_asker *asker = request->opaque;

    asker->busy = false;
    asker->ahead->in_flight--;
    if (request->unsound && !asker->doubt.text[0])
        asker->doubt = request->error;
    if (request->result < 0) {
        asker->result = request->result;
        asker->message = request->error;
    } else {
        take_reply(asker);
    }
    extent_list_clear(&asker->reply);
}

static void ask(struct map_asker *asker)
{
    struct map_ahead *ahead = asker->ahead;
    int r;

    asker->request = (struct endpoint_request){.op = ENDPOINT_MAP,
                                               .lba = asker->covered,
                                               .blocks = asker->end - asker->covered,
                                               .map = &asker->reply,
                                               .done = asker_done,
                                               .opaque = asker};
    asker->busy = true;
    asker->questions++;
    ahead->in_flight++;
    r = endpoint_submit(ahead->endpoint, &asker->request);
    if (r == 0)
        return;
    asker->busy = false;
    ahead->in_flight--;
    asker->result = errmsg_set(&asker->message, r, "%s: cannot ask for its map: %s",
                               ahead->endpoint->info.name, strerror(-r));
}

static void hand_out(struct map_ahead *ahead)
{
    struct map_asker *asker = asker_at(ahead, ahead->count++);

    asker->covered = ahead->next;
    asker->end = ahead->next + min_u64(ahead->region_blocks, ahead->end - ahead->next);
    asker->questions = 0;
    asker->result = 0;
    ahead->next = asker->end;
}

void map_ahead_pump(struct map_ahead *ahead)
{
    while (ahead->count < MAP_AHEAD_ASKERS && ahead->next < ahead->end)
        hand_out(ahead);
    for (unsigned i = 0; i < ahead->count; i++) {
        struct map_asker *asker = asker_at(ahead, i);

        if (!asker->busy && asker->result == 0 && asker->covered < asker->end &&
            asker->found.count < MAP_AHEAD_FOUND)
            ask(asker);
    }
}

static void resize(struct map_ahead *ahead, unsigned questions)
{
    if (questions <= FEW_QUESTIONS && ahead->region_blocks < ahead->end / 2)
        ahead->region_blocks *= 2;
    else if (questions > MANY_QUESTIONS)
        ahead->region_blocks = max_u64(ahead->region_blocks / 2, 1);
}

struct map_asker *map_ahead_turn(struct map_ahead *ahead)
{
    while (ahead->count > 0) {
        struct map_asker *asker = asker_at(ahead, 0);

        if (asker->covered < asker->end || asker->found.count > 0)
            return asker;
        resize(ahead, asker->questions);
        ahead->first = (ahead->first + 1) % MAP_AHEAD_ASKERS;
        ahead->count--;
    }
    return NULL;
}
