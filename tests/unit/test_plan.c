/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "join.h"
#include "plan.h"

#define M EXTENT_MAPPED
#define D EXTENT_DEALLOCATED
#define A EXTENT_ANCHORED

static const struct plan_params promises = {.secondary_reads_zeros = true,
                                            .secondary_can_unmap = true};

/* A map from one letter a block: m, d or a; a space is a block the map says nothing about. */
static void map_from(const char *letters, struct extent_list *map)
{
    extent_list_clear(map);
    for (uint64_t lba = 0; letters[lba]; lba++) {
        char c = letters[lba];

        if (c != ' ')
            assert_int_equal(extent_list_append(map, lba, 1, c == 'm' ? M : c == 'd' ? D : A), 0);
    }
}

/* The plan as one letter a block: C copy, Z zero, - nothing. */
static void plan_letters(const char *primary, const char *secondary, uint64_t start, uint64_t end,
                         const struct plan_params *params, char *ret)
{
    CLEANUP(extent_list_free) struct extent_list from = {0};
    CLEANUP(extent_list_free) struct extent_list to = {0};
    CLEANUP(job_list_free) struct job_list jobs = {0};

    map_from(primary, &from);
    if (secondary)
        map_from(secondary, &to);
    assert_int_equal(plan_window(&from, secondary ? &to : NULL, start, end, params, &jobs), 0);
    memset(ret, '-', end - start);
    ret[end - start] = '\0';
    for (size_t i = 0; i < jobs.count; i++) {
        const struct job *job = &jobs.items[i];

        assert_true(job->blocks > 0 && job->lba >= start && job->lba + job->blocks <= end);
        for (uint64_t lba = job->lba; lba < job->lba + job->blocks; lba++) {
            assert_int_equal(ret[lba - start], '-');
            ret[lba - start] = job->kind == JOB_COPY ? 'C' : 'Z';
        }
        if (i > 0) {
            const struct job *last = &jobs.items[i - 1];

            assert_true(last->lba + last->blocks <= job->lba);
            assert_false(last->kind == job->kind && last->lba + last->blocks == job->lba);
        }
    }
}

static void expect_plan(const char *primary, const char *secondary,
                        const struct plan_params *params, const char *expected)
{
    char got[64];

    plan_letters(primary, secondary, 0, strlen(primary), params, got);
    assert_string_equal(got, expected);
}

static void mapped_blocks_are_copied_and_the_rest_is_emptied(void **state)
{
    (void)state;
    expect_plan("mmddaa", "mmmmmm", &promises, "CCZZZZ");
    expect_plan("mmddaa", "dddddd", &promises, "CC----");
    expect_plan("mdmdmd", "ddmmdd", &promises, "C-CZC-");
}

static void a_secondary_that_tells_nothing_is_emptied_everywhere(void **state)
{
    (void)state;
    expect_plan("mmddaa", NULL, &promises, "CCZZZZ");
}

static void unmapped_without_a_promise_of_zeros_is_zeroed(void **state)
{
    const struct plan_params nothing = {0};

    (void)state;
    expect_plan("mmddaa", "dddddd", &nothing, "CCZZZZ");
}

static void anchored_storage_is_given_back_where_that_can_be_done(void **state)
{
    const struct plan_params cannot = {.secondary_reads_zeros = true};

    (void)state;
    expect_plan("dddaaa", "mdamda", &promises, "Z-ZZ-Z");
    expect_plan("dddaaa", "mdamda", &cannot, "Z--Z--");
}

/* Of six blocks; first and last are the only ones that may be free. */
static void use_all_but(struct block_set *used, bool first, bool last)
{
    block_set_init(used, 6);
    assert_int_equal(block_set_add(used, first ? 1 : 0, 6U - first - last), 0);
    assert_int_equal(block_set_settle(used), 0);
}

static void what_is_free_is_left_alone_and_nothing_else_that_is_unmapped(void **state)
{
    CLEANUP(block_set_free) struct block_set used = {0};
    struct plan_params leave = {.used = &used, .secondary_reads_zeros = true};
    char got[8];

    (void)state;
    use_all_but(&used, true, true);
    plan_letters("dddmaa", "mdmmma", 0, 6, &leave, got);
    assert_string_equal(got, "--ZCZ-");
    plan_letters("dddddd", "mmmmmm", 0, 6, &leave, got);
    assert_string_equal(got, "-ZZZZ-");
    leave.used = NULL; /* nothing is known to be free */
    plan_letters("dddddd", "mmmmmm", 0, 6, &leave, got);
    assert_string_equal(got, "ZZZZZZ");
}

static void what_is_mapped_is_copied_whoever_calls_it_free(void **state)
{
    CLEANUP(block_set_free) struct block_set used = {0};
    const struct plan_params leave = {.used = &used};
    char got[8];

    (void)state;
    use_all_but(&used, true, true);
    plan_letters("mdddam", "mmmmmm", 0, 6, &leave, got);
    assert_string_equal(got, "CZZZZC");
}

/* Letters as for plan_letters: what is compared (C), expected to be zeros on the secondary (E) or
 * on the primary (P), or not read (-). */
static void expect_verify(const char *here, const char *there, const struct plan_params *params,
                          const char *wanted)
{
    CLEANUP(extent_list_free) struct extent_list primary = {0}, secondary = {0};
    CLEANUP(job_list_free) struct job_list jobs = {0};
    size_t length = strlen(here);
    char got[16];

    memset(got, '-', sizeof(got));
    got[length] = '\0';
    map_from(here, &primary);
    map_from(there, &secondary);
    assert_int_equal(plan_verify(&primary, &secondary, 0, length, params, &jobs), 0);
    for (size_t i = 0; i < jobs.count; i++)
        memset(got + jobs.items[i].lba,
               jobs.items[i].kind == JOB_COMPARE        ? 'C'
               : jobs.items[i].kind == JOB_EXPECT_ZEROS ? 'E'
                                                        : 'P',
               jobs.items[i].blocks);
    assert_string_equal(got, wanted);
}

static void what_is_free_is_not_compared(void **state)
{
    CLEANUP(block_set_free) struct block_set used = {0};
    struct plan_params leave = {.used = &used, .primary_reads_zeros = true};

    (void)state;
    use_all_but(&used, true, true);
    expect_verify("dddmaa", "mmmmmm", &leave, "-CCCC-");
    leave.primary_reads_zeros = false;
    expect_verify("dddmaa", "mmmmmm", &leave, "-EECE-");
    leave.used = NULL;
    expect_verify("dddmaa", "mmmmmm", &leave, "EEECEE");
}

static void a_comparison_reads_what_is_not_certain(void **state)
{
    struct plan_params params = {.primary_reads_zeros = true, .secondary_reads_zeros = true};
    static const char here[] = "mmmdddaaa", there[] = "mdamdamda";

    (void)state;
    expect_verify(here, there, &params, "CCCCCCCCC");
    params.secondary_is_certain = true;
    expect_verify(here, there, &params, "CPPCPPCPP");
    params.primary_is_certain = true;
    expect_verify(here, there, &params, "CPPE--E--");
    params.secondary_is_certain = false;
    expect_verify(here, there, &params, "CCCEEEEEE");
}

static void a_comparison_may_trust_promises_of_both_sides(void **state)
{
    struct plan_params params = {.primary_reads_zeros = true,
                                 .secondary_reads_zeros = true,
                                 .trust_maps = true};
    static const char here[] = "mmmdddaaa", there[] = "mdamdamda";

    (void)state;
    expect_verify(here, there, &params, "CCCC--C--");
    params.secondary_reads_zeros = false;
    expect_verify(here, there, &params, "CCCCCCCCC");
    params.primary_reads_zeros = false;
    expect_verify(here, there, &params, "CCCEEEEEE");
    params.secondary_reads_zeros = true;
    expect_verify(here, there, &params, "CCCE--E--");
    params.trust_maps = false;
    expect_verify(here, there, &params, "CCCEEEEEE");
}

static void maps_may_reach_beyond_the_window(void **state)
{
    char got[64];

    (void)state;
    plan_letters("mmmmdddd", "mmmmmmmm", 2, 6, &promises, got);
    assert_string_equal(got, "CCZZ");
    plan_letters("mmmmdddd", " mmmmmmm", 3, 3, &promises, got);
    assert_string_equal(got, "");
}

static int try_plan(const char *primary, const char *secondary, uint64_t start, uint64_t end)
{
    CLEANUP(extent_list_free) struct extent_list from = {0};
    CLEANUP(extent_list_free) struct extent_list to = {0};
    CLEANUP(job_list_free) struct job_list jobs = {0};

    map_from(primary, &from);
    map_from(secondary, &to);
    return plan_window(&from, &to, start, end, &promises, &jobs);
}

static void a_map_with_a_hole_in_it_is_no_map(void **state)
{
    (void)state;
    assert_int_equal(try_plan("mmmm", "dddd", 0, 4), 0);
    assert_int_equal(try_plan("mm m", "dddd", 0, 4), -EINVAL);
    assert_int_equal(try_plan("mmmm", "dd d", 0, 4), -EINVAL);
    assert_int_equal(try_plan(" mmm", "dddd", 0, 4), -EINVAL);
    assert_int_equal(try_plan("mmmm", " ddd", 0, 4), -EINVAL);
    assert_int_equal(try_plan("mmm", "dddd", 0, 4), -EINVAL);
    assert_int_equal(try_plan("mmmm", "ddd", 0, 4), -EINVAL);
    assert_int_equal(try_plan("mmmm", "dddd", 3, 2), -EINVAL);
    assert_int_equal(try_plan("mmmm", "dddd", 4, 4), 0); /* nothing is left to plan */
    assert_int_equal(try_plan("", "", 0, 0), 0);
    assert_int_equal(try_plan("", "", 0, 1), -EINVAL);
}

static void a_window_at_the_top_does_not_wrap(void **state)
{
    CLEANUP(extent_list_free) struct extent_list map = {0};
    CLEANUP(job_list_free) struct job_list jobs = {0};

    (void)state;
    assert_int_equal(extent_list_append(&map, 1, UINT64_MAX - 1, M), 0);
    assert_int_equal(plan_window(&map, &map, 1, UINT64_MAX, &promises, &jobs), 0);
    assert_int_equal(jobs.count, 1);
    assert_int_equal(jobs.items[0].blocks, UINT64_MAX - 1);
}

/* What must become of one block, as the rules read, one at a time. */
static char model(char primary, char secondary, const struct plan_params *params)
{
    if (primary == 'm')
        return 'C';
    if (secondary == 'm')
        return 'Z';
    if (!params->secondary_reads_zeros)
        return 'Z';
    if (secondary == 'a' && params->secondary_can_unmap)
        return 'Z';
    return '-';
}

static void random_letters(char *to, size_t count)
{
    for (size_t i = 0; i < count;) {
        size_t run = 1 + (size_t)random() % 5;
        char c = "mda"[random() % 3];

        while (run-- > 0 && i < count)
            to[i++] = c;
    }
    to[count] = '\0';
}

static void random_maps_agree_with_a_model_of_single_blocks(void **state)
{
    char primary[64], secondary[64], got[64];

    (void)state;
    srandom(7);
    for (int round = 0; round < 20000; round++) {
        size_t count = 1 + (size_t)random() % 60;
        uint64_t start = (uint64_t)random() % count;
        uint64_t end = start + (uint64_t)random() % (count - start + 1);
        struct plan_params params = {.secondary_reads_zeros = random() & 1,
                                     .secondary_can_unmap = random() & 1};
        bool known = random() % 4 != 0;

        random_letters(primary, count);
        random_letters(secondary, count);
        plan_letters(primary, known ? secondary : NULL, start, end, &params, got);
        for (uint64_t lba = start; lba < end; lba++)
            assert_int_equal(got[lba - start],
                             model(primary[lba], known ? secondary[lba] : 'm', &params));
    }
}

static struct job copy(uint64_t lba, uint64_t blocks)
{
    return (struct job){.kind = JOB_COPY, .lba = lba, .blocks = blocks};
}

static void one_read_takes_what_fits_and_is_near(void **state)
{
    const struct job jobs[] = {copy(0, 4), copy(8, 4), copy(17, 4), copy(23, 40), copy(70, 1)};
    const struct join_limits limits = {.max_blocks = 64, .max_gap_blocks = 5, .max_jobs = 9};
    struct join_limits other = limits;
    uint64_t blocks;

    (void)state;
    assert_int_equal(join_reads(jobs, 5, 4, &limits, &blocks), 4);
    assert_int_equal(blocks, 63);
    assert_int_equal(join_reads(jobs, 2, 4, &limits, &blocks), 2);
    assert_int_equal(blocks, 12);
    assert_int_equal(join_reads(jobs, 5, 3, &limits, &blocks), 1); /* the rest comes next */
    assert_int_equal(blocks, 3);
    other.max_gap_blocks = 4;
    assert_int_equal(join_reads(jobs, 5, 4, &other, &blocks), 2);
    other.max_gap_blocks = 0;
    assert_int_equal(join_reads(jobs, 5, 4, &other, &blocks), 1);
    other = limits;
    other.max_jobs = 3;
    assert_int_equal(join_reads(jobs, 5, 4, &other, &blocks), 3);
    other.max_jobs = 0;
    assert_int_equal(join_reads(jobs, 5, 4, &other, &blocks), 1);
    other = limits;
    other.max_blocks = 62;
    assert_int_equal(join_reads(jobs, 5, 4, &other, &blocks), 3);
    assert_int_equal(blocks, 21);
}

static void a_read_at_the_top_does_not_wrap(void **state)
{
    const struct job jobs[] = {copy(UINT64_MAX - 20, 4), copy(UINT64_MAX - 10, 10)};
    const struct join_limits limits = {.max_blocks = UINT64_MAX,
                                       .max_gap_blocks = UINT64_MAX,
                                       .max_jobs = 2};
    uint64_t blocks;

    (void)state;
    assert_int_equal(join_reads(jobs, 2, 4, &limits, &blocks), 2);
    assert_int_equal(blocks, 20);
}

/* Every gap against every unit, block by block. */
static void zeros_cost_nothing_only_in_a_unit_with_a_neighbour(void **state)
{
    (void)state;
    for (uint64_t unit = 1; unit <= 9; unit++)
        for (uint64_t alignment = 0; alignment < 12; alignment++)
            for (uint64_t start = 1; start < 30; start++)
                for (uint64_t end = start + 1; end < 40; end++) {
                    bool with_last = true, with_next = true;

                    for (uint64_t i = start; i < end; i++) {
                        /* A boundary is any LBA that is the alignment modulo the unit. */
                        with_last = with_last && i % unit != alignment % unit;
                        with_next = with_next && (i + 1) % unit != alignment % unit;
                    }
                    assert_int_equal(join_costs_nothing(start, end, unit, alignment),
                                     with_last || with_next);
                }
}

/* The zeros before each copy, as digits. */
static void expect_zeros(const char *primary, const char *secondary,
                         const struct plan_params *params, const char *expected)
{
    CLEANUP(extent_list_free) struct extent_list from = {0};
    CLEANUP(extent_list_free) struct extent_list to = {0};
    CLEANUP(job_list_free) struct job_list jobs = {0};
    char got[64] = "";

    map_from(primary, &from);
    map_from(secondary, &to);
    assert_int_equal(plan_window(&from, &to, 0, strlen(primary), params, &jobs), 0);
    for (size_t i = 0; i < jobs.count; i++) {
        got[i] = (char)('0' + jobs.items[i].zeros_before);
        assert_true(jobs.items[i].kind == JOB_COPY || jobs.items[i].zeros_before == 0);
    }
    assert_string_equal(got, expected);
}

static void copies_are_joined_over_zeros_that_both_sides_promise(void **state)
{
    struct plan_params params = promises;

    (void)state;
    params.granularity_blocks = 8;
    expect_zeros("mddmadmd", "dddddddd", &params, "000");
    params.primary_reads_zeros = true;
    expect_zeros("mddmadmd", "dddddddd", &params, "022");
    expect_zeros("mddmddmd", "dddddmdd", &params, "0200"); /* copy, copy, zero, copy */
    expect_zeros("mddmddmd", "ddaddddd", &params, "0002");
    expect_zeros("ddmddmdd", "dddddddd", &params, "02");
    params.granularity_blocks = 2;
    expect_zeros("mddmdm", "dddddd", &params, "001");
    params.granularity_blocks = 1;
    expect_zeros("mddmdm", "dddddd", &params, "000");
    params.granularity_blocks = 8;
    params.secondary_can_unmap = false; /* anchored stays, and is no gap */
    expect_zeros("mddm", "daad", &params, "00");
    params.secondary_reads_zeros = false;
    expect_zeros("mddm", "dddd", &params, "000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapped_blocks_are_copied_and_the_rest_is_emptied),
        cmocka_unit_test(a_secondary_that_tells_nothing_is_emptied_everywhere),
        cmocka_unit_test(unmapped_without_a_promise_of_zeros_is_zeroed),
        cmocka_unit_test(anchored_storage_is_given_back_where_that_can_be_done),
        cmocka_unit_test(what_is_free_is_left_alone_and_nothing_else_that_is_unmapped),
        cmocka_unit_test(what_is_mapped_is_copied_whoever_calls_it_free),
        cmocka_unit_test(what_is_free_is_not_compared),
        cmocka_unit_test(a_comparison_reads_what_is_not_certain),
        cmocka_unit_test(a_comparison_may_trust_promises_of_both_sides),
        cmocka_unit_test(maps_may_reach_beyond_the_window),
        cmocka_unit_test(a_map_with_a_hole_in_it_is_no_map),
        cmocka_unit_test(a_window_at_the_top_does_not_wrap),
        cmocka_unit_test(one_read_takes_what_fits_and_is_near),
        cmocka_unit_test(a_read_at_the_top_does_not_wrap),
        cmocka_unit_test(zeros_cost_nothing_only_in_a_unit_with_a_neighbour),
        cmocka_unit_test(copies_are_joined_over_zeros_that_both_sides_promise),
        cmocka_unit_test(random_maps_agree_with_a_model_of_single_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
