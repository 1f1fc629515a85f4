/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include <errno.h>
#include <stdlib.h>

#include "checked.h"
#include "join.h"

int job_list_append(struct job_list *jobs, enum job_kind kind, uint64_t lba, uint64_t blocks)
{
    if (jobs->count > 0) {
        struct job *last = &jobs->items[jobs->count - 1];

        if (last->kind == kind && last->lba + last->blocks == lba) {
            last->blocks += blocks;
            return 0;
        }
    }
    if (jobs->count == jobs->capacity) {
        size_t capacity = jobs->capacity ? jobs->capacity * 2 : 16;
        struct job *items = reallocarray(jobs->items, capacity, sizeof(*items));

        if (!items)
            return -ENOMEM;
        jobs->items = items;
        jobs->capacity = capacity;
    }
    jobs->items[jobs->count++] = (struct job){.kind = kind, .lba = lba, .blocks = blocks};
    return 0;
}

void job_list_free(struct job_list *jobs)
{
    free(jobs->items);
    *jobs = (struct job_list){0};
}

/* A walk along one map. An unknown map is mapped everywhere: nothing may be taken for granted. */
struct walk {
    const struct extent *at;
    const struct extent *stop;
};

static int walk_start(struct walk *walk, const struct extent_list *map, uint64_t start)
{
    *walk = (struct walk){0};
    if (!map)
        return 0;
    walk->at = extent_list_find(map, start);
    walk->stop = map->items + map->count;
    return walk->at ? 0 : -EINVAL;
}

/* What holds from lba on, and up to where (limit at most). */
static int walk_look(struct walk *walk, uint64_t lba, uint64_t limit,
                     enum extent_status *ret_status, uint64_t *ret_end)
{
    *ret_status = EXTENT_MAPPED;
    *ret_end = limit;
    if (!walk->at)
        return 0;
    if (lba - walk->at->start == walk->at->length)
        walk->at++;
    if (walk->at == walk->stop || walk->at->start > lba)
        return -EINVAL;
    *ret_status = walk->at->status;
    *ret_end = min_u64(limit, walk->at->start + walk->at->length);
    return 0;
}

/* What must be done about a block of which this is known. False: nothing. */
typedef bool choose(enum extent_status primary, enum extent_status secondary,
                    const struct plan_params *params, enum job_kind *ret);

static bool choose_sync(enum extent_status primary, enum extent_status secondary,
                        const struct plan_params *params, enum job_kind *ret)
{
    *ret = primary == EXTENT_MAPPED ? JOB_COPY : JOB_ZERO;
    if (*ret == JOB_COPY || secondary == EXTENT_MAPPED || !params->secondary_reads_zeros)
        return true;
    return secondary == EXTENT_ANCHORED && params->secondary_can_unmap;
}

static bool choose_verify(enum extent_status primary, enum extent_status secondary,
                          const struct plan_params *params, enum job_kind *ret)
{
    bool here = primary != EXTENT_MAPPED, there = secondary != EXTENT_MAPPED;
    bool here_known = here && (!params->primary_reads_zeros || params->primary_is_certain);
    bool there_known = there && params->secondary_is_certain;

    *ret = here_known ? JOB_EXPECT_ZEROS : there_known ? JOB_EXPECT_PRIMARY_ZEROS : JOB_COMPARE;
    if (here_known && there_known)
        return false;
    return !(here && there && params->trust_maps && params->secondary_reads_zeros);
}

/* Whether blocks from lba on matter, and up to where that is so (*end at most). */
static bool matters(enum extent_status primary, const struct plan_params *params, uint64_t lba,
                    uint64_t *end)
{
    bool used;

    if (primary == EXTENT_MAPPED || !params->used)
        return true;
    *end = block_set_find(params->used, lba, *end, &used);
    return used;
}

/* Zeros on both sides, by their promises. */
static bool is_zero_gap(enum extent_status primary, enum extent_status secondary,
                        const struct plan_params *params)
{
    return primary != EXTENT_MAPPED && params->primary_reads_zeros &&
           secondary == EXTENT_DEALLOCATED && params->secondary_reads_zeros;
}

/* The last job was appended just now; zeros: that number of blocks before it are zeros on both
 * sides. */
static void note_zeros_before(struct job_list *jobs, uint64_t zeros,
                              const struct plan_params *params)
{
    struct job *job = &jobs->items[jobs->count - 1];

    if (jobs->count > 1 && zeros > 0 && params->granularity_blocks > 1 && job->kind == JOB_COPY &&
        job[-1].kind == JOB_COPY && job[-1].lba + job[-1].blocks == job->lba - zeros &&
        join_costs_nothing(job->lba - zeros, job->lba, params->granularity_blocks,
                           params->alignment_blocks))
        job->zeros_before = zeros;
}

static int plan(const struct extent_list *primary, const struct extent_list *secondary,
                uint64_t start, uint64_t end, const struct plan_params *params, choose *chooser,
                struct job_list *jobs)
{
    struct walk source, target;
    uint64_t zeros = 0;

    if (start >= end)
        return start == end ? 0 : -EINVAL;
    if (walk_start(&source, primary, start) < 0 || walk_start(&target, secondary, start) < 0)
        return -EINVAL;
    for (uint64_t lba = start; lba < end;) {
        enum extent_status here, there;
        enum job_kind kind;
        uint64_t here_end, there_end, next;
        size_t count = jobs->count;
        int r = 0;

        if (walk_look(&source, lba, end, &here, &here_end) < 0 ||
            walk_look(&target, lba, end, &there, &there_end) < 0)
            return -EINVAL;
        next = min_u64(here_end, there_end);
        if (matters(here, params, lba, &next) && chooser(here, there, params, &kind))
            r = job_list_append(jobs, kind, lba, next - lba);
        if (r < 0)
            return r;
        if (jobs->count > count)
            note_zeros_before(jobs, zeros, params);
        zeros = is_zero_gap(here, there, params) ? zeros + next - lba : 0;
        lba = next;
    }
    return 0;
}

int plan_window(const struct extent_list *primary, const struct extent_list *secondary,
                uint64_t start, uint64_t end, const struct plan_params *params,
                struct job_list *jobs)
{
    return plan(primary, secondary, start, end, params, choose_sync, jobs);
}

int plan_verify(const struct extent_list *primary, const struct extent_list *secondary,
                uint64_t start, uint64_t end, const struct plan_params *params,
                struct job_list *jobs)
{
    return plan(primary, secondary, start, end, params, choose_verify, jobs);
}
