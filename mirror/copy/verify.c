/* SPDX-License-Identifier: Apache-2.0 */
#include "verify.h"

#include <errno.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"
#include "copy_wait.h"
#include "map_reader.h"
#include "plan.h"
#include "spots.h"

struct verify {
    const struct verify_params *params;
    struct map_pair maps;
    struct comparer comparer;
    struct job_list needed; /* of one window */
    struct job_list jobs;   /* the same with spots of the rest */
    struct spots spots;
    uint64_t block_size;
    uint64_t todo_blocks; /* planned */
    double started;
    double reported;
    int error; /* the first */
    struct errmsg *err;
};

static void fail(struct verify *verify, int error, const char *message)
{
    if (!verify->error)
        verify->error = errmsg_set(verify->err, error, "%s", message);
}

/* From needed to jobs. */
static int add_spots(struct verify *verify, uint64_t start, uint64_t end)
{
    const struct verify_params *params = verify->params;
    bool certain =
        params->primary->info.unmapped_is_certain && params->secondary->info.unmapped_is_certain;
    bool all = !params->only_used || !params->allocated;
    bool spots = params->trust_maps && params->seed != 0 && all && !certain;
    int r = 0;

    verify->jobs.count = 0;
    for (size_t i = 0; i < verify->needed.count && r == 0; i++) {
        const struct job *job = &verify->needed.items[i];

        if (spots)
            r = spots_add(&verify->spots, start, job->lba, &verify->jobs);
        if (r == 0)
            r = job_list_append(&verify->jobs, job->kind, job->lba, job->blocks);
        start = job->lba + job->blocks;
    }
    return r == 0 && spots ? spots_add(&verify->spots, start, end, &verify->jobs) : r;
}

static int plan_next(struct verify *verify, uint64_t end)
{
    const struct endpoint_info *primary = &verify->params->primary->info;
    const struct endpoint_info *secondary = &verify->params->secondary->info;
    const struct plan_params params = {
        .primary_reads_zeros = primary->unmapped_reads_zeros && !verify->params->allocated,
        .primary_is_certain = primary->unmapped_is_certain,
        .secondary_reads_zeros = secondary->unmapped_reads_zeros,
        .secondary_is_certain = secondary->unmapped_is_certain,
        .trust_maps = verify->params->trust_maps,
        .used = verify->params->only_used ? verify->params->allocated : NULL,
    };
    int r;

    verify->needed.count = 0;
    r = plan_verify(&verify->maps.primary.list, &verify->maps.secondary.list, verify->maps.planned,
                    end, &params, &verify->needed);
    if (r == 0)
        r = add_spots(verify, verify->maps.planned, end);
    if (r < 0)
        return r;
    for (size_t i = 0; i < verify->jobs.count; i++)
        verify->todo_blocks += verify->jobs.items[i].blocks;
    map_pair_take(&verify->maps, end);
    return comparer_add(&verify->comparer, &verify->jobs);
}

static void pump(struct verify *verify)
{
    bool begin = !verify->error && !copy_stopped(&verify->params->control);
    uint64_t end;

    if (begin && comparer_hungry(&verify->comparer))
        map_pair_pump(&verify->maps);
    while (begin && !verify->error && comparer_hungry(&verify->comparer) &&
           map_pair_window(&verify->maps, &end)) {
        int r = plan_next(verify, end);

        if (r < 0)
            fail(verify, r, strerror(-r));
        map_pair_pump(&verify->maps);
    }
    if (begin)
        comparer_pump(&verify->comparer);
    if (verify->comparer.error)
        fail(verify, verify->comparer.error, verify->comparer.message.text);
    if (verify->maps.primary.error)
        fail(verify, verify->maps.primary.error, verify->maps.primary.message.text);
    if (verify->maps.secondary.error)
        fail(verify, verify->maps.secondary.error, verify->maps.secondary.message.text);
    if (verify->maps.primary.doubt.text[0] && verify->params->need_map)
        fail(verify, -EOPNOTSUPP, verify->maps.primary.doubt.text);
}

static bool compared_all(const struct verify *verify)
{
    return map_pair_finished(&verify->maps) && comparer_done(&verify->comparer);
}

static bool finished(const struct verify *verify)
{
    if (map_pair_busy(&verify->maps) || !comparer_idle(&verify->comparer))
        return false;
    return verify->error || copy_stopped(&verify->params->control) || compared_all(verify);
}

static void wait_for_progress(struct verify *verify)
{
    const struct copy_side sides[2] = {
        {verify->params->primary,
         verify->comparer.reading_primary > 0 || map_reader_busy(&verify->maps.primary)},
        {verify->params->secondary,
         verify->comparer.reading_secondary > 0 || map_reader_busy(&verify->maps.secondary)},
    };
    struct errmsg message;
    int r = copy_wait(sides, verify->error != 0, comparer_delay(&verify->comparer), &message);

    if (r < 0 && !verify->comparer.error && !verify->maps.primary.error &&
        !verify->maps.secondary.error)
        fail(verify, r, message.text);
}

/* Holes were not read, and a file that was cut short meanwhile has them no more: its map says so.
 */
static int check_end(struct endpoint *endpoint, struct errmsg *err)
{
    CLEANUP(extent_list_free) struct extent_list map = {0};
    struct endpoint_request request = {.op = ENDPOINT_MAP,
                                       .lba = endpoint->info.blocks - 1,
                                       .blocks = 1,
                                       .map = &map};

    if (!endpoint->info.unmapped_is_certain || endpoint_run(endpoint, &request) == 0)
        return 0;
    return errmsg_set(err, request.result,
                      "%s is not what it was when the comparison began; was it made smaller? (%s)",
                      endpoint->info.name, request.error.text);
}

static void check_ends(struct verify *verify)
{
    struct errmsg message;
    int r = check_end(verify->params->primary, &message);

    if (r == 0)
        r = check_end(verify->params->secondary, &message);
    if (r < 0)
        fail(verify, r, message.text);
}

static void report(struct verify *verify, bool force)
{
    const struct copy_status status = {
        .phase = PHASE_VERIFY,
        .lun_bytes = verify->maps.end * verify->block_size,
        .scanned_bytes = verify->maps.planned * verify->block_size,
        .mapped_bytes = verify->maps.mapped_blocks * verify->block_size,
        .todo_bytes = verify->todo_blocks * verify->block_size,
        .done_bytes = verify->comparer.done_blocks * verify->block_size,
        .seconds = copy_now() - verify->started,
    };

    copy_report(&verify->params->control, &status, force, &verify->reported);
}

static void fill_result(const struct verify *verify, struct verify_result *ret)
{
    uint64_t read = verify->comparer.done_blocks, spots = min_u64(verify->spots.blocks, read);

    *ret = (struct verify_result){
        .interrupted = copy_stopped(&verify->params->control) && !compared_all(verify),
        .lun_bytes = verify->maps.end * verify->block_size,
        .compared_bytes = (read - spots) * verify->block_size,
        .spot_bytes = spots * verify->block_size,
        .read_bytes = verify->comparer.read_blocks * verify->block_size,
        .differences = verify->comparer.differences,
        .primary_doubt = verify->maps.primary.doubt,
        .secondary_doubt = verify->maps.secondary.doubt,
        .seconds = copy_now() - verify->started,
    };
}

int verify_run(const struct verify_params *params, struct verify_result *ret, struct errmsg *err)
{
    struct verify verify = {.params = params,
                            .block_size = params->primary->info.block_size,
                            .started = copy_now(),
                            .err = err};
    int r;

    *ret = (struct verify_result){0};
    r = comparer_init(&verify.comparer, params->primary, params->secondary, &params->control);
    if (r < 0)
        return errmsg_set(err, r, "cannot set up the buffers: %s", strerror(-r));
    r = map_pair_init(&verify.maps, params->primary, params->copy_all ? MAP_ALL_MAPPED : MAP_ASK,
                      params->secondary, MAP_ASK);
    if (r < 0) {
        comparer_free(&verify.comparer);
        return errmsg_set(err, r, "%s", strerror(-r));
    }
    map_reader_limit(&verify.maps.primary, params->allocated);
    spots_init(&verify.spots, verify.maps.end, params->primary->info.block_size, params->seed);
    for (pump(&verify); !finished(&verify); pump(&verify)) {
        report(&verify, false);
        wait_for_progress(&verify);
    }
    report(&verify, true);
    if (!verify.error && compared_all(&verify))
        check_ends(&verify);
    fill_result(&verify, ret);
    job_list_free(&verify.needed);
    job_list_free(&verify.jobs);
    map_pair_free(&verify.maps);
    comparer_free(&verify.comparer);
    return verify.error;
}

int verify_find_data(struct endpoint *endpoint, uint64_t first, uint64_t end,
                     const struct copy_control *control, bool *ret_found, uint64_t *ret_lba,
                     struct errmsg *err)
{
    CLEANUP(comparer_free) struct comparer comparer;
    struct job job = {.kind = JOB_EXPECT_ZEROS, .lba = first, .blocks = end - first};
    const struct job_list jobs = {&job, 1, 1};
    double started = copy_now(), reported = 0;
    int r = comparer_init(&comparer, NULL, endpoint, control);

    if (r == 0)
        r = comparer_add(&comparer, &jobs);
    if (r < 0)
        return errmsg_set(err, r, "cannot set up the buffers: %s", strerror(-r));
    *ret_found = false;
    for (;;) {
        const struct copy_side sides[2] = {{endpoint, true}, {NULL, false}};
        bool enough = comparer.error || comparer.differences.count > 0 || copy_stopped(control);
        struct copy_status status = {.phase = PHASE_LOOK, .seconds = copy_now() - started};

        if (!enough)
            comparer_pump(&comparer);
        if (comparer_done(&comparer) || (enough && comparer_idle(&comparer)))
            break;
        status.lun_bytes = status.scanned_bytes = status.mapped_bytes = status.todo_bytes =
            (end - first) * endpoint->info.block_size;
        status.done_bytes = comparer.done_blocks * endpoint->info.block_size;
        copy_report(control, &status, 0, &reported);
        if (!comparer_idle(&comparer) || comparer_delay(&comparer) > 0)
            r = copy_wait(sides, comparer.error, comparer_delay(&comparer), err);
        if (r < 0 && !comparer.error)
            return r;
    }
    if (comparer.error)
        return errmsg_set(err, comparer.error, "%s", comparer.message.text);
    if (comparer.differences.count > 0) {
        *ret_found = true;
        *ret_lba = comparer.differences.first[0].start;
        return 0;
    }
    return comparer_done(&comparer)
               ? 0
               : errmsg_set(err, -EINTR, "stopped while reading %s", endpoint->info.name);
}
