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
#include "range_set.h"

#define BLOCKS 300

/* Counted by the linker's wrapping. */
static size_t moved_bytes;

void *__real_memmove(void *to, const void *from, size_t length);
void *__wrap_memmove(void *to, const void *from, size_t length);

void *__wrap_memmove(void *to, const void *from, size_t length)
{
    moved_bytes += length;
    return __real_memmove(to, from, length);
}

static void expect_like(const struct range_set *set, const bool *model)
{
    uint64_t total = 0;

    for (size_t i = 0; i < set->count; i++) {
        assert_true(range_set_at(set, i)->start < range_set_at(set, i)->end);
        assert_true(i == 0 || range_set_at(set, i - 1)->end < range_set_at(set, i)->start);
    }
    for (uint64_t at = 0; at < BLOCKS; at++) {
        struct range gap;
        bool missing = range_set_gap(set, at, BLOCKS, &gap);
        uint64_t start = at, end;

        total += model[at];
        while (start < BLOCKS && model[start])
            start++;
        for (end = start; end < BLOCKS && !model[end];)
            end++;
        assert_int_equal(missing, start < BLOCKS);
        if (!missing)
            continue;
        assert_int_equal(gap.start, start);
        assert_int_equal(gap.end, end);
    }
    assert_int_equal(set->total, total);
}

static void random_ranges_are_as_in_a_model(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        CLEANUP(range_set_free) struct range_set set = {0};
        CLEANUP(range_set_free) struct range_set copy = {0};
        bool model[BLOCKS] = {0};

        for (int i = 0; i < 60; i++) {
            uint64_t start = (uint64_t)random() % BLOCKS;
            uint64_t length = (uint64_t)random() % (BLOCKS - start > 12 ? 12 : BLOCKS - start);

            assert_int_equal(range_set_add(&set, start, length), 0);
            memset(model + start, true, length);
            expect_like(&set, model);
        }
        assert_int_equal(range_set_copy(&copy, &set), 0);
        expect_like(&copy, model);
        memset(model, 0, sizeof(model));
        assert_int_equal(range_set_copy(&copy, NULL), 0);
        expect_like(&copy, model);
    }
}

static void no_set_at_all_is_an_empty_one(void **state)
{
    struct range gap;

    (void)state;
    assert_true(range_set_gap(NULL, 5, 10, &gap));
    assert_int_equal(gap.start, 5);
    assert_int_equal(gap.end, 10);
    assert_false(range_set_gap(NULL, 10, 10, &gap));
}

static void the_end_of_the_number_space_is_not_passed(void **state)
{
    CLEANUP(range_set_free) struct range_set set = {0};

    (void)state;
    assert_int_equal(range_set_add(&set, UINT64_MAX - 1, 1), 0);
    assert_int_equal(range_set_add(&set, UINT64_MAX - 1, 2), -EINVAL);
    assert_int_equal(range_set_add(&set, 1, UINT64_MAX), -EINVAL);
    assert_int_equal(set.total, 1);
}

static void a_full_set_takes_no_new_range_but_lets_old_ones_grow(void **state)
{
    CLEANUP(range_set_free) struct range_set set = {0};

    (void)state;
    for (uint64_t i = 0; i < RANGE_SET_MAX; i++)
        assert_int_equal(range_set_add(&set, 3 * i, 1), 0);
    assert_int_equal(range_set_add(&set, 3 * RANGE_SET_MAX, 1), -ENOSPC);
    assert_int_equal(set.total, RANGE_SET_MAX);
    assert_int_equal(range_set_add(&set, 1, 2), 0);
    assert_int_equal(set.count, RANGE_SET_MAX - 1);
    assert_int_equal(range_set_add(&set, 3 * RANGE_SET_MAX, 1), 0);
}

/* As in a copy of a fragmented LUN: what is free far ahead is known, and the rest is done in order.
 */
static void ranges_far_ahead_cost_nothing(void **state)
{
    enum { AHEAD = 30000 };
    CLEANUP(range_set_free) struct range_set set = {0};

    (void)state;
    for (uint64_t i = 0; i < AHEAD; i++)
        assert_int_equal(range_set_add(&set, 4 * i, 1), 0);
    moved_bytes = 0;
    for (uint64_t i = 0; i < AHEAD; i++) {
        assert_int_equal(range_set_add(&set, 4 * i + 2, 1), 0);
        if (i > 2)
            assert_int_equal(range_set_add(&set, 4 * (i - 2) + 1, 1), 0);
        if (i > 4)
            assert_int_equal(range_set_add(&set, 4 * (i - 4) + 3, 1), 0);
    }
    assert_in_range(moved_bytes, AHEAD, AHEAD * 64 * sizeof(struct range));
    assert_in_range(set.count, 1, 20);
    assert_int_equal(set.total, 4 * AHEAD - 8);
}

static void a_copied_set_has_the_same_maximum(void **state)
{
    CLEANUP(range_set_free) struct range_set set = {0};
    CLEANUP(range_set_free) struct range_set copy = {0};

    (void)state;
    for (uint64_t i = 0; i < RANGE_SET_MAX / 2 + 7; i++)
        assert_int_equal(range_set_add(&set, 3 * i, 1), 0);
    assert_int_equal(range_set_copy(&copy, &set), 0);
    for (uint64_t i = RANGE_SET_MAX / 2 + 7; i < RANGE_SET_MAX; i++)
        assert_int_equal(range_set_add(&copy, 3 * i, 1), 0);
    assert_int_equal(range_set_add(&copy, 3 * RANGE_SET_MAX, 1), -ENOSPC);
    assert_int_equal(copy.count, RANGE_SET_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_ranges_are_as_in_a_model),
        cmocka_unit_test(no_set_at_all_is_an_empty_one),
        cmocka_unit_test(the_end_of_the_number_space_is_not_passed),
        cmocka_unit_test(ranges_far_ahead_cost_nothing),
        cmocka_unit_test(a_copied_set_has_the_same_maximum),
        cmocka_unit_test(a_full_set_takes_no_new_range_but_lets_old_ones_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
