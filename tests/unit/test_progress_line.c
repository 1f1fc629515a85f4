/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "progress.h"

#define GIB (1ULL << 30)

static const struct copy_status half = {.phase = PHASE_SYNC,
                                        .lun_bytes = 100 * GIB,
                                        .scanned_bytes = 100 * GIB,
                                        .mapped_bytes = 8 * GIB,
                                        .todo_bytes = 8 * GIB,
                                        .done_bytes = 4 * GIB,
                                        .seconds = 10};

static void expect_line_of(enum copy_phase phase, size_t columns, double left, const char *expected)
{
    struct copy_status status = half;
    char line[PROGRESS_LINE_BYTES];

    status.phase = phase;
    progress_line(&status, 0.5, 4e8, left, columns, line);
    assert_string_equal(line, expected);
}

static void expect_line(size_t columns, double left, const char *expected)
{
    expect_line_of(PHASE_SYNC, columns, left, expected);
}

static void the_line_says_less_on_a_narrower_terminal(void **state)
{
    (void)state;
    expect_line(100, 11,
                "copying [###########...........]  50%    4.0 GiB of   8.0 GiB  381.5 MiB/s  "
                "ETA 0:11    mapped   8%");
    expect_line(80, 11,
                "copying [#############.............]  50%  381.5 MiB/s  ETA 0:11    mapped   8%");
    expect_line(60, 11, "copying [###...]  50%  381.5 MiB/s  ETA 0:11    mapped   8%");
    expect_line(50, 11, "copying [####....]  50% 381M/s 0:11   mapped   8%");
    expect_line(40, 11, "copying  50% 381M/s 0:11   mapped   8%");
    expect_line(36, 11, "copying  50% 381M/s 0:11   map   8%");
    expect_line(30, 11, " 50% 381M/s 0:11   map   8%");
    expect_line(20, 11, " 50% 381M/s 0:11  ");
    expect_line(10, 11, " 50%");
    expect_line(3, 11, " 5");
    expect_line(1, 11, "");
    expect_line(0, 11, "");
}

static void of_tables_it_tells_how_much_was_read(void **state)
{
    (void)state;
    expect_line_of(PHASE_TABLES, 80, -1, "reading tables    4.0 GiB  381.5 MiB/s");
    expect_line_of(PHASE_TABLES, 15, -1, "reading tables");
    expect_line_of(PHASE_TABLES, 0, -1, "");
}

/* The longest word leaves as many of them. */
static void verifying_has_all_figures_too(void **state)
{
    (void)state;
    expect_line_of(PHASE_VERIFY, 60, 3,
                   "verifying [#####......]  50% 381.5 MiB/s 0:03   mapped   8%");
    expect_line_of(PHASE_VERIFY, 40, 3, "verifying  50% 381M/s 0:03   map   8%");
    expect_line_of(PHASE_VERIFY, 28, 3, " 50% 381M/s 0:03   map   8%");
}

static void time_has_six_characters(void **state)
{
    (void)state;
    expect_line(40, -1, "copying  50% 381M/s -:--   mapped   8%");
    expect_line(40, 3599.4, "copying  50% 381M/s 59:59  mapped   8%");
    expect_line(40, 3600, "copying  50% 381M/s 1h00m  mapped   8%");
    expect_line(40, 359999, "copying  50% 381M/s 99h59m mapped   8%");
    expect_line(40, 360000, "copying  50% 381M/s 4d04h  mapped   8%");
    expect_line(40, 1e300, "copying  50% 381M/s 92d14h mapped   8%");
}

static void a_brief_rate_has_four_characters(void **state)
{
    static const struct {
        double rate;
        const char *shown;
    } cases[] = {{0, "  0B/s"},     {999, "999B/s"},     {999.6, "1.0K/s"}, {10188, "9.9K/s"},
                 {10189, " 10K/s"}, {1023999, "1.0M/s"}, {4e8, "381M/s"},   {1.5e9, "1.4G/s"}};
    char line[PROGRESS_LINE_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        progress_line(&half, 0.5, cases[i].rate, 11, 20, line);
        assert_memory_equal(line + strlen(" 50% "), cases[i].shown, strlen(cases[i].shown));
    }
}

static void few_bytes_are_written_as_such(void **state)
{
    char line[PROGRESS_LINE_BYTES];
    struct copy_status status = half;

    (void)state;
    status.done_bytes = 512;
    progress_line(&status, 0, 0, -1, 100, line);
    assert_string_equal(line,
                        "copying [......................]   0%      512 B of   8.0 GiB        "
                        "0 B/s  ETA -:--    mapped   8%");
}

/* Of a dry run the part of the LUN is told that its maps have told about. */
static void a_plan_is_as_far_as_the_maps_are_read(void **state)
{
    struct copy_status status = {.phase = PHASE_PLAN,
                                 .lun_bytes = 100 * GIB,
                                 .scanned_bytes = 25 * GIB,
                                 .mapped_bytes = 5 * GIB,
                                 .todo_bytes = 5 * GIB,
                                 .seconds = 10};
    char line[PROGRESS_LINE_BYTES];

    (void)state;
    assert_int_equal(progress_expected_bytes(&status), 100 * GIB);
    progress_line(&status, 0.25, 2.5e9, 30, 100, line);
    assert_string_equal(line,
                        "planning [#####................]  25%   25.0 GiB of 100.0 GiB    2.3 "
                        "GiB/s  ETA 0:30    mapped  20%");
}

/* Nothing for a tenth of a second, then 100 MB/s: in the first seconds the rate is the average. */
static void a_slow_start_counts_for_no_more_than_its_share(void **state)
{
    struct copy_status status = half;
    struct progress progress;

    (void)state;
    progress_init(&progress, PROGRESS_JSON);
    for (int tenths = 1; tenths < 10; tenths++) {
        status.seconds = tenths / 10.0;
        status.done_bytes = (uint64_t)(tenths - 1) * 10000000;
        progress_show(&progress, &status);
        assert_int_equal((int)(progress.rate / 1000 + 0.5),
                         (int)((double)status.done_bytes / status.seconds / 1000 + 0.5));
    }
}

/* No number makes the line longer than the terminal, or moves the end of the bar. */
static void the_line_fits_whatever_the_numbers_are(void **state)
{
    (void)state;
    srandom(9);
    for (int round = 0; round < 20000; round++) {
        struct copy_status status = {.phase = (enum copy_phase)(random() % 4)};
        size_t columns = (size_t)random() % 200, bar_end[2];
        char line[PROGRESS_LINE_BYTES];

        for (int i = 0; i < 2; i++) {
            status.lun_bytes = (((uint64_t)random() << 31) | (uint64_t)random()) >> (random() % 60);
            status.scanned_bytes = (uint64_t)((double)status.lun_bytes * drand48());
            status.mapped_bytes = (uint64_t)((double)status.scanned_bytes * drand48());
            status.todo_bytes = (uint64_t)((double)status.scanned_bytes * drand48());
            status.done_bytes = (uint64_t)((double)status.todo_bytes * drand48());
            progress_line(&status, drand48(), drand48() * 1e12, drand48() * 1e6, columns, line);
            assert_true(columns == 0 ? line[0] == '\0' : strlen(line) < columns);
            bar_end[i] = strcspn(line, "]");
        }
        assert_int_equal(bar_end[0], bar_end[1]);
    }
}

static void what_is_not_scanned_is_taken_to_be_like_the_rest(void **state)
{
    struct copy_status status = half;

    (void)state;
    assert_int_equal(progress_expected_bytes(&status), 8 * GIB);
    status.scanned_bytes = 25 * GIB;
    assert_int_equal(progress_expected_bytes(&status), 32 * GIB);
    status.scanned_bytes = 0;
    status.todo_bytes = 0;
    assert_int_equal(progress_expected_bytes(&status), 100 * GIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_says_less_on_a_narrower_terminal),
        cmocka_unit_test(of_tables_it_tells_how_much_was_read),
        cmocka_unit_test(verifying_has_all_figures_too),
        cmocka_unit_test(a_brief_rate_has_four_characters),
        cmocka_unit_test(time_has_six_characters),
        cmocka_unit_test(few_bytes_are_written_as_such),
        cmocka_unit_test(a_plan_is_as_far_as_the_maps_are_read),
        cmocka_unit_test(a_slow_start_counts_for_no_more_than_its_share),
        cmocka_unit_test(the_line_fits_whatever_the_numbers_are),
        cmocka_unit_test(what_is_not_scanned_is_taken_to_be_like_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
