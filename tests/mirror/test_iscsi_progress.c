/* SPDX-License-Identifier: Apache-2.0 */

/* How long an iSCSI session is waited for, by a clock and a kernel of its own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "iscsi_progress.h"
#include "tcp_progress.h"

static uint64_t now_ms;
static uint64_t acknowledged;
static bool counts;

int __wrap_clock_gettime(clockid_t id, struct timespec *ret);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
    (void)id;
    *ret = (struct timespec){(time_t)(now_ms / 1000), (long)(now_ms % 1000) * 1000000};
    return 0;
}

bool __wrap_tcp_acknowledged(int fd, uint64_t *ret);
bool __wrap_tcp_acknowledged(int fd, uint64_t *ret)
{
    (void)fd;
    *ret = acknowledged;
    return counts;
}

static int setup(void **state)
{
    struct iscsi_progress *progress = calloc(1, sizeof(*progress));

    now_ms = 1000000;
    acknowledged = 0;
    counts = true;
    progress_begin(progress);
    *state = progress;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* In each of a number of seconds bytes more are taken. The deadline of a command sent at the begin.
 */
static uint64_t take(struct iscsi_progress *progress, unsigned seconds, uint64_t each)
{
    uint64_t begin = now_ms;

    for (unsigned i = 0; i < seconds; i++) {
        now_ms += 1000;
        acknowledged += each;
        progress_look(progress, 0, true);
    }
    return progress_deadline(progress, begin, 30000, false) - begin;
}

static void data_that_are_taken_count(void **state)
{
    struct iscsi_progress *progress = *state;

    progress_sends(progress, 1 << 20);
    assert_int_equal(take(progress, 20, 16384), 50000);
    assert_int_equal(take(progress, 0, 0), 30000);
}

static void more_than_there_are_does_not(void **state)
{
    struct iscsi_progress *progress = *state;

    /* 64 KiB are taken in four seconds; what comes then is the same again. */
    progress_sends(progress, 65536);
    assert_in_range(take(progress, 100, 16384), 33000, 36000);
}

static void next_to_nothing_does_not(void **state)
{
    struct iscsi_progress *progress = *state;

    progress_sends(progress, 1 << 20);
    assert_int_equal(take(progress, 25, 300), 30000);
}

static void a_trickle_ends(void **state)
{
    struct iscsi_progress *progress = *state;

    progress_sends(progress, UINT64_C(1) << 40);
    assert_int_equal(take(progress, 2000, 8192), 630000);
}

static void commands_that_end_do_not_keep_one_alive_for_ever(void **state)
{
    struct iscsi_progress *progress = *state;
    uint64_t begin = now_ms;

    for (int i = 0; i < 2000; i++) {
        now_ms += 1000;
        progress_ends(progress);
    }
    assert_int_equal(progress_deadline(progress, begin, 30000, false) - begin, 630000);
    assert_int_equal(progress_deadline(progress, begin, 300000, true) - begin, 900000);
}

static void after_a_stop_five_seconds_are_left_whatever_moves(void **state)
{
    struct iscsi_progress *progress = *state;
    uint64_t begin = now_ms;

    progress_sends(progress, 1 << 20);
    progress_stop(progress, false);
    now_ms += 1000;
    progress_stop(progress, true);
    take(progress, 20, 16384);
    progress_stop(progress, true);
    progress_ends(progress);
    assert_int_equal(progress_deadline(progress, begin, 30000, false) - begin, 6000);
    assert_true(progress_deadline(progress, begin, 30000, true) - begin > 40000);
    /* What is sent after it has as much. */
    assert_int_equal(progress_deadline(progress, now_ms, 30000, false) - now_ms, 5000);
}

static void without_a_count_the_socket_that_takes_data_is_all_there_is(void **state)
{
    struct iscsi_progress *progress = *state;

    counts = false;
    assert_int_equal(take(progress, 5, 0), 35000);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(data_that_are_taken_count),
        TEST(more_than_there_are_does_not),
        TEST(next_to_nothing_does_not),
        TEST(a_trickle_ends),
        TEST(commands_that_end_do_not_keep_one_alive_for_ever),
        TEST(after_a_stop_five_seconds_are_left_whatever_moves),
        TEST(without_a_count_the_socket_that_takes_data_is_all_there_is),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
