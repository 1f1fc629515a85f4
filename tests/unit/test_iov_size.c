/* SPDX-License-Identifier: Apache-2.0 */

/* Walking scatter lists; sizes as people write them. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iov.h"
#include "size.h"

#define ELEMENTS 7

/* 20 bytes, the numbers 0 to 19, in elements of which some are empty. */
static const size_t lengths[ELEMENTS] = {0, 3, 0, 0, 10, 7, 0};

static void make_list(struct iovec *iov)
{
    uint8_t next = 0;

    for (int i = 0; i < ELEMENTS; i++) {
        uint8_t *bytes = malloc(lengths[i] + 1);

        assert_non_null(bytes);
        for (size_t at = 0; at < lengths[i]; at++)
            bytes[at] = next++;
        iov[i] = (struct iovec){.iov_base = bytes, .iov_len = lengths[i]};
    }
}

static void free_list(struct iovec *iov)
{
    for (int i = 0; i < ELEMENTS; i++)
        free(iov[i].iov_base);
}

static void a_total_saturates(void **state)
{
    struct iovec iov[2] = {{NULL, SIZE_MAX - 1}, {NULL, 2}};

    (void)state;
    assert_int_equal(iov_total(iov, 0), 0);
    assert_int_equal(iov_total(iov, 1), SIZE_MAX - 1);
    assert_true(iov_total(iov, 2) == SIZE_MAX);
}

static void every_start_and_length_reads_the_right_bytes(void **state)
{
    struct iovec iov[ELEMENTS];

    (void)state;
    make_list(iov);
    assert_int_equal(iov_total(iov, ELEMENTS), 20);
    for (size_t start = 0; start <= 21; start++) {
        for (size_t length = 0; length <= 22; length++) {
            struct iov_cursor cursor = iov_cursor_at_start(iov, ELEMENTS);
            size_t skipped = start < 20 ? start : 20;
            size_t left = 20 - skipped;
            uint8_t bytes[24];

            memset(bytes, 0xEE, sizeof(bytes));
            assert_int_equal(iov_cursor_skip(&cursor, start), skipped);
            if (length < left)
                left = length;
            assert_int_equal(iov_cursor_read(&cursor, bytes, length), left);
            for (size_t i = 0; i < left; i++)
                assert_int_equal(bytes[i], skipped + i);
            assert_int_equal(bytes[left], 0xEE);
        }
    }
    free_list(iov);
}

static void writing_and_zeroing_stay_within_the_list(void **state)
{
    struct iovec iov[ELEMENTS];
    struct iov_cursor cursor;
    uint8_t bytes[32];

    (void)state;
    make_list(iov);
    cursor = iov_cursor_at_start(iov, ELEMENTS);
    memset(bytes, 0xAA, sizeof(bytes));
    assert_int_equal(iov_cursor_skip(&cursor, 2), 2);
    assert_int_equal(iov_cursor_write(&cursor, bytes, 5), 5);
    assert_int_equal(iov_cursor_skip(&cursor, 3), 3);
    assert_int_equal(iov_cursor_zero(&cursor, 4), 4);
    assert_int_equal(iov_cursor_write(&cursor, bytes, 100), 6);
    assert_int_equal(iov_cursor_write(&cursor, bytes, 1), 0);
    cursor = iov_cursor_at_start(iov, ELEMENTS);
    assert_int_equal(iov_cursor_read(&cursor, bytes, sizeof(bytes)), 20);
    for (uint8_t i = 0; i < 20; i++) {
        bool written = (i >= 2 && i < 7) || i >= 14;
        bool zeroed = i >= 10 && i < 14;

        assert_int_equal(bytes[i], written ? 0xAA : zeroed ? 0 : i);
    }
    free_list(iov);
}

static void a_batch_describes_without_moving(void **state)
{
    struct iovec iov[ELEMENTS], batch[ELEMENTS];
    struct iov_cursor cursor;
    size_t length;

    (void)state;
    make_list(iov);
    cursor = iov_cursor_at_start(iov, ELEMENTS);
    assert_int_equal(iov_cursor_skip(&cursor, 1), 1);
    assert_int_equal(iov_cursor_batch(&cursor, SIZE_MAX, batch, ELEMENTS, &length), 3);
    assert_int_equal(length, 19);
    assert_ptr_equal(batch[0].iov_base, (char *)iov[1].iov_base + 1);
    assert_int_equal(batch[0].iov_len, 2);
    assert_int_equal(iov_cursor_batch(&cursor, SIZE_MAX, batch, 1, &length), 1);
    assert_int_equal(length, 2);
    assert_int_equal(iov_cursor_batch(&cursor, 5, batch, ELEMENTS, &length), 2);
    assert_int_equal(length, 5);
    assert_int_equal(batch[1].iov_len, 3);
    assert_int_equal(iov_cursor_skip(&cursor, 19), 19);
    assert_int_equal(iov_cursor_batch(&cursor, 5, batch, ELEMENTS, &length), 0);
    assert_int_equal(length, 0);
    free_list(iov);
}

static void sizes_are_numbers_with_a_unit(void **state)
{
    /* The values are those of numfmt --from=auto or --from=iec, of coreutils. */
    const struct {
        const char *text;
        uint64_t bytes;
    } sound[] = {{"0", 0},
                 {"512", 512},
                 {"1K", 1024},
                 {"1k", 1024},
                 {"3M", 3145728},
                 {"2G", 2147483648},
                 {"10GiB", 10737418240},
                 {"10gib", 10737418240},
                 {"10GB", 10000000000},
                 {"10gb", 10000000000},
                 {"1KB", 1000},
                 {"1MB", 1000000},
                 {"1KiB", 1024},
                 {"2TB", 2000000000000},
                 {"1.5T", 1649267441664},
                 {"1.50TiB", 1649267441664},
                 {"0.5K", 512},
                 {"1.000", 1},
                 {"1.234567890123TB", 1234567890123},
                 {"0.0009765625K", 1},
                 {"8388607T", UINT64_C(8388607) << 40},
                 {"9223372036854775807", INT64_MAX}};
    const char *const wrong[] = {"",    "K",    "-1",  "+1",  " 1",   "1 ",    "1B",   "1.",
                                 ".5G", "1..5", "1,5", "1KK", "1KiK", "1KiBx", "1KBs", "1K B",
                                 "1e3", "0x10", "1P",  "1i",  "1iB",  "1 GB",  "1.G",  "1.5.5G"};
    const char *const split[] = {"1.5", "1.1K", "0.1G", "1.0001KB", "0.0000000000000000001T"};
    const char *const large[] = {"9223372036854775808",
                                 "8388608T",
                                 "18446744073709551616",
                                 "99999999999999999999999",
                                 "18014398509481984K",
                                 "9223372036854775807.0000K",
                                 "9223373TB"};
    uint64_t bytes;

    (void)state;
    for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++) {
        assert_int_equal(size_parse(sound[i].text, &bytes), 0);
        assert_true(bytes == sound[i].bytes);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(size_parse(wrong[i], &bytes), -EINVAL);
    for (size_t i = 0; i < sizeof(split) / sizeof(split[0]); i++)
        assert_int_equal(size_parse(split[i], &bytes), -EDOM);
    for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
        assert_int_equal(size_parse(large[i], &bytes), -ERANGE);
}

static void sizes_are_shown_in_the_largest_unit(void **state)
{
    const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {{0, "0 bytes"},     {1023, "1023 bytes"},         {1024, "1 KiB"},
                 {1536, "1.50 KiB"}, {UINT64_C(5) << 40, "5 TiB"}, {UINT64_MAX, "16.00 EiB"}};
    char buffer[SIZE_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        assert_string_equal(size_text(sizes[i].bytes, buffer, sizeof(buffer)), sizes[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_total_saturates),
        cmocka_unit_test(every_start_and_length_reads_the_right_bytes),
        cmocka_unit_test(writing_and_zeroing_stay_within_the_list),
        cmocka_unit_test(a_batch_describes_without_moving),
        cmocka_unit_test(sizes_are_numbers_with_a_unit),
        cmocka_unit_test(sizes_are_shown_in_the_largest_unit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
