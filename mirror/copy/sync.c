/* SPDX-License-Identifier: Apache-2.0 */
#include "sync.h"

#include <errno.h>
#include <string.h>

#include "assumed_zeros.h"
#include "checked.h"
#include "checkpoint.h"
#include "cleanup.h"
#include "copy_wait.h"
#include "log.h"
#include "map_reader.h"
#include "mover.h"
#include "plan.h"
#include "readback.h"
#include "sample.h"

/* A target that is restarted so often before the next checkpoint is not worth the trouble. */
#define MAX_ROLLBACKS 5

struct sync {
    const struct sync_params *params;
    struct map_pair maps;
    struct mover mover;
    struct readback readback; /* with params->read_back */
    bool assume;              /* zeros on the secondary, and look at the end */
    struct assumed_zeros assumed;
    struct block_set assumed_set; /* without params->assumed */
    struct checkpoint checkpoint;
    struct job_list jobs; /* of one window */
    uint64_t block_size;
    uint64_t copy_blocks;  /* planned */
    uint64_t empty_blocks; /* planned */
    uint64_t resumed_blocks;
    double started;
    double reported;
    bool settled; /* see struct sync_result */
    int error;    /* the first */
    struct errmsg *err;
};

static void fail(struct sync *sync, int error, const char *message)
{
    if (!sync->error)
        sync->error = errmsg_set(sync->err, error, "%s", message);
}

/* Zeros that nothing promises, whatever an earlier run has seen. */
static int assume(struct sync *sync, const struct job *job)
{
    if (job->kind == JOB_COPY)
        return assumed_remove(&sync->assumed, job->lba, job->blocks);
    return assumed_add(&sync->assumed, job->lba, job->blocks);
}

/* The first stretch of [from, end) that the secondary's own map calls not mapped. */
static bool find_unmapped(const struct sync *sync, uint64_t from, uint64_t end, struct range *ret)
{
    const struct extent_list *list = &sync->maps.secondary.list;
    const struct extent *at = from < end ? extent_list_find(list, from) : NULL;

    for (; at && at < list->items + list->count && at->start < end; at++) {
        if (at->status == EXTENT_MAPPED)
            continue;
        *ret = (struct range){max_u64(at->start, from), min_u64(at->start + at->length, end)};
        return true;
    }
    return false;
}

/* The next stretch of the job from block from on that an earlier run has not done. What is to be
 * copied and is not mapped on the secondary is not done there, whatever is remembered. */
static bool find_left(const struct sync *sync, const struct job *job, uint64_t from,
                      struct range *ret)
{
    uint64_t end = job->lba + job->blocks;
    struct range unmapped;
    bool found = range_set_gap(sync->params->done, from, end, ret);

    if (!sync->params->done || job->kind != JOB_COPY ||
        !find_unmapped(sync, from, found ? ret->start : end, &unmapped))
        return found;
    *ret = unmapped;
    return true;
}

/* What is left of a job after an earlier run goes to the mover. */
static int add_job(struct sync *sync, const struct job *job)
{
    uint64_t at = job->lba, left = 0;
    struct range gap;

    if (sync->assume && !sync->params->dry_run && assume(sync, job) < 0)
        return -ENOMEM;
    if (sync->assume && job->kind == JOB_ZERO)
        return 0;
    while (find_left(sync, job, at, &gap)) {
        struct job part = {job->kind, gap.start, gap.end - gap.start,
                           gap.start == job->lba ? job->zeros_before : 0};
        struct job_list one = {&part, 1, 1};
        int r = sync->params->dry_run ? 0 : mover_add(&sync->mover, &one);

        if (r < 0)
            return r;
        if (job->kind == JOB_COPY && sync->params->sample)
            sample_add(sync->params->sample, part.lba, part.blocks);
        left += part.blocks;
        at = gap.end;
    }
    *(job->kind == JOB_COPY ? &sync->copy_blocks : &sync->empty_blocks) += left;
    sync->resumed_blocks += job->blocks - left;
    return 0;
}

/* Blocks that no job is about are as they should be already. */
static void note_idle(struct sync *sync, uint64_t start, uint64_t end)
{
    for (size_t i = 0; i < sync->jobs.count; i++) {
        const struct job *job = &sync->jobs.items[i];

        checkpoint_add(&sync->checkpoint, start, job->lba - start);
        start = job->lba + job->blocks;
    }
    checkpoint_add(&sync->checkpoint, start, end - start);
}

static int plan_next(struct sync *sync, uint64_t end)
{
    const struct endpoint_info *secondary = &sync->params->secondary->info;
    const struct plan_params params = {
        .secondary_reads_zeros = secondary->unmapped_reads_zeros,
        .secondary_can_unmap = secondary->can_unmap,
        .used = sync->params->keep_free ? sync->params->allocated : NULL,
        .primary_reads_zeros =
            sync->params->primary->info.unmapped_reads_zeros && !sync->params->allocated,
        .granularity_blocks = secondary->unmap_granularity_blocks,
        .alignment_blocks = secondary->unmap_alignment_blocks,
    };
    int r;

    sync->jobs.count = 0;
    r = plan_window(&sync->maps.primary.list, &sync->maps.secondary.list, sync->maps.planned, end,
                    &params, &sync->jobs);
    if (r < 0)
        return r;
    note_idle(sync, sync->maps.planned, end);
    for (size_t i = 0; r == 0 && i < sync->jobs.count; i++)
        r = add_job(sync, &sync->jobs.items[i]);
    map_pair_take(&sync->maps, end);
    return r;
}

static void take_errors(struct sync *sync)
{
    if (sync->mover.error)
        fail(sync, sync->mover.error, sync->mover.message.text);
    if (sync->checkpoint.error)
        fail(sync, sync->checkpoint.error, sync->checkpoint.message.text);
    if (sync->readback.error)
        fail(sync, sync->readback.error, sync->readback.message.text);
    if (sync->assumed.error)
        fail(sync, sync->assumed.error, sync->assumed.message.text);
    if (sync->maps.primary.error)
        fail(sync, sync->maps.primary.error, sync->maps.primary.message.text);
    if (sync->maps.secondary.error)
        fail(sync, sync->maps.secondary.error, sync->maps.secondary.message.text);
    if (sync->maps.primary.doubt.text[0] && sync->params->need_map)
        fail(sync, -EOPNOTSUPP, sync->maps.primary.doubt.text);
}

static bool moved_all(const struct sync *sync)
{
    return map_pair_finished(&sync->maps) && mover_done(&sync->mover);
}

/* And what was taken to be zeros is. */
static bool all_done(const struct sync *sync)
{
    return moved_all(sync) && readback_done(&sync->readback) &&
           (!sync->assume || sync->params->dry_run || assumed_done(&sync->assumed));
}

/* Everything that was begun has come to its end, but for what is read back or looked at again. */
static bool is_quiet(const struct sync *sync)
{
    return !map_pair_busy(&sync->maps) && mover_idle(&sync->mover) && !sync->checkpoint.busy;
}

/* Everything that can go on without waiting. */
static void pump(struct sync *sync)
{
    bool go_on = !sync->error && !copy_stopped(&sync->params->control);
    bool read_back = sync->params->read_back && readback_due(&sync->readback, moved_all(sync));
    bool begin = go_on && !read_back;
    bool look = begin && !all_done(sync) && moved_all(sync);
    uint64_t end;

    if (begin && mover_hungry(&sync->mover))
        map_pair_pump(&sync->maps);
    while (begin && !sync->error && mover_hungry(&sync->mover) &&
           map_pair_window(&sync->maps, &end)) {
        int r = plan_next(sync, end);

        if (r < 0)
            fail(sync, r, strerror(-r));
        map_pair_pump(&sync->maps);
    }
    mover_pump(&sync->mover, begin);
    if (begin && !sync->error)
        checkpoint_pump(&sync->checkpoint);
    if (go_on && read_back && is_quiet(sync))
        readback_pump(&sync->readback);
    if (look && is_quiet(sync) && readback_done(&sync->readback))
        assumed_pump(&sync->assumed);
    take_errors(sync);
}

static bool finished(const struct sync *sync)
{
    if (!is_quiet(sync) || !readback_idle(&sync->readback) || !assumed_idle(&sync->assumed))
        return false;
    return sync->error || copy_stopped(&sync->params->control) || all_done(sync);
}

static void wait_for_progress(struct sync *sync)
{
    const struct copy_side sides[2] = {
        {sync->params->primary,
         sync->mover.reading.requests > 0 || map_reader_busy(&sync->maps.primary)},
        {sync->params->secondary, sync->mover.writing.requests > 0 ||
                                      map_reader_busy(&sync->maps.secondary) ||
                                      sync->checkpoint.busy || !readback_idle(&sync->readback) ||
                                      !assumed_idle(&sync->assumed)},
    };
    struct errmsg message;
    int r = copy_wait(sides, sync->error != 0, mover_delay(&sync->mover), &message);

    /* A dead endpoint has failed its requests, whose sentences say more than this one. */
    if (r < 0 && !sync->mover.error && !sync->maps.primary.error && !sync->maps.secondary.error)
        fail(sync, r, message.text);
}

static void report(struct sync *sync, bool force)
{
    uint64_t written =
        sync->params->read_back ? sync->readback.read_bytes : sync->mover.written_bytes;
    const struct copy_status status = {
        .phase = sync->params->dry_run ? PHASE_PLAN : PHASE_SYNC,
        .lun_bytes = sync->maps.end * sync->block_size,
        .scanned_bytes = sync->maps.planned * sync->block_size,
        .mapped_bytes = sync->copy_blocks * sync->block_size,
        .todo_bytes = sync->copy_blocks * sync->block_size,
        .done_bytes = written + sync->mover.detected_bytes,
        .seconds = copy_now() - sync->started,
    };

    copy_report(&sync->params->control, &status, force, &sync->reported);
}

/* The last flush may take minutes. Nothing but its own end ends it, for only then is it known what
 * is durable; the primary is served meanwhile, but not needed. */
static void wait_for_flush(struct sync *sync)
{
    const struct copy_side sides[2] = {{sync->params->primary, false},
                                       {sync->params->secondary, true}};
    bool alone = sync->error != 0;
    struct errmsg ignored;

    while (sync->checkpoint.busy) {
        report(sync, false);
        alone = copy_wait(sides, alone, 0, &ignored) < 0 || alone;
    }
}

/* After an error what was done all the same is worth keeping, if it can be made durable; the error
 * is still the first one. What a flush has failed at is told once, so another one proves nothing.
 */
static void finish(struct sync *sync)
{
    if (sync->params->dry_run)
        return;
    if (sync->error && (!sync->params->checkpoint || sync->checkpoint.error ||
                        sync->readback.flush_failed || sync->assumed.flush_failed))
        return;
    checkpoint_finish(&sync->checkpoint);
    wait_for_flush(sync);
    if (sync->checkpoint.error)
        fail(sync, sync->checkpoint.error, sync->checkpoint.message.text);
    sync->settled = !sync->checkpoint.error;
}

static void fill_result(struct sync *sync, struct sync_result *ret)
{
    uint64_t block_size = sync->block_size;
    bool at_the_end = all_done(sync);

    *ret = (struct sync_result){
        .interrupted = copy_stopped(&sync->params->control) && !at_the_end,
        .complete = at_the_end && !sync->error,
        .settled = sync->settled,
        .lun_bytes = sync->maps.end * block_size,
        .mapped_bytes = sync->maps.mapped_blocks * block_size,
        .extents = sync->maps.extents,
        .read_bytes = sync->mover.read_bytes,
        .gap_bytes = sync->mover.gap_bytes,
        .written_bytes = sync->mover.written_bytes,
        .unmapped_bytes = sync->mover.unmapped_bytes,
        .zeroed_bytes = sync->mover.zeroed_bytes + sync->assumed.zeroed_blocks * block_size,
        .detected_bytes = sync->mover.detected_bytes,
        .read_back_bytes = sync->readback.read_bytes,
        .differences = sync->readback.differences,
        .unreadable = sync->mover.unreadable && sync->error == sync->mover.error,
        .bad_blocks = sync->mover.bad_blocks,
        .first_bad = sync->mover.first_bad,
        .resumed_bytes = sync->resumed_blocks * block_size,
        .to_copy_bytes = sync->copy_blocks * block_size,
        .to_empty_bytes = sync->empty_blocks * block_size,
        .primary_doubt = sync->maps.primary.doubt,
        .secondary_doubt = sync->maps.secondary.doubt,
        .seconds = copy_now() - sync->started,
    };
}

/* Whether zeros are written only where there are none: to write them everywhere would cost a thin
 * secondary its storage, or one that was seen to be empty the time. Not where they can be had by
 * deallocating, or are known from a map that promises them; nor on a LUN so large that a set of its
 * blocks cannot tell each block. */
static bool may_assume(const struct sync_params *params, const struct block_set *set)
{
    const struct endpoint_info *info = &params->secondary->info;

    return !info->can_unmap && !(info->can_map && info->unmapped_reads_zeros) &&
           set->unit_shift == 0 && (info->thin || params->secondary_is_zero);
}

static int set_up_assumed(struct sync *sync)
{
    const struct sync_params *params = sync->params;
    struct block_set *set = params->assumed ? params->assumed : &sync->assumed_set;

    block_set_init(&sync->assumed_set, params->primary->info.blocks);
    sync->assume = may_assume(params, set);
    return sync->assume ? assumed_init(&sync->assumed, params->secondary, &params->control, set)
                        : 0;
}

static int set_up(struct sync *sync)
{
    const struct sync_params *params = sync->params;
    int r = checkpoint_init(&sync->checkpoint, params);

    if (r == 0)
        r = mover_init(&sync->mover, params->primary, params->secondary, &params->control,
                       &sync->checkpoint);
    if (r == 0 && params->read_back) {
        r = readback_init(&sync->readback, params->secondary, &params->control,
                          sync->mover.chunk_blocks, &sync->checkpoint);
        sync->mover.readback = &sync->readback;
    }
    if (r == 0)
        r = set_up_assumed(sync);
    if (r == 0)
        r = map_pair_init(&sync->maps, params->primary, params->copy_all ? MAP_ALL_MAPPED : MAP_ASK,
                          params->secondary,
                          params->secondary->info.can_map ? MAP_ASK : MAP_ALL_MAPPED);
    return r < 0 ? errmsg_set(sync->err, r, "cannot set up the copy: %s", strerror(-r)) : 0;
}

static void tear_down(struct sync *sync)
{
    job_list_free(&sync->jobs);
    map_pair_free(&sync->maps);
    mover_free(&sync->mover);
    readback_free(&sync->readback);
    assumed_free(&sync->assumed);
    block_set_free(&sync->assumed_set);
    checkpoint_free(&sync->checkpoint);
}

/* From params->done to the end, or to where it breaks off; durable becomes what is flushed then. */
static int run_once(const struct sync_params *params, struct sync_result *ret,
                    struct range_set *durable, struct errmsg *err)
{
    struct sync sync = {.params = params,
                        .block_size = params->primary->info.block_size,
                        .started = copy_now(),
                        .err = err};
    struct range_set before = *durable;

    sync.error = set_up(&sync);
    if (sync.error < 0) {
        tear_down(&sync);
        return sync.error;
    }
    map_reader_limit(&sync.maps.primary, params->allocated);
    for (pump(&sync); !finished(&sync); pump(&sync)) {
        report(&sync, false);
        wait_for_progress(&sync);
    }
    report(&sync, true);
    finish(&sync);
    fill_result(&sync, ret);
    *durable = sync.checkpoint.flushed;
    sync.checkpoint.flushed = before;
    tear_down(&sync);
    return sync.error;
}

/* What was moved in all attempts; the rest is as the last one saw it. */
static void add_result(struct sync_result *sum, const struct sync_result *last)
{
    struct sync_result before = *sum;

    *sum = *last;
    sum->read_bytes += before.read_bytes;
    sum->gap_bytes += before.gap_bytes;
    sum->written_bytes += before.written_bytes;
    sum->unmapped_bytes += before.unmapped_bytes;
    sum->zeroed_bytes += before.zeroed_bytes;
    sum->detected_bytes += before.detected_bytes;
    sum->read_back_bytes += before.read_back_bytes;
    sum->seconds += before.seconds;
    sum->rollbacks = before.rollbacks;
    if (before.rollbacks > 0)
        sum->resumed_bytes = before.resumed_bytes;
}

int sync_run(const struct sync_params *params, struct sync_result *ret, struct errmsg *err)
{
    struct sync_params attempt = *params;
    CLEANUP(range_set_free) struct range_set durable = {0};
    CLEANUP(range_set_free) struct range_set begun = {0};
    unsigned in_vain = 0;

    *ret = (struct sync_result){0};
    for (;;) {
        struct sync_result last = {0};
        uint64_t before = attempt.done ? attempt.done->total : 0;
        int r = run_once(&attempt, &last, &durable, err);

        add_result(ret, &last);
        if (r != -ESTALE)
            return r;
        ret->interrupted = copy_stopped(&params->control);
        in_vain = durable.total > before ? 0 : in_vain + 1;
        if (ret->interrupted || in_vain > MAX_ROLLBACKS)
            return ret->interrupted ? 0 : r;
        log_warning("%s; it is written again", err->text);
        ret->rollbacks++;
        r = range_set_copy(&begun, &durable);
        if (r < 0)
            return errmsg_set(err, r, "%s", strerror(-r));
        attempt.done = &begun;
    }
}
