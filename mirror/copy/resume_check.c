/* SPDX-License-Identifier: Apache-2.0 */
#include "resume_check.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"
#include "copy_wait.h"
#include "map_reader.h"
#include "range_set.h"
#include "spread.h"

/* What of the extent is done, if it is mapped. */
static void add_extent(struct spread *spread, const struct range_set *done,
                       const struct extent *extent)
{
    uint64_t at = extent->start, end = extent->start + extent->length;
    struct range gap;

    if (extent->status != EXTENT_MAPPED)
        return;
    while (at < end && range_set_gap(done, at, end, &gap)) {
        spread_add(spread, at, gap.start);
        at = gap.end;
    }
    spread_add(spread, at, end);
}

/* The spots of what the primary's map calls mapped and is done. */
static int choose_spots(const struct sync_params *params, struct spread *spread, struct errmsg *err)
{
    CLEANUP(map_reader_free) struct map_reader reader;
    const struct range_set *done = params->done;
    uint64_t end = min_u64(done->items[done->count - 1].end, params->primary->info.blocks);
    const struct copy_side sides[2] = {{params->primary, true}, {params->secondary, false}};
    int r =
        map_reader_init(&reader, params->primary, end, params->copy_all ? MAP_ALL_MAPPED : MAP_ASK);

    if (r < 0)
        return errmsg_set(err, r, "%s", strerror(-r));
    map_reader_limit(&reader, params->allocated);
    for (;;) {
        map_reader_pump(&reader);
        while (map_reader_busy(&reader) && r == 0)
            r = copy_wait(sides, false, 0, err);
        if (reader.error)
            return errmsg_set(err, reader.error, "%s", reader.message.text);
        if (r < 0)
            return r;
        for (size_t i = 0; i < reader.list.count; i++)
            add_extent(spread, done, &reader.list.items[i]);
        map_reader_consume(&reader, reader.covered);
        if (reader.covered == end)
            return 0;
        if (copy_stopped(&params->control))
            return errmsg_set(err, -EINTR, "stopped while reading the map of %s",
                              params->primary->info.name);
    }
}

static int add_spots(const struct spread *spread, struct comparer *comparer)
{
    int r = 0;

    for (size_t i = 0; i < spread->count && r == 0; i++) {
        struct job job = {.kind = JOB_COMPARE,
                          .lba = spread->spots[i].lba,
                          .blocks = spread->spots[i].blocks};
        const struct job_list one = {&job, 1, 1};

        r = comparer_add(comparer, &one);
    }
    return r;
}

/* Until all is compared, or it is clear how that ends. */
static int compare(const struct sync_params *params, struct comparer *comparer, struct errmsg *err)
{
    for (;;) {
        bool enough =
            comparer->error || comparer->differences.count > 0 || copy_stopped(&params->control);
        const struct copy_side sides[2] = {{params->primary, true}, {params->secondary, true}};
        int r;

        if (!enough)
            comparer_pump(comparer);
        if (comparer_done(comparer) || (enough && comparer_idle(comparer)))
            break;
        r = copy_wait(sides, comparer->error != 0, 0, err);
        if (r < 0 && !comparer->error)
            return r;
    }
    if (!comparer->error && comparer->differences.count == 0 && !comparer_done(comparer))
        return errmsg_set(err, -EINTR, "stopped while comparing %s and %s",
                          params->primary->info.name, params->secondary->info.name);
    return 0;
}

int resume_check_run(const struct sync_params *params, uint64_t seed, bool *ret_differ,
                     struct errmsg *why, struct errmsg *err)
{
    CLEANUP(comparer_free) struct comparer comparer = {0};
    const struct copy_control unlimited = {.queue_depth = params->control.queue_depth,
                                           .stop = params->control.stop};
    uint32_t block_size = params->primary->info.block_size;
    CLEANUP_FREE struct spread *spread = calloc(1, sizeof(*spread));
    int r;

    *ret_differ = false;
    if (!params->done || params->done->count == 0)
        return 0;
    if (!spread)
        return errmsg_set(err, -ENOMEM, "%s", strerror(ENOMEM));
    spread_init(spread, seed, max_u64(SPREAD_SPOT_BYTES / block_size, 1));
    r = endpoint_forget(params->secondary, err);
    if (r == 0)
        r = choose_spots(params, spread, err);
    if (r < 0)
        return r;
    r = comparer_init(&comparer, params->primary, params->secondary, &unlimited);
    if (r == 0)
        r = add_spots(spread, &comparer);
    if (r < 0)
        return errmsg_set(err, r, "cannot set up the buffers: %s", strerror(-r));
    r = compare(params, &comparer, err);
    *ret_differ = r == 0 && (comparer.error || comparer.differences.count > 0);
    if (*ret_differ && comparer.error)
        *why = comparer.message;
    else if (*ret_differ)
        errmsg_set(why, 0, "block %" PRIu64 ", which was copied, now differs from that of %s",
                   comparer.differences.first[0].start, params->primary->info.name);
    return r;
}
