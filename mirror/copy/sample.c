/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

#include <errno.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"
#include "comparer.h"
#include "copy_wait.h"

static uint64_t stretch_blocks(const struct sample *sample)
{
    return max_u64(SAMPLE_STRETCH_BYTES / sample->block_size, 1);
}

/* Every other stretch goes. */
static void thin_out(struct sample *sample)
{
    size_t kept = 0;

    sample->distance_blocks *= 2;
    sample->blocks = 0;
    for (size_t i = 0; i < sample->count; i++) {
        const struct sample_range *range = &sample->ranges[i];

        if (range->position % sample->distance_blocks >= stretch_blocks(sample))
            continue;
        sample->blocks += range->blocks;
        sample->ranges[kept++] = *range;
    }
    sample->count = kept;
}

void sample_add(struct sample *sample, uint64_t lba, uint64_t blocks)
{
    uint64_t stretch = stretch_blocks(sample), at = 0;

    if (sample->distance_blocks == 0)
        sample->distance_blocks = stretch;
    while (at < blocks) {
        uint64_t position = sample->total_blocks + at;
        uint64_t inside = position % sample->distance_blocks, length;

        if (inside >= stretch) {
            at += sample->distance_blocks - inside;
            continue;
        }
        if (sample->count == SAMPLE_RANGES ||
            sample->blocks * sample->block_size >= SAMPLE_MOST_BYTES) {
            thin_out(sample);
            continue;
        }
        length = min_u64(stretch - inside, blocks - at);
        sample->ranges[sample->count++] = (struct sample_range){position, lba + at, length};
        sample->blocks += length;
        at += length;
    }
    sample->total_blocks += blocks;
}

static int take_ranges(const struct sample *sample, struct comparer *comparer)
{
    int r = 0;

    for (size_t i = 0; i < sample->count && r == 0; i++) {
        /* What is found there does not matter, only that it is read. */
        struct job job = {.kind = JOB_EXPECT_ZEROS,
                          .lba = sample->ranges[i].lba,
                          .blocks = sample->ranges[i].blocks};
        const struct job_list one = {&job, 1, 1};

        r = comparer_add(comparer, &one);
    }
    return r;
}

int sample_read(const struct sample *sample, struct endpoint *endpoint,
                const struct copy_control *control, struct sample_result *ret, struct errmsg *err)
{
    CLEANUP(comparer_free) struct comparer comparer = {0};
    const struct copy_control unlimited = {.queue_depth = control->queue_depth,
                                           .stop = control->stop};
    const struct copy_side sides[2] = {{endpoint, true}, {NULL, false}};
    double began = copy_now();
    int r = comparer_init(&comparer, NULL, endpoint, &unlimited);

    *ret = (struct sample_result){0};
    if (r == 0)
        r = take_ranges(sample, &comparer);
    if (r < 0)
        return errmsg_set(err, r, "cannot set up the buffers: %s", strerror(-r));
    for (;;) {
        bool enough =
            comparer.error || copy_stopped(control) || copy_now() - began >= SAMPLE_SECONDS;

        if (!enough)
            comparer_pump(&comparer);
        if (comparer_done(&comparer) || (enough && comparer_idle(&comparer)))
            break;
        r = copy_wait(sides, comparer.error != 0, 0, err);
        if (r < 0 && !comparer.error)
            return r;
    }
    if (comparer.error)
        return errmsg_set(err, comparer.error, "%s", comparer.message.text);
    ret->bytes = comparer.done_blocks * sample->block_size;
    ret->seconds = copy_now() - began;
    return 0;
}
