/* SPDX-License-Identifier: Apache-2.0 */
/* The copy engine where it gives up, says less, or is told no at once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "mover.h"
#include "safety.h"
#include "sync_fixture.h"

#define MANY_BAD  40
#define BAD_TOLD  16 /* of them one by one */
#define ROLLBACKS 5

static unsigned warnings;

static void count_warnings(enum log_level level, const char *message)
{
    (void)message;
    warnings += level == LOG_LEVEL_WARNING;
}

static int quiet_setup(void **state)
{
    warnings = 0;
    log_set_sink(count_warnings);
    alarm(60); /* what does not end is no end */
    return setup(state);
}

static int quiet_teardown(void **state)
{
    alarm(0);
    log_set_sink(NULL);
    return teardown(state);
}

static void a_target_that_is_always_restarted_is_given_up(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->primary, 0, 64, 1);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_FLUSH, 0, -ESTALE};
    assert_int_equal(run(fixture), -ESTALE);
    assert_int_equal(fixture->result.rollbacks, ROLLBACKS);
    assert_int_equal(warnings, ROLLBACKS);
    assert_int_equal(fixture->result.written_bytes, (ROLLBACKS + 1) * 64 * 512);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_FLUSH), ROLLBACKS + 1);
}

static void bad_blocks_are_told_one_by_one_up_to_a_number(void **state)
{
    struct fixture *fixture = *state;
    uint64_t bad[MANY_BAD + 1];

    for (unsigned i = 0; i < MANY_BAD; i++)
        bad[i] = 10 + 2 * i;
    bad[MANY_BAD] = UINT64_MAX;
    fake_fill(fixture->primary, 0, 256, 1);
    fixture->primary->bad = bad;
    fixture->params.control.skip_bad = MANY_BAD;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.bad_blocks, MANY_BAD);
    assert_int_equal(warnings, BAD_TOLD);
}

/* Pieces that wait to be read block by block when something else fails. */
static void an_error_while_pieces_are_to_be_read_again_ends_it(void **state)
{
    struct fixture *fixture = *state;
    uint64_t bad[65];

    for (unsigned i = 0; i < 64; i++)
        bad[i] = 64 * i + 5;
    bad[64] = UINT64_MAX;
    for (unsigned skip = 0; skip < 20; skip++) {
        fake_fill(fixture->primary, 0, BLOCKS, 1);
        fixture->primary->bad = bad;
        fixture->primary->answers_per_wait = 2;
        fixture->params.control.skip_bad = 1000;
        fixture->params.control.queue_depth = 16;
        fixture->secondary->fault = (struct fake_fault){ENDPOINT_WRITE, skip, -ENOSPC};
        assert_int_equal(run(fixture), -ENOSPC);
        assert_non_null(strstr(fixture->error.text, "secondary"));
    }
}

/* An endpoint that takes no request of one kind. */
static enum endpoint_op refused;
static const struct endpoint_ops *honest;

static int refuse(struct endpoint *endpoint, struct endpoint_request *request)
{
    return request->op == refused ? -ENOMEM : honest->submit(endpoint, request);
}

static void run_refused(struct fixture *fixture, enum endpoint_op op, const char *says)
{
    struct endpoint *secondary = &fixture->secondary->base;
    struct endpoint_ops ops = *secondary->ops;

    honest = secondary->ops;
    ops.submit = refuse;
    refused = op;
    secondary->ops = &ops;
    fake_fill(fixture->primary, 8, 8, 1);
    assert_int_equal(run(fixture), -ENOMEM);
    secondary->ops = honest;
    if (!strstr(fixture->error.text, says) || !strstr(fixture->error.text, "secondary: "))
        fail_msg("'%s' does not say '%s'", fixture->error.text, says);
}

static void what_is_not_taken_at_all_is_an_error_with_a_sentence(void **state)
{
    struct fixture *fixture = *state;

    run_refused(fixture, ENDPOINT_FLUSH, "cannot flush: Cannot allocate memory");
    run_refused(fixture, ENDPOINT_WRITE, "cannot write block 8: Cannot allocate memory");
    fixture->params.read_back = true;
    run_refused(fixture, ENDPOINT_READ, "cannot be read back at block 8: Cannot allocate memory");
}

static int cannot_forget(struct endpoint *endpoint)
{
    (void)endpoint;
    return -EIO;
}

static void what_cannot_be_dropped_from_the_cache_is_not_read_back(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *secondary = &fixture->secondary->base;
    const struct endpoint_ops *before = secondary->ops;
    struct endpoint_ops ops = *before;

    ops.forget = cannot_forget;
    secondary->ops = &ops;
    fake_fill(fixture->primary, 8, 8, 1);
    fixture->params.read_back = true;
    assert_int_equal(run(fixture), -EIO);
    secondary->ops = before;
    assert_false(fixture->result.complete);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_READ), 0);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_FLUSH), 1);
}

static void the_time_of_all_attempts_is_told(void **state)
{
    struct fixture *fixture = *state;
    double before = copy_now();

    fake_fill(fixture->primary, 0, 64, 1);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_FLUSH, 0, -ESTALE};
    run(fixture);
    assert_true(fixture->result.seconds > 0);
    assert_true(fixture->result.seconds <= copy_now() - before);
}

static void a_secondary_that_goes_while_it_is_looked_at_says_what_it_was_asked(void **state)
{
    struct fixture *fixture = *state;
    const struct copy_control control = {0};
    struct safety_data data;

    fixture->secondary->gone_after = 0;
    assert_int_equal(safety_check_data(&fixture->primary->base, &fixture->secondary->base, 0,
                                       BLOCKS, NULL, &control, &data, &fixture->error),
                     -ENOTCONN);
    assert_non_null(strstr(fixture->error.text, "secondary: op 3 at 0 failed"));
}

static void one_queue_that_is_full_is_enough(void **state)
{
    struct mover mover = {0};

    (void)state;
    assert_true(mover_hungry(&mover));
    mover.copies.count = JOB_QUEUE_ENOUGH;
    assert_false(mover_hungry(&mover));
    mover.copies.count--;
    assert_true(mover_hungry(&mover));
    mover.zeros.count = JOB_QUEUE_ENOUGH;
    assert_false(mover_hungry(&mover));
    mover.copies.count = 0;
    assert_false(mover_hungry(&mover));
}

#undef TEST
#define TEST(function) cmocka_unit_test_setup_teardown(function, quiet_setup, quiet_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_target_that_is_always_restarted_is_given_up),
        TEST(bad_blocks_are_told_one_by_one_up_to_a_number),
        TEST(an_error_while_pieces_are_to_be_read_again_ends_it),
        TEST(what_is_not_taken_at_all_is_an_error_with_a_sentence),
        TEST(what_cannot_be_dropped_from_the_cache_is_not_read_back),
        TEST(the_time_of_all_attempts_is_told),
        TEST(one_queue_that_is_full_is_enough),
        TEST(a_secondary_that_goes_while_it_is_looked_at_says_what_it_was_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
