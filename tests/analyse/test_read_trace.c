/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "cleanup.h"
#include "read_trace.h"

static void expect_extent(const struct extent_runs *list, uint64_t start, uint64_t length,
                          enum extent_status status)
{
    struct extent extent = extent_runs_find(list, start);

    assert_int_equal(extent.start, start);
    assert_int_equal(extent.length, length);
    assert_int_equal(extent.status, status);
}

static void what_was_read_is_told_in_whole_blocks_up_to_the_end(void **state)
{
    CLEANUP(read_trace_free) struct read_trace trace = {0};
    CLEANUP(extent_runs_free) struct extent_runs list = {0};

    (void)state;
    assert_int_equal(read_trace_add(&trace, 5000, "ab", 2), 0);
    assert_int_equal(read_trace_add(&trace, 511, "ab", 2), 0);
    assert_int_equal(read_trace_add(&trace, 513, "abc", 3), 0);
    assert_int_equal(read_trace_build(&trace, 10, 512, &list), 0);
    assert_int_equal(extent_runs_end(&list), 10);
    expect_extent(&list, 0, 2, EXTENT_MAPPED);
    expect_extent(&list, 2, 7, EXTENT_DEALLOCATED);
    expect_extent(&list, 9, 1, EXTENT_MAPPED);
}

static void a_digest_tells_other_bytes_and_another_allocation(void **state)
{
    CLEANUP(read_trace_free) struct read_trace one = {0};
    CLEANUP(read_trace_free) struct read_trace other = {0};
    CLEANUP(extent_runs_free) struct extent_runs list = {0};
    const struct extent_runs none = {0};

    (void)state;
    assert_int_equal(read_trace_add(&one, 0, "abcd", 4), 0);
    assert_int_equal(read_trace_add(&other, 0, "abcd", 4), 0);
    assert_true(read_trace_digest(&one, &none) == read_trace_digest(&other, &none));
    assert_int_equal(extent_runs_append(&list, 8, EXTENT_DEALLOCATED), 0);
    assert_true(read_trace_digest(&one, &list) != read_trace_digest(&other, &none));
    assert_int_equal(read_trace_add(&one, 4, "e", 1), 0);
    assert_int_equal(read_trace_add(&other, 4, "f", 1), 0);
    assert_true(read_trace_digest(&one, &none) != read_trace_digest(&other, &none));
}

/* More places than there is room for: each is still in the list. */
static void too_many_places_become_coarser_and_none_is_lost(void **state)
{
    enum { STEP = 8192, COUNT = READ_TRACE_MAX + 10 };
    CLEANUP(read_trace_free) struct read_trace trace = {0};
    CLEANUP(extent_runs_free) struct extent_runs list = {0};
    const uint64_t blocks = (uint64_t)STEP / 512 * COUNT;

    (void)state;
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(read_trace_add(&trace, i * STEP, "x", 1), 0);
    assert_true(trace.places.count < READ_TRACE_MAX);
    assert_int_equal(read_trace_build(&trace, blocks, 512, &list), 0);
    assert_int_equal(extent_runs_end(&list), blocks);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(extent_runs_find(&list, i * STEP / 512).status, EXTENT_MAPPED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_read_is_told_in_whole_blocks_up_to_the_end),
        cmocka_unit_test(a_digest_tells_other_bytes_and_another_allocation),
        cmocka_unit_test(too_many_places_become_coarser_and_none_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
