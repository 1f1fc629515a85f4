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

#include "exact.h"
#include "vpd.h"

/* Field positions: SPC-4 7.8, SBC-4 6.6. */

static void the_supported_pages_are_listed(void **state)
{
    static const uint8_t pages[] = {0x00, 0x80, 0x83, 0xB0};
    static const uint8_t expected[] = {0, 0x00, 0, 4, 0x00, 0x80, 0x83, 0xB0};
    uint8_t bytes[VPD_PAGE_MAX_BYTES];

    (void)state;
    memset(bytes, 0xEE, sizeof(bytes));
    assert_int_equal(vpd_encode_supported(bytes, pages, sizeof(pages)), sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void a_page_is_supported_when_it_stands_in_the_list(void **state)
{
    /* B2h stands behind the page's own end. */
    static const uint8_t bytes[] = {0, 0x00, 0, 3, 0x00, 0x83, 0xB0, 0xB2};

    (void)state;
    assert_true(vpd_supports(bytes, sizeof(bytes), 0xB0));
    assert_true(vpd_supports(bytes, sizeof(bytes), 0x00));
    assert_false(vpd_supports(bytes, sizeof(bytes), 0xB2));
    assert_false(vpd_supports(bytes, sizeof(bytes), 0x80));
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        uint8_t *exact = exact_copy(bytes, length);

        assert_int_equal(vpd_supports(exact, length, 0xB0), length >= 7);
        free(exact);
    }
    assert_false(vpd_supports((const uint8_t[]){0, 0x80, 0, 1, 0xB0}, 5, 0xB0));
}

static void the_serial_number_stands_behind_the_header(void **state)
{
    uint8_t bytes[VPD_PAGE_MAX_BYTES];
    char longest[600];

    (void)state;
    assert_int_equal(vpd_encode_serial(bytes, "ab-12"), 9);
    assert_memory_equal(bytes,
                        "\x00\x80\x00\x05"
                        "ab-12",
                        9);
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = 0;
    assert_int_equal(vpd_encode_serial(bytes, longest), 4 + VPD_TEXT_MAX_BYTES);
    assert_int_equal(bytes[3], VPD_TEXT_MAX_BYTES);
}

static void a_serial_number_is_read_without_padding(void **state)
{
    static const uint8_t bytes[] = {0,   0x80, 0,   12,  ' ', ' ', 'a',  'b',
                                    ' ', 0x07, 'c', ' ', ' ', 0,   0xFF, 0};
    static const uint8_t blank[] = {0, 0x80, 0, 4, ' ', ' ', ' ', ' '};
    char serial[32];

    (void)state;
    assert_int_equal(vpd_decode_serial(bytes, sizeof(bytes), serial, sizeof(serial)), 0);
    assert_string_equal(serial, "ab c  ");
    assert_int_equal(vpd_decode_serial(bytes, 13, serial, sizeof(serial)), 0);
    assert_string_equal(serial, "ab c");
    assert_int_equal(vpd_decode_serial(bytes, sizeof(bytes), serial, 3), 0);
    assert_string_equal(serial, "ab");
    assert_int_equal(vpd_decode_serial(blank, sizeof(blank), serial, sizeof(serial)), -ENOENT);
    assert_string_equal(serial, "");
    assert_int_equal(vpd_decode_serial((const uint8_t[]){0, 0x83, 0, 1, 'a'}, 5, serial, 8),
                     -EINVAL);
}

static void every_cut_of_a_serial_number_is_bounded(void **state)
{
    static const uint8_t bytes[] = {0, 0x80, 0xFF, 0xFF, 'a', 'b', 'c'};

    (void)state;
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        uint8_t *exact = exact_copy(bytes, length);
        char serial[8];
        int expected = length < 4 ? -EINVAL : length == 4 ? -ENOENT : 0;

        assert_int_equal(vpd_decode_serial(exact, length, serial, sizeof(serial)), expected);
        assert_int_equal(strlen(serial), length < 4 ? 0 : length - 4);
        free(exact);
    }
}

static const struct vpd_block_limits limits = {
    .wsnz = true,
    .max_compare_and_write_blocks = 0x11,
    .optimal_transfer_granularity = 0x1213,
    .max_transfer = 0x14151617,
    .optimal_transfer = 0x18191A1B,
    .max_unmap_blocks = 0x20212223,
    .max_unmap_descriptors = 0x24252627,
    .optimal_unmap_granularity = 0x28292A2B,
    .unmap_alignment_valid = true,
    .unmap_alignment = 0x2C2D2E2F,
    .max_write_same = 0x3031323334353637,
};

static const uint8_t limits_bytes[64] = {0,    0xB0, 0,    0x3C, 0x01, 0x11, 0x12, 0x13, 0x14,
                                         0x15, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0,    0,
                                         0,    0,    0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26,
                                         0x27, 0x28, 0x29, 0x2A, 0x2B, 0xAC, 0x2D, 0x2E, 0x2F,
                                         0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37};

static void block_limits_are_laid_out_as_the_standard_says(void **state)
{
    struct vpd_block_limits without = limits;
    uint8_t bytes[VPD_PAGE_MAX_BYTES];

    (void)state;
    memset(bytes, 0xEE, sizeof(bytes));
    assert_int_equal(vpd_encode_block_limits(bytes, &limits), 64);
    assert_memory_equal(bytes, limits_bytes, 64);
    without.wsnz = false;
    without.unmap_alignment_valid = false;
    vpd_encode_block_limits(bytes, &without);
    assert_int_equal(bytes[4], 0);
    assert_memory_equal(bytes + 32, "\0\0\0\0", 4);
}

static void every_cut_of_block_limits_gives_what_is_there(void **state)
{
    (void)state;
    for (size_t length = 0; length <= sizeof(limits_bytes); length++) {
        uint8_t *exact = exact_copy(limits_bytes, length);
        struct vpd_block_limits read;
        bool whole = length >= 16;

        assert_int_equal(vpd_decode_block_limits(exact, length, &read), whole ? 0 : -EINVAL);
        assert_int_equal(read.wsnz, whole);
        assert_int_equal(read.max_compare_and_write_blocks, whole ? 0x11 : 0);
        assert_int_equal(read.optimal_transfer_granularity, whole ? 0x1213 : 0);
        assert_int_equal(read.max_transfer, whole ? 0x14151617 : 0);
        assert_int_equal(read.optimal_transfer, whole ? 0x18191A1B : 0);
        assert_int_equal(read.max_unmap_blocks, length < 24 ? 0 : 0x20212223);
        assert_int_equal(read.max_unmap_descriptors, length < 28 ? 0 : 0x24252627);
        assert_int_equal(read.optimal_unmap_granularity, length < 32 ? 0 : 0x28292A2B);
        assert_int_equal(read.unmap_alignment_valid, length >= 36);
        assert_int_equal(read.unmap_alignment, length < 36 ? 0 : 0x2C2D2E2F);
        assert_true(read.max_write_same == (length < 44 ? 0 : 0x3031323334353637));
        free(exact);
    }
}

static void a_block_limits_page_of_the_first_standard_is_understood(void **state)
{
    uint8_t bytes[64];
    struct vpd_block_limits read;

    (void)state;
    memcpy(bytes, limits_bytes, sizeof(bytes));
    bytes[3] = 0x0C; /* what follows is not part of the page */
    assert_int_equal(vpd_decode_block_limits(bytes, sizeof(bytes), &read), 0);
    assert_int_equal(read.optimal_transfer, 0x18191A1B);
    assert_int_equal(read.max_unmap_blocks, 0);
    assert_false(read.unmap_alignment_valid);
    bytes[3] = 0x0B;
    assert_int_equal(vpd_decode_block_limits(bytes, sizeof(bytes), &read), -EINVAL);
    bytes[1] = 0xB1;
    bytes[3] = 0x3C;
    assert_int_equal(vpd_decode_block_limits(bytes, sizeof(bytes), &read), -EINVAL);
}

static void an_alignment_without_its_valid_bit_is_not_taken(void **state)
{
    uint8_t bytes[64];
    struct vpd_block_limits read;

    (void)state;
    memcpy(bytes, limits_bytes, sizeof(bytes));
    bytes[32] &= 0x7F;
    assert_int_equal(vpd_decode_block_limits(bytes, sizeof(bytes), &read), 0);
    assert_false(read.unmap_alignment_valid);
    assert_int_equal(read.unmap_alignment, 0);
}

static void the_medium_does_not_rotate_and_can_be_read_after_an_erase(void **state)
{
    static const uint8_t expected[64] = {0, 0xB1, 0, 0x3C, 0, 1, 0, 0x40, 0x01};
    uint8_t bytes[VPD_PAGE_MAX_BYTES];

    (void)state;
    memset(bytes, 0xEE, sizeof(bytes));
    assert_int_equal(vpd_encode_characteristics(bytes), sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void provisioning_is_laid_out_as_the_standard_says(void **state)
{
    struct vpd_provisioning provisioning = {.threshold_exponent = 0x0B,
                                            .lbpu = true,
                                            .lbpws = true,
                                            .lbpws10 = true,
                                            .lbprz = 1,
                                            .anc_sup = true,
                                            .provisioning_type = 2};
    uint8_t bytes[VPD_PAGE_MAX_BYTES];

    (void)state;
    assert_int_equal(vpd_encode_provisioning(bytes, &provisioning), 8);
    assert_memory_equal(bytes, "\x00\xB2\x00\x04\x0B\xE6\x02\x00", 8);
    provisioning = (struct vpd_provisioning){.lbpu = true};
    vpd_encode_provisioning(bytes, &provisioning);
    assert_int_equal(bytes[5], 0x80);
    provisioning = (struct vpd_provisioning){.lbpws = true, .lbprz = 0xFF};
    vpd_encode_provisioning(bytes, &provisioning);
    assert_int_equal(bytes[5], 0x5C);
    provisioning = (struct vpd_provisioning){.lbpws10 = true, .provisioning_type = 0xFF};
    vpd_encode_provisioning(bytes, &provisioning);
    assert_int_equal(bytes[5], 0x20);
    assert_int_equal(bytes[6], 0x07);
}

static void every_cut_of_provisioning_gives_what_is_there(void **state)
{
    static const uint8_t bytes[] = {0, 0xB2, 0, 4, 0x0B, 0xA9, 0xFA, 0};

    (void)state;
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        uint8_t *exact = exact_copy(bytes, length);
        struct vpd_provisioning read;
        bool whole = length >= 6;

        assert_int_equal(vpd_decode_provisioning(exact, length, &read), whole ? 0 : -EINVAL);
        assert_int_equal(read.threshold_exponent, whole ? 0x0B : 0);
        assert_int_equal(read.lbpu, whole);
        assert_int_equal(read.lbpws, false);
        assert_int_equal(read.lbpws10, whole);
        assert_int_equal(read.lbprz, whole ? 2 : 0);
        assert_false(read.anc_sup);
        assert_int_equal(read.provisioning_type, length < 7 ? 0 : 2);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_supported_pages_are_listed),
        cmocka_unit_test(a_page_is_supported_when_it_stands_in_the_list),
        cmocka_unit_test(the_serial_number_stands_behind_the_header),
        cmocka_unit_test(a_serial_number_is_read_without_padding),
        cmocka_unit_test(every_cut_of_a_serial_number_is_bounded),
        cmocka_unit_test(block_limits_are_laid_out_as_the_standard_says),
        cmocka_unit_test(every_cut_of_block_limits_gives_what_is_there),
        cmocka_unit_test(a_block_limits_page_of_the_first_standard_is_understood),
        cmocka_unit_test(an_alignment_without_its_valid_bit_is_not_taken),
        cmocka_unit_test(the_medium_does_not_rotate_and_can_be_read_after_an_erase),
        cmocka_unit_test(provisioning_is_laid_out_as_the_standard_says),
        cmocka_unit_test(every_cut_of_provisioning_gives_what_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
