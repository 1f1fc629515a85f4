/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "cleanup.h"
#include "fuzz.h"
#include "plan.h"

/* The plan against one decided block by block. */

enum { WINDOW_MAX = 64 };

static enum extent_status status_at(const struct extent_list *map, uint64_t block)
{
    const struct extent *extent = extent_list_find(map, block);

    FUZZ_CHECK(extent);
    return extent->status;
}

/* Extents of 1 to 16 blocks until the window is covered, beginning up to 3 blocks before it. */
static void make_map(struct fuzz_input *input, uint64_t start, uint64_t end,
                     struct extent_list *map)
{
    uint64_t at = start - (start < 3 ? start : fuzz_byte(input) % 4);

    while (at < end) {
        uint8_t choice = fuzz_byte(input);
        uint64_t length = 1 + (choice & 0x0F);

        FUZZ_CHECK(extent_list_append(map, at, length, (enum extent_status)((choice >> 4) % 3)) ==
                   0);
        at += length;
    }
}

/* 'c', 'z' or '-': what must be done about a block. */
static char wanted(const struct extent_list *primary, const struct extent_list *secondary,
                   const struct plan_params *params, uint64_t block)
{
    enum extent_status there;

    if (status_at(primary, block) == EXTENT_MAPPED)
        return 'c';
    if (!secondary || !params->secondary_reads_zeros)
        return 'z';
    there = status_at(secondary, block);
    if (there == EXTENT_MAPPED)
        return 'z';
    return there == EXTENT_ANCHORED && params->secondary_can_unmap ? 'z' : '-';
}

static uint64_t unit_of(const struct plan_params *params, uint64_t block)
{
    uint64_t unit = params->granularity_blocks;

    return (block + unit - params->alignment_blocks % unit) / unit;
}

/* Zeros that may be written before the job: promised on both sides, and in a unit with a neighbour.
 */
static void check_zeros_before(const struct job *job, const struct extent_list *primary,
                               const struct extent_list *secondary,
                               const struct plan_params *params)
{
    uint64_t start = job->lba - job->zeros_before;
    bool with_last = true, with_next = true;

    if (job->zeros_before == 0)
        return;
    FUZZ_CHECK(job->kind == JOB_COPY && job[-1].kind == JOB_COPY);
    FUZZ_CHECK(job[-1].lba + job[-1].blocks == start && secondary);
    FUZZ_CHECK(params->primary_reads_zeros && params->secondary_reads_zeros);
    for (uint64_t block = start; block < job->lba; block++) {
        FUZZ_CHECK(status_at(primary, block) != EXTENT_MAPPED);
        FUZZ_CHECK(status_at(secondary, block) == EXTENT_DEALLOCATED);
        with_last = with_last && unit_of(params, block) == unit_of(params, start - 1);
        with_next = with_next && unit_of(params, block) == unit_of(params, job->lba);
    }
    FUZZ_CHECK(with_last || with_next);
}

static void check_jobs(const struct job_list *jobs, uint64_t start, uint64_t end,
                       const struct extent_list *primary, const struct extent_list *secondary,
                       const struct plan_params *params)
{
    char planned[WINDOW_MAX];
    uint64_t at = start;

    memset(planned, '-', sizeof(planned));
    for (size_t i = 0; i < jobs->count; i++) {
        const struct job *job = &jobs->items[i];
        char kind = job->kind == JOB_COPY ? 'c' : 'z';

        FUZZ_CHECK(job->lba >= at && job->blocks > 0 && job->blocks <= end - job->lba);
        FUZZ_CHECK(i == 0 || job->lba > at || job->kind != jobs->items[i - 1].kind);
        check_zeros_before(job, primary, secondary, params);
        memset(planned + (job->lba - start), kind, job->blocks);
        at = job->lba + job->blocks;
    }
    for (uint64_t block = start; block < end; block++)
        FUZZ_CHECK(planned[block - start] == wanted(primary, secondary, params, block));
}

/* A side that is not read must be known to be zeros: no block can differ unseen. */
static void check_comparison(uint64_t start, uint64_t end, const struct extent_list *primary,
                             const struct extent_list *secondary, struct plan_params params,
                             uint8_t flags)
{
    CLEANUP(job_list_free) struct job_list jobs = {0};
    bool read_here[WINDOW_MAX] = {false}, read_there[WINDOW_MAX] = {false};

    params.primary_is_certain = params.primary_reads_zeros && (flags & 16);
    params.secondary_is_certain = params.secondary_reads_zeros && (flags & 32);
    FUZZ_CHECK(plan_verify(primary, secondary, start, end, &params, &jobs) == 0);
    for (size_t i = 0; i < jobs.count; i++) {
        const struct job *job = &jobs.items[i];

        for (uint64_t at = job->lba - start; at < job->lba + job->blocks - start; at++) {
            FUZZ_CHECK(!read_here[at] && !read_there[at]);
            read_here[at] = job->kind != JOB_EXPECT_ZEROS;
            read_there[at] = job->kind != JOB_EXPECT_PRIMARY_ZEROS;
        }
    }
    for (uint64_t block = start; block < end; block++) {
        bool here = status_at(primary, block) != EXTENT_MAPPED;
        bool there = secondary && status_at(secondary, block) != EXTENT_MAPPED;

        FUZZ_CHECK(read_here[block - start] ||
                   (here && (!params.primary_reads_zeros || params.primary_is_certain)));
        FUZZ_CHECK(read_there[block - start] || (there && params.secondary_is_certain));
    }
}

/* Input: flags, start (2 bytes), length of the window, the maps. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t flags = fuzz_byte(&input);
    struct plan_params params = {.secondary_reads_zeros = flags & 1,
                                 .secondary_can_unmap = flags & 2,
                                 .primary_reads_zeros = flags & 8,
                                 .granularity_blocks = flags >> 4,
                                 .alignment_blocks = flags >> 6};
    uint64_t start = fuzz_number(&input, 2);
    uint64_t end = start + 1 + fuzz_byte(&input) % WINDOW_MAX;
    CLEANUP(extent_list_free) struct extent_list primary = {0};
    CLEANUP(extent_list_free) struct extent_list secondary = {0};
    struct extent_list *known = flags & 4 ? NULL : &secondary;
    struct job_list jobs = {0};

    make_map(&input, start, end, &primary);
    make_map(&input, start, end, &secondary);
    FUZZ_CHECK(plan_window(&primary, known, start, end, &params, &jobs) == 0);
    check_jobs(&jobs, start, end, &primary, known, &params);
    job_list_free(&jobs);
    check_comparison(start, end, &primary, known, params, flags);

    jobs = (struct job_list){0};
    FUZZ_CHECK(plan_window(&primary, known, start, extent_list_end(&primary) + 1, &params, &jobs) ==
               -EINVAL);
    job_list_free(&jobs);
    return 0;
}
