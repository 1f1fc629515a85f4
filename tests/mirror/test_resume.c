/* SPDX-License-Identifier: Apache-2.0 */
/* A copy that dies at any moment, together with everything the secondary had not flushed, and is
 * then resumed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "range_set.h"
#include "sync_fixture.h"

#define BYTES   (BLOCKS * 512)
#define MOMENTS 400

/* What survives a power cut, and what was remembered of it. */
struct survivor {
    uint8_t data[BYTES], status[BLOCKS];              /* flushed */
    uint8_t at_flush[BYTES], at_flush_status[BLOCKS]; /* when the flush in flight was sent */
    struct range_set done;
    unsigned checkpoints;
    unsigned restarts; /* still to come */
    int refuse;        /* -errno: the checkpoint cannot be kept */
};

static void flush_sent(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    struct survivor *survivor = fake->opaque;

    if (request->op != ENDPOINT_FLUSH)
        return;
    memcpy(survivor->at_flush, fake->data, BYTES);
    memcpy(survivor->at_flush_status, fake->status, BLOCKS);
}

static void flush_answered(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    struct survivor *survivor = fake->opaque;

    if (request->op != ENDPOINT_FLUSH || request->result < 0)
        return;
    memcpy(survivor->data, survivor->at_flush, BYTES);
    memcpy(survivor->status, survivor->at_flush_status, BLOCKS);
}

/* Of what was not flushed, some has reached the medium and some has not. */
static void cut_power(struct fake_endpoint *fake)
{
    struct survivor *survivor = fake->opaque;

    for (size_t i = 0; i < BLOCKS; i++) {
        if (random() % 2)
            continue;
        memcpy(fake->data + i * 512, survivor->data + i * 512, 512);
        fake->status[i] = survivor->status[i];
    }
    memcpy(survivor->data, fake->data, BYTES);
    memcpy(survivor->status, fake->status, BLOCKS);
    fake->gone_after = -1;
}

static int remember(void *opaque, const struct range_set *done, struct errmsg *err)
{
    struct survivor *survivor = opaque;

    survivor->checkpoints++;
    if (survivor->refuse)
        return errmsg_set(err, survivor->refuse, "the ledger cannot be kept");
    return range_set_copy(&survivor->done, done);
}

static struct survivor *attach_survivor(struct fixture *fixture)
{
    struct survivor *survivor = calloc(1, sizeof(*survivor));

    assert_non_null(survivor);
    fixture->secondary->opaque = survivor;
    fixture->secondary->on_submit = flush_sent;
    fixture->secondary->on_answer = flush_answered;
    fixture->params.checkpoint = remember;
    fixture->params.checkpoint_opaque = survivor;
    fixture->params.done = &survivor->done;
    return survivor;
}

static void free_survivor(struct survivor *survivor)
{
    range_set_free(&survivor->done);
    free(survivor);
}

static void fill_at_random(struct fake_endpoint *fake, uint8_t seed)
{
    fake_set_status(fake, 0, BLOCKS, EXTENT_DEALLOCATED);
    for (uint64_t at = (uint64_t)random() % 100; at < BLOCKS;) {
        uint64_t length = 1 + (uint64_t)random() % 150;

        fake_fill(fake, at, length < BLOCKS - at ? length : BLOCKS - at, seed);
        at += length + 1 + (uint64_t)random() % 200;
    }
}

static void start_anew(struct fixture *fixture, struct survivor *survivor)
{
    fill_at_random(fixture->primary, 1);
    fill_at_random(fixture->secondary, 99);
    memcpy(survivor->data, fixture->secondary->data, BYTES);
    memcpy(survivor->status, fixture->secondary->status, BLOCKS);
    range_set_free(&survivor->done);
    fixture->secondary->log_count = fixture->primary->log_count = 0;
    fixture->primary->shuffle = fixture->secondary->shuffle = true;
    fixture->primary->answers_per_wait = fixture->secondary->answers_per_wait =
        1 + (unsigned)random() % 4;
    fixture->params.control.queue_depth = 1 + (unsigned)random() % 12;
    fixture->primary->extents_per_map = (unsigned)random() % 5;
    fixture->params.copy_all = random() % 8 == 0;
}

static void a_copy_that_dies_at_any_moment_is_exact_once_resumed(void **state)
{
    struct fixture *fixture = *state;
    struct survivor *survivor = attach_survivor(fixture);
    unsigned died = 0, resumed = 0;

    while (died < MOMENTS) {
        start_anew(fixture, survivor);
        for (;;) {
            struct fake_endpoint *victim = random() % 2 ? fixture->primary : fixture->secondary;
            int r;

            victim->gone_after = (int)(random() % 120);
            r = run(fixture);
            resumed += fixture->result.resumed_bytes > 0;
            victim->gone_after = -1;
            if (r == 0)
                break;
            cut_power(fixture->secondary);
            died++;
        }
        assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
        assert_memory_equal(survivor->data, fixture->primary->data, BYTES);
        assert_int_equal(survivor->done.total, BLOCKS);
    }
    assert_true(resumed > MOMENTS / 10);
    free_survivor(survivor);
}

static void what_was_done_is_neither_read_nor_written_again(void **state)
{
    struct fixture *fixture = *state;
    struct survivor *survivor = attach_survivor(fixture);

    fake_fill(fixture->primary, 0, 1000, 1);
    fake_fill(fixture->secondary, 50, 400, 1);
    fake_fill(fixture->secondary, 2000, 1000, 9);
    assert_int_equal(range_set_add(&survivor->done, 100, 300), 0);
    assert_int_equal(range_set_add(&survivor->done, 2500, 10), 0);
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->primary, ENDPOINT_READ, "0+100 400+600");
    expect_ranges(fixture->secondary, ENDPOINT_WRITE, "0+100 400+600");
    expect_ranges(fixture->secondary, ENDPOINT_ZERO, "2000+500 2510+490");
    assert_int_equal(fixture->result.resumed_bytes, 310 * 512);
    assert_int_equal(fixture->result.to_copy_bytes, 700 * 512);
    assert_int_equal(fixture->result.to_empty_bytes, 990 * 512);
    assert_int_equal(survivor->done.total, BLOCKS);
    free_survivor(survivor);
}

/* Whatever is remembered. */
static void what_is_not_mapped_on_the_secondary_is_never_done(void **state)
{
    struct fixture *fixture = *state;
    struct survivor *survivor = attach_survivor(fixture);

    fake_fill(fixture->primary, 0, 1000, 1);
    fake_fill(fixture->secondary, 0, 1000, 1);
    fake_set_status(fixture->secondary, 150, 50, EXTENT_DEALLOCATED);
    fake_set_status(fixture->secondary, 390, 30, EXTENT_ANCHORED);
    memset(fixture->secondary->data + 150 * 512, 0, 50 * 512);
    memset(fixture->secondary->data + 390 * 512, 0, 30 * 512);
    assert_int_equal(range_set_add(&survivor->done, 0, 400), 0);
    assert_int_equal(range_set_add(&survivor->done, 410, 590), 0);
    fixture->primary->extents_per_map = fixture->secondary->extents_per_map = 1;
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->secondary, ENDPOINT_WRITE, "150+50 390+30");
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
    assert_int_equal(fixture->result.resumed_bytes, 920 * 512);
    /* Up to the end of the job, and from there on. */
    fake_set_status(fixture->secondary, 999, 1, EXTENT_DEALLOCATED);
    fixture->secondary->log_count = 0;
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->secondary, ENDPOINT_WRITE, "999+1");
    free_survivor(survivor);
}

static void a_full_secondary_leaves_what_was_written_remembered(void **state)
{
    struct fixture *fixture = *state;
    struct survivor *survivor = attach_survivor(fixture);

    fake_fill(fixture->primary, 0, BLOCKS, 1);
    fixture->params.checkpoint_seconds = 3600;
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_WRITE, 10, -ENOSPC};
    assert_int_equal(run(fixture), -ENOSPC);
    assert_int_equal(survivor->checkpoints, 1);
    assert_int_equal(survivor->done.total, 640);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, 640));
    free_survivor(survivor);
}

static atomic_bool stop;

static void stop_at_tenth(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    flush_answered(fake, request);
    if (request->op == ENDPOINT_WRITE && fake_count(fake, ENDPOINT_WRITE) >= 10)
        stop = true;
}

static void a_stop_remembers_everything_that_was_written(void **state)
{
    struct fixture *fixture = *state;
    struct survivor *survivor = attach_survivor(fixture);

    stop = false;
    fake_fill(fixture->primary, 0, BLOCKS, 1);
    fixture->params.control = (struct copy_control){.queue_depth = 4, .stop = &stop};
    fixture->params.checkpoint_seconds = 3600;
    fixture->secondary->on_answer = stop_at_tenth;
    assert_int_equal(run(fixture), 0);
    assert_true(fixture->result.interrupted);
    assert_int_equal(survivor->checkpoints, 1);
    assert_int_equal(survivor->done.total * 512, fixture->result.written_bytes);
    stop = false;
    fixture->secondary->on_answer = flush_answered;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.resumed_bytes + fixture->result.written_bytes, BYTES);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
    free_survivor(survivor);
}

static void a_checkpoint_that_cannot_be_kept_ends_the_copy(void **state)
{
    struct fixture *fixture = *state;
    struct survivor *survivor = attach_survivor(fixture);

    survivor->refuse = -EDQUOT;
    fixture->params.control.queue_depth = 2;
    fake_fill(fixture->primary, 0, BLOCKS, 1);
    assert_int_equal(run(fixture), -EDQUOT);
    assert_string_equal(fixture->error.text, "the ledger cannot be kept");
    assert_true(fixture->result.written_bytes < BYTES);
    free_survivor(survivor);
}

/* The secondary is restarted in the midst of a copy: what was not flushed is gone, and the next
 * flush says so. */
static void restart_at_some_flush(struct fake_endpoint *fake,
                                  const struct endpoint_request *request)
{
    struct survivor *survivor = fake->opaque;

    flush_answered(fake, request);
    if (request->op == ENDPOINT_FLUSH && request->result == -ESTALE) {
        fake->fault.error = 0;
        cut_power(fake);
    }
    if (request->op == ENDPOINT_WRITE && survivor->restarts > 0 && random() % 40 == 0) {
        survivor->restarts--;
        fake->fault = (struct fake_fault){ENDPOINT_FLUSH, 0, -ESTALE};
    }
}

static void a_secondary_that_is_restarted_gets_again_what_it_lost(void **state)
{
    struct fixture *fixture = *state;
    struct survivor *survivor = attach_survivor(fixture);
    unsigned rollbacks = 0;

    fixture->secondary->on_answer = restart_at_some_flush;
    for (int round = 0; round < 60; round++) {
        start_anew(fixture, survivor);
        survivor->restarts = 1 + (unsigned)random() % 3;
        fixture->params.checkpoint = round % 2 ? remember : NULL;
        assert_int_equal(run(fixture), 0);
        rollbacks += fixture->result.rollbacks;
        assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
        assert_memory_equal(survivor->data, fixture->primary->data, BYTES);
        fixture->secondary->fault.error = 0;
    }
    assert_true(rollbacks > 20);
    free_survivor(survivor);
}

static void a_secondary_that_forgets_again_and_again_ends_it(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->primary, 0, 64, 1);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_FLUSH, 0, -ESTALE};
    assert_int_equal(run(fixture), -ESTALE);
    assert_true(fixture->result.rollbacks > 0 && fixture->result.rollbacks < 20);
}

static void a_flush_that_fails_remembers_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct survivor *survivor = attach_survivor(fixture);

    fake_fill(fixture->primary, 0, BLOCKS, 1);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_FLUSH, 0, -EIO};
    assert_int_equal(run(fixture), -EIO);
    assert_int_equal(survivor->checkpoints, 0);
    assert_int_equal(survivor->done.total, 0);
    free_survivor(survivor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_copy_that_dies_at_any_moment_is_exact_once_resumed),
        TEST(what_was_done_is_neither_read_nor_written_again),
        TEST(what_is_not_mapped_on_the_secondary_is_never_done),
        TEST(a_full_secondary_leaves_what_was_written_remembered),
        TEST(a_stop_remembers_everything_that_was_written),
        TEST(a_checkpoint_that_cannot_be_kept_ends_the_copy),
        TEST(a_secondary_that_is_restarted_gets_again_what_it_lost),
        TEST(a_secondary_that_forgets_again_and_again_ends_it),
        TEST(a_flush_that_fails_remembers_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
