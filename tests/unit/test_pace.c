/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pace.h"

enum { SMALL = 4096, LARGE = 1 << 20 };

/* count commands of bytes that take ms each, from *now on; those that are watched sleep or not.
 */
static void run_watched(struct pace *pace, int count, size_t bytes, uint64_t ms, uint64_t *now,
                        enum pace_sleep sleep)
{
    for (int i = 0; i < count; i++) {
        pace_tried(pace, bytes, *now, *now + ms, pace_watches(pace) ? sleep : PACE_NOT_WATCHED);
        *now += ms;
    }
}

/* Those that are slow wait for something. */
static void run(struct pace *pace, int count, size_t bytes, uint64_t ms, uint64_t *now)
{
    run_watched(pace, count, bytes, ms, now, ms > 0 ? PACE_SLEPT : PACE_NEVER_SLEPT);
}

static void quick_commands_are_tried(void **state)
{
    struct pace pace = {0};
    uint64_t now = 1000;

    (void)state;
    assert_true(pace_try(&pace, now));
    run(&pace, 1000, SMALL, 0, &now);
    assert_true(pace_try(&pace, now));
}

static void several_slow_ones_end_it_for_a_while(void **state)
{
    struct pace pace = {0};
    uint64_t now = 1000;

    (void)state;
    run(&pace, 3, SMALL, 5, &now); /* the first only makes it watch */
    assert_true(pace_try(&pace, now));
    run(&pace, 1, SMALL, 5, &now);
    assert_false(pace_try(&pace, now));
    assert_false(pace_try(&pace, now + PACE_CAREFUL_MS - 1));
    assert_true(pace_try(&pace, now + PACE_CAREFUL_MS));
}

/* A slow one counts for as much as 16 quick ones, and three of them are too many. */
static void so_many_quick_ones_make_up_for_a_slow_one(void **state)
{
    (void)state;
    for (int quick = 0; quick <= 17; quick++) {
        struct pace pace = {0};
        uint64_t now = 1000;

        run(&pace, 3, SMALL, 5, &now); /* the first only makes it watch */
        run(&pace, quick, SMALL, 0, &now);
        run(&pace, 1, SMALL, 5, &now);
        assert_true(pace_try(&pace, now) == (quick > 0));
        run(&pace, 1, SMALL, 5, &now);
        assert_true(pace_try(&pace, now) == (quick > 16));
    }
}

static void slow_ones_that_nobody_watched_count_for_nothing(void **state)
{
    struct pace pace = {0};
    uint64_t now = 1000;

    (void)state;
    run(&pace, 3, SMALL, 5, &now);
    run_watched(&pace, 100, SMALL, 5, &now, PACE_NOT_WATCHED);
    assert_true(pace_try(&pace, now));
    run(&pace, 1, SMALL, 5, &now);
    assert_false(pace_try(&pace, now));
}

static void after_the_pause_one_slow_one_is_enough(void **state)
{
    struct pace pace = {0};
    uint64_t now = 1000;

    (void)state;
    run(&pace, 4, SMALL, 5, &now);
    now += PACE_CAREFUL_MS;
    run(&pace, 1, SMALL, 5, &now);
    assert_false(pace_try(&pace, now));
}

/* A clock that ticks every 4 ms shows one of 80 commands of 50 us as slow, and one of 4 commands of
 * 1 ms. */
static void a_coarse_clock_is_enough(void **state)
{
    struct pace pace = {0};
    uint64_t now = 1000;

    (void)state;
    for (int i = 0; i < 50; i++) {
        run(&pace, 79, SMALL, 0, &now);
        run(&pace, 1, SMALL, 4, &now);
        assert_true(pace_try(&pace, now));
    }
    for (int i = 0; i < 5; i++) {
        run(&pace, 3, SMALL, 0, &now);
        run(&pace, 1, SMALL, 4, &now);
    }
    assert_false(pace_try(&pace, now));
}

static void a_large_command_may_take_longer(void **state)
{
    struct pace pace = {0};
    uint64_t now = 1000;

    (void)state;
    run(&pace, 100, LARGE, 4, &now);
    assert_true(pace_try(&pace, now));
    run(&pace, 4, LARGE, 8, &now);
    assert_false(pace_try(&pace, now));
}

/* The processor is another's for a while, or so slow that everything is. */
static void slow_ones_that_wait_for_nothing_are_tried(void **state)
{
    struct pace pace = {0};
    uint64_t now = 1000;

    (void)state;
    run_watched(&pace, 1000, SMALL, 8, &now, PACE_NEVER_SLEPT);
    assert_true(pace_try(&pace, now));
    run(&pace, 3, SMALL, 8, &now);
    assert_false(pace_try(&pace, now));
}

static void what_stays_quick_is_watched_no_longer(void **state)
{
    struct pace pace = {0};
    uint64_t now = 1000;

    (void)state;
    assert_false(pace_watches(&pace));
    run(&pace, 1, SMALL, 5, &now);
    assert_true(pace_watches(&pace));
    run(&pace, 1000, SMALL, 0, &now);
    assert_false(pace_watches(&pace));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quick_commands_are_tried),
        cmocka_unit_test(several_slow_ones_end_it_for_a_while),
        cmocka_unit_test(so_many_quick_ones_make_up_for_a_slow_one),
        cmocka_unit_test(slow_ones_that_nobody_watched_count_for_nothing),
        cmocka_unit_test(after_the_pause_one_slow_one_is_enough),
        cmocka_unit_test(a_coarse_clock_is_enough),
        cmocka_unit_test(a_large_command_may_take_longer),
        cmocka_unit_test(slow_ones_that_wait_for_nothing_are_tried),
        cmocka_unit_test(what_stays_quick_is_watched_no_longer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
