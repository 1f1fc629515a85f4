/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "exact.h"
#include "unmap_list.h"

/* Field positions: SBC-4 5.35.2. Two descriptors: {0102030405060708h, 090A0B0Ch} and
 * {FFFFFFFFFFFFFFFFh, FFFFFFFFh}. */
static const uint8_t two[40] = {
    0,    38,   0,    32,   0,    0,    0,    0,    1, 2, 3,    4,    5,    6,
    7,    8,    9,    0xA,  0xB,  0xC,  0,    0,    0, 0, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0,    0,
};

static void a_list_is_laid_out_as_the_standard_says(void **state)
{
    static const struct unmap_descriptor descriptors[] = {{0x0102030405060708, 0x090A0B0C},
                                                          {UINT64_MAX, UINT32_MAX}};
    uint8_t bytes[sizeof(two)];

    (void)state;
    memset(bytes, 0xEE, sizeof(bytes));
    assert_int_equal(unmap_list_bytes(2), sizeof(two));
    unmap_list_encode(bytes, descriptors, 2);
    assert_memory_equal(bytes, two, sizeof(two));
}

static void an_empty_list_is_a_header(void **state)
{
    static const uint8_t expected[8] = {0, 6};
    uint8_t bytes[8];

    (void)state;
    unmap_list_encode(bytes, NULL, 0);
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void the_longest_list_fits_its_16_bit_lengths(void **state)
{
    enum { MOST = 4095 };
    CLEANUP_FREE struct unmap_descriptor *descriptors = calloc(MOST, sizeof(*descriptors));
    CLEANUP_FREE uint8_t *bytes = malloc(unmap_list_bytes(MOST));
    struct unmap_list list;

    (void)state;
    assert_non_null(descriptors);
    assert_non_null(bytes);
    for (uint32_t i = 0; i < MOST; i++)
        descriptors[i] = (struct unmap_descriptor){i * UINT64_C(8), i};
    unmap_list_encode(bytes, descriptors, MOST);
    assert_int_equal(unmap_list_decode(bytes, unmap_list_bytes(MOST), &list), 0);
    assert_int_equal(list.count, MOST);
    assert_int_equal(unmap_list_get(&list, MOST - 1).lba, (MOST - 1) * 8);
    assert_int_equal(unmap_list_get(&list, MOST - 1).blocks, MOST - 1);
}

static void descriptors_are_read_as_they_stand_even_at_2_64(void **state)
{
    struct unmap_list list;

    (void)state;
    assert_int_equal(unmap_list_decode(two, sizeof(two), &list), 0);
    assert_int_equal(list.count, 2);
    assert_true(unmap_list_get(&list, 0).lba == 0x0102030405060708);
    assert_int_equal(unmap_list_get(&list, 0).blocks, 0x090A0B0C);
    assert_true(unmap_list_get(&list, 1).lba == UINT64_MAX);
    assert_int_equal(unmap_list_get(&list, 1).blocks, UINT32_MAX);
}

static void every_cut_is_told_apart(void **state)
{
    (void)state;
    for (size_t length = 0; length <= sizeof(two); length++) {
        uint8_t *exact = exact_copy(two, length);
        struct unmap_list list;
        bool too_short = length >= 1 && length <= 7;
        size_t expected = length < 24 ? 0 : length < 40 ? 1 : 2;

        assert_int_equal(unmap_list_decode(exact, length, &list), too_short ? -EINVAL : 0);
        assert_int_equal(list.count, expected);
        for (size_t i = 0; i < list.count; i++)
            assert_true(unmap_list_get(&list, i).lba != 0);
        free(exact);
    }
}

static size_t count_with(unsigned data_length, unsigned descriptor_length, size_t length)
{
    uint8_t bytes[72] = {(uint8_t)(data_length >> 8), (uint8_t)data_length,
                         (uint8_t)(descriptor_length >> 8), (uint8_t)descriptor_length};
    uint8_t *exact = exact_copy(bytes, length);
    struct unmap_list list;

    assert_int_equal(unmap_list_decode(exact, length, &list), 0);
    for (size_t i = 0; i < list.count; i++)
        assert_int_equal(unmap_list_get(&list, i).lba, 0);
    free(exact);
    return list.count;
}

static void no_length_leads_past_what_was_received(void **state)
{
    (void)state;
    assert_int_equal(count_with(0xFFFF, 0xFFFF, 72), 4);
    assert_int_equal(count_with(0xFFFF, 0xFFFF, 71), 3);
    assert_int_equal(count_with(0xFFFF, 0xFFFF, 24), 1);
    assert_int_equal(count_with(0xFFFF, 0xFFFF, 8), 0);
    assert_int_equal(count_with(0xFFFF, 16, 72), 1);
    assert_int_equal(count_with(70, 0xFFFF, 72), 4);
}

static void the_shorter_of_the_lists_own_lengths_counts(void **state)
{
    (void)state;
    assert_int_equal(count_with(22, 64, 72), 1);
    assert_int_equal(count_with(70, 32, 72), 2);
    assert_int_equal(count_with(21, 64, 72), 0);
    assert_int_equal(count_with(0, 64, 72), 0);
    assert_int_equal(count_with(5, 64, 72), 0);
    assert_int_equal(count_with(6, 64, 72), 0);
}

static void a_descriptor_length_that_is_no_multiple_ignores_the_rest(void **state)
{
    (void)state;
    assert_int_equal(count_with(70, 0, 72), 0);
    assert_int_equal(count_with(70, 15, 72), 0);
    assert_int_equal(count_with(70, 17, 72), 1);
    assert_int_equal(count_with(70, 31, 72), 1);
    assert_int_equal(count_with(70, 63, 72), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_laid_out_as_the_standard_says),
        cmocka_unit_test(an_empty_list_is_a_header),
        cmocka_unit_test(the_longest_list_fits_its_16_bit_lengths),
        cmocka_unit_test(descriptors_are_read_as_they_stand_even_at_2_64),
        cmocka_unit_test(every_cut_is_told_apart),
        cmocka_unit_test(no_length_leads_past_what_was_received),
        cmocka_unit_test(the_shorter_of_the_lists_own_lengths_counts),
        cmocka_unit_test(a_descriptor_length_that_is_no_multiple_ignores_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
