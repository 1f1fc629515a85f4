/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "cleanup.h"
#include "read_trace.h"

static void expect_run(const struct block_set *set, uint64_t start, uint64_t end, bool member)
{
    bool is_member;

    assert_int_equal(block_set_find(set, start, set->blocks, &is_member), end);
    assert_int_equal(is_member, member);
}

static void what_was_read_is_told_in_whole_blocks_up_to_the_end(void **state)
{
    CLEANUP(read_trace_free) struct read_trace trace = {0};
    CLEANUP(block_set_free) struct block_set set = {0};

    (void)state;
    block_set_init(&set, 10);
    assert_int_equal(read_trace_add(&trace, 5000, "ab", 2), 0);
    assert_int_equal(read_trace_add(&trace, 511, "ab", 2), 0);
    assert_int_equal(read_trace_add(&trace, 513, "abc", 3), 0);
    assert_int_equal(read_trace_build(&trace, 512, &set), 0);
    expect_run(&set, 0, 2, true);
    expect_run(&set, 2, 9, false);
    expect_run(&set, 9, 10, true);
}

static void a_digest_tells_other_bytes_and_another_allocation(void **state)
{
    CLEANUP(read_trace_free) struct read_trace one = {0};
    CLEANUP(read_trace_free) struct read_trace other = {0};
    CLEANUP(block_set_free) struct block_set set = {0};
    struct block_set none;

    (void)state;
    block_set_init(&none, 16);
    block_set_init(&set, 16);
    assert_int_equal(read_trace_add(&one, 0, "abcd", 4), 0);
    assert_int_equal(read_trace_add(&other, 0, "abcd", 4), 0);
    assert_true(read_trace_digest(&one, &none) == read_trace_digest(&other, &none));
    assert_int_equal(block_set_add(&set, 8, 8), 0);
    assert_int_equal(block_set_settle(&set), 0);
    assert_true(read_trace_digest(&one, &set) != read_trace_digest(&other, &none));
    assert_int_equal(read_trace_add(&one, 4, "e", 1), 0);
    assert_int_equal(read_trace_add(&other, 4, "f", 1), 0);
    assert_true(read_trace_digest(&one, &none) != read_trace_digest(&other, &none));
}

/* More places than there is room for: each is still in the set. */
static void too_many_places_become_coarser_and_none_is_lost(void **state)
{
    enum { STEP = 8192, COUNT = READ_TRACE_MAX + 10 };
    CLEANUP(read_trace_free) struct read_trace trace = {0};
    CLEANUP(block_set_free) struct block_set set = {0};

    (void)state;
    block_set_init(&set, (uint64_t)STEP / 512 * COUNT);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(read_trace_add(&trace, i * STEP, "x", 1), 0);
    assert_true(trace.places.count < READ_TRACE_MAX);
    assert_int_equal(read_trace_build(&trace, 512, &set), 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        bool was_read;

        block_set_find(&set, i * STEP / 512, set.blocks, &was_read);
        assert_true(was_read);
    }
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
