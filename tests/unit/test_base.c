/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bitmap.h"
#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "errmsg.h"
#include "extent_runs.h"
#include "extents.h"
#include "zeros.h"

static void integers_are_big_endian_at_any_alignment(void **state)
{
    uint8_t bytes[16] = {0};

    (void)state;
    put_be64(bytes + 1, 0x0102030405060708);
    assert_int_equal(bytes[1], 1);
    assert_int_equal(bytes[8], 8);
    assert_int_equal(get_be64(bytes + 1), 0x0102030405060708);
    assert_int_equal(get_be32(bytes + 1), 0x01020304);
    assert_int_equal(get_be24(bytes + 1), 0x010203);
    assert_int_equal(get_be16(bytes + 1), 0x0102);
    put_be24(bytes, 0xabcdef);
    assert_int_equal(get_be24(bytes), 0xabcdef);
}

static void ranges_near_the_top_do_not_wrap(void **state)
{
    uint64_t sum;

    (void)state;
    assert_true(range_within(0, 10, 10));
    assert_true(range_within(10, 0, 10));
    assert_false(range_within(1, 10, 10));
    assert_false(range_within(UINT64_MAX, 2, UINT64_MAX));
    assert_false(range_within(2, UINT64_MAX, UINT64_MAX));
    assert_true(add_overflows(UINT64_MAX, 1, &sum));
    assert_int_equal(align_up(UINT64_MAX - 1, 4096), align_down(UINT64_MAX, 4096));
    assert_int_equal(align_up(1, 4096), 4096);
}

/* Each position belongs to the extent that a plain list has there. */
static void expect_same(const struct extent_runs *runs, const struct extent_list *list)
{
    assert_int_equal(extent_runs_end(runs), extent_list_end(list));
    for (int status = EXTENT_MAPPED; status <= EXTENT_ANCHORED; status++)
        assert_int_equal(extent_runs_total(runs, (enum extent_status)status),
                         extent_list_total(list, (enum extent_status)status));
    for (uint64_t at = 0; at < extent_list_end(list); at++) {
        const struct extent *expected = extent_list_find(list, at);
        struct extent found = extent_runs_find(runs, at);

        assert_int_equal(found.start, expected->start);
        assert_int_equal(found.length, expected->length);
        assert_int_equal(found.status, expected->status);
    }
    assert_int_equal(extent_runs_find(runs, extent_list_end(list)).length, 0);
}

static void runs_tell_what_a_plain_list_tells(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 200; seed++) {
        CLEANUP(extent_runs_free) struct extent_runs runs = {0};
        CLEANUP(extent_list_free) struct extent_list list = {0};
        unsigned number = seed;

        for (int i = 0; i < 60; i++) {
            uint64_t length = 1 + number % 3 * (seed % 4);
            enum extent_status status = (enum extent_status)(number / 64 % (2 + seed % 2));

            if (seed % 3 > 0 && i % 20 > 3)
                status = (enum extent_status)(i % 2);
            assert_int_equal(extent_list_append(&list, extent_list_end(&list), length, status), 0);
            assert_int_equal(extent_runs_append(&runs, length, status), 0);
            number = number * 1103515245 + 12345;
        }
        expect_same(&runs, &list);
    }
}

static void what_repeats_takes_no_more_room(void **state)
{
    CLEANUP(extent_runs_free) struct extent_runs runs = {0};

    (void)state;
    assert_int_equal(extent_runs_append(&runs, 700, EXTENT_MAPPED), 0);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(extent_runs_append(&runs, 110, EXTENT_DEALLOCATED), 0);
        assert_int_equal(extent_runs_append(&runs, 1, EXTENT_MAPPED), 0);
    }
    assert_in_range(runs.count, 1, 3);
    assert_int_equal(extent_runs_find(&runs, 700 + 111 * 77777 + 110).length, 1);
    assert_int_equal(extent_runs_append(&runs, UINT64_MAX, EXTENT_MAPPED), -EINVAL);
    assert_int_equal(extent_runs_total(&runs, EXTENT_DEALLOCATED), 11000000);
}

static void extents_join_and_keep_order(void **state)
{
    CLEANUP(extent_list_free) struct extent_list list = {0};

    (void)state;
    assert_int_equal(extent_list_append(&list, 0, 8, EXTENT_MAPPED), 0);
    assert_int_equal(extent_list_append(&list, 8, 8, EXTENT_MAPPED), 0);
    assert_int_equal(list.count, 1);
    assert_int_equal(extent_list_append(&list, 16, 4, EXTENT_DEALLOCATED), 0);
    assert_int_equal(extent_list_append(&list, 32, 4, EXTENT_DEALLOCATED), 0);
    assert_int_equal(list.count, 3);
    assert_int_equal(extent_list_append(&list, 35, 4, EXTENT_MAPPED), -EINVAL);
    assert_int_equal(extent_list_append(&list, 36, UINT64_MAX, EXTENT_MAPPED), -EINVAL);
    assert_int_equal(extent_list_append(&list, 36, 0, EXTENT_MAPPED), 0);
    assert_int_equal(list.count, 3);
    assert_int_equal(extent_list_end(&list), 36);
    assert_int_equal(extent_list_total(&list, EXTENT_DEALLOCATED), 8);
    assert_ptr_equal(extent_list_find(&list, 15), &list.items[0]);
    assert_ptr_equal(extent_list_find(&list, 19), &list.items[1]);
    assert_null(extent_list_find(&list, 20));
    assert_ptr_equal(extent_list_find(&list, 35), &list.items[2]);
    assert_null(extent_list_find(&list, 36));
}

/* Random operations against an array of bytes. */
static void bitmap_agrees_with_a_plain_array(void **state)
{
    enum { BITS = 200 };
    uint8_t model[BITS] = {0};
    struct bitmap bitmap;

    (void)state;
    srandom(1);
    assert_int_equal(bitmap_init(&bitmap, BITS), 0);
    for (int round = 0; round < 5000; round++) {
        uint64_t from = (uint64_t)random() % BITS;
        uint64_t count = (uint64_t)random() % (BITS - from + 1);
        uint8_t value = random() & 1;
        uint64_t end = from;

        (value ? bitmap_set : bitmap_clear)(&bitmap, from, count);
        memset(model + from, value, count);
        for (uint64_t i = 0; i < BITS; i++)
            assert_int_equal(bitmap_test(&bitmap, i), model[i]);
        while (end < BITS && model[end] == model[from])
            end++;
        assert_int_equal(bitmap_run_end(&bitmap, from), end);
    }
    bitmap_free(&bitmap);
}

static void bitmap_forgets_what_was_cut_off(void **state)
{
    struct bitmap bitmap;

    (void)state;
    assert_int_equal(bitmap_init(&bitmap, 100), 0);
    bitmap_set(&bitmap, 0, 100);
    assert_int_equal(bitmap_resize(&bitmap, 70), 0);
    assert_int_equal(bitmap_resize(&bitmap, 100), 0);
    assert_true(bitmap_test(&bitmap, 69));
    assert_false(bitmap_test(&bitmap, 70));
    assert_int_equal(bitmap_run_end(&bitmap, 0), 70);
    bitmap_free(&bitmap);
}

static void a_message_is_cut_not_overrun(void **state)
{
    struct errmsg err;

    (void)state;
    assert_int_equal(errmsg_set(&err, -EIO, "%*d", ERRMSG_BYTES * 2, 1), -EIO);
    assert_int_equal(strlen(err.text), ERRMSG_BYTES - 1);
    assert_int_equal(errmsg_set(NULL, -EIO, "x"), -EIO);
}

static void one_bit_anywhere_is_not_zero(void **state)
{
    uint8_t bytes[4096 + 3] = {0};

    (void)state;
    assert_true(bytes_are_zero(bytes, 0));
    for (size_t length = 1; length <= sizeof(bytes); length += 61) {
        assert_true(bytes_are_zero(bytes, length));
        for (size_t at = 0; at < length; at += 1 + length / 17) {
            bytes[at] = 0x10;
            assert_false(bytes_are_zero(bytes, length));
            bytes[at] = 0;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_big_endian_at_any_alignment),
        cmocka_unit_test(ranges_near_the_top_do_not_wrap),
        cmocka_unit_test(extents_join_and_keep_order),
        cmocka_unit_test(runs_tell_what_a_plain_list_tells),
        cmocka_unit_test(what_repeats_takes_no_more_room),
        cmocka_unit_test(bitmap_agrees_with_a_plain_array),
        cmocka_unit_test(bitmap_forgets_what_was_cut_off),
        cmocka_unit_test(a_message_is_cut_not_overrun),
        cmocka_unit_test(one_bit_anywhere_is_not_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
