/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exact.h"
#include "vpd.h"

/* Designation descriptors of page 83h: SPC-4 7.8.6. */

#define NAA_6  0x01, 0x03, 0, 16, 0x60, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xA, 0xB, 0xC, 0xD, 0xE, 0xF
#define NAA_5  0x01, 0x03, 0, 8, 0x50, 1, 2, 3, 4, 5, 6, 7
#define NAA_3  0x01, 0x03, 0, 8, 0x30, 1, 2, 3, 4, 5, 6, 7
#define EUI_64 0x01, 0x02, 0, 8, 8, 7, 6, 5, 4, 3, 2, 1
#define T10    0x02, 0x01, 0, 12, 'V', 'E', 'N', 'D', 'O', 'R', ' ', ' ', 'x', 'y', ' ', 0
#define UUID   0x01, 0x0A, 0, 18, 0x10, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xA, 0xB, 0xC, 0xD, 0xE, 0xF
/* A target port's and a target device's name, not the logical unit's. */
#define PORT   0x61, 0x93, 0, 8, 0x50, 9, 9, 9, 9, 9, 9, 9
#define DEVICE 0x61, 0xA3, 0, 8, 0x50, 8, 8, 8, 8, 8, 8, 8

static int identify(const uint8_t *descriptors, size_t length, struct vpd_identity *ret)
{
    uint8_t page[VPD_PAGE_MAX_BYTES] = {0, 0x83, (uint8_t)(length >> 8), (uint8_t)length};
    uint8_t *exact;
    int result;

    assert_true(4 + length <= sizeof(page));
    memcpy(page + 4, descriptors, length);
    exact = exact_copy(page, 4 + length);
    result = vpd_decode_identity(exact, 4 + length, ret);
    free(exact);
    return result;
}

#define ASSERT_IDENTITY(text_expected, ...)                                            \
    do {                                                                               \
        static const uint8_t descriptors_[] = {__VA_ARGS__};                           \
        struct vpd_identity identity_;                                                 \
        assert_int_equal(identify(descriptors_, sizeof(descriptors_), &identity_), 0); \
        assert_string_equal(identity_.text, text_expected);                            \
    } while (0)

#define ASSERT_NO_IDENTITY(...)                                                              \
    do {                                                                                     \
        static const uint8_t descriptors_[] = {__VA_ARGS__};                                 \
        struct vpd_identity identity_;                                                       \
        assert_int_equal(identify(descriptors_, sizeof(descriptors_), &identity_), -ENOENT); \
        assert_string_equal(identity_.text, "");                                             \
    } while (0)

static void our_page_names_the_lun_by_naa_and_by_vendor(void **state)
{
    static const uint8_t naa[16] = {0x60, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    static const uint8_t expected[] = {0,   0x83, 0,   34,  0x01, 0x03, 0,   16, 0x60, 1,
                                       2,   3,    4,   5,   6,    7,    8,   9,  10,   11,
                                       12,  13,   14,  15,  0x02, 0x01, 0,   10, 'T',  'H',
                                       'I', 'N',  ' ', ' ', ' ',  ' ',  'a', 'b'};
    uint8_t bytes[VPD_PAGE_MAX_BYTES];
    char longest[600];

    (void)state;
    memset(bytes, 0xEE, sizeof(bytes));
    assert_int_equal(vpd_encode_identification(bytes, naa, "THIN", "ab"), sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));

    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = 0;
    assert_int_equal(vpd_encode_identification(bytes, naa, longest, longest),
                     4 + 20 + 12 + VPD_TEXT_MAX_BYTES);
    assert_int_equal(bytes[27], 8 + VPD_TEXT_MAX_BYTES);
    assert_int_equal(bytes[3], 20 + 12 + VPD_TEXT_MAX_BYTES - 256);
    assert_int_equal(bytes[2], 1);
}

static void each_kind_of_designator_has_its_text(void **state)
{
    (void)state;
    ASSERT_IDENTITY("naa.600102030405060708090a0b0c0d0e0f", NAA_6);
    ASSERT_IDENTITY("naa.5001020304050607", NAA_5);
    ASSERT_IDENTITY("naa.3001020304050607", NAA_3);
    ASSERT_IDENTITY("naa.2001020304050607", 1, 3, 0, 8, 0x20, 1, 2, 3, 4, 5, 6, 7);
    ASSERT_IDENTITY("eui.0807060504030201", EUI_64);
    ASSERT_IDENTITY("eui.080706050403020100000000", 1, 2, 0, 12, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0,
                    0);
    ASSERT_IDENTITY("uuid.000102030405060708090a0b0c0d0e0f", UUID);
    ASSERT_IDENTITY("t10.VENDOR  xy", T10);
    ASSERT_IDENTITY("t10.a\\x01\\xff", 1, 1, 0, 3, 'a', 1, 0xFF);
}

static void the_best_name_wins_wherever_it_stands(void **state)
{
    (void)state;
    ASSERT_IDENTITY("naa.600102030405060708090a0b0c0d0e0f", T10, UUID, EUI_64, NAA_3, NAA_5, NAA_6);
    ASSERT_IDENTITY("naa.600102030405060708090a0b0c0d0e0f", NAA_6, NAA_5, NAA_3, EUI_64, UUID, T10);
    ASSERT_IDENTITY("naa.5001020304050607", T10, UUID, EUI_64, NAA_3, NAA_5);
    ASSERT_IDENTITY("naa.3001020304050607", EUI_64, NAA_3, T10);
    ASSERT_IDENTITY("eui.0807060504030201", T10, UUID, EUI_64);
    ASSERT_IDENTITY("uuid.000102030405060708090a0b0c0d0e0f", T10, UUID);
}

static void names_of_ports_and_devices_are_not_the_luns(void **state)
{
    (void)state;
    ASSERT_NO_IDENTITY(PORT, DEVICE);
    ASSERT_IDENTITY("t10.VENDOR  xy", PORT, T10, DEVICE);
}

static void designators_of_impossible_form_are_passed_over(void **state)
{
    (void)state;
    ASSERT_NO_IDENTITY(1, 3, 0, 0);
    ASSERT_NO_IDENTITY(1, 3, 0, 1, 0x60);
    ASSERT_NO_IDENTITY(1, 3, 0, 8, 0x60, 1, 2, 3, 4, 5, 6, 7);
    ASSERT_NO_IDENTITY(1, 3, 0, 8, 0x40, 1, 2, 3, 4, 5, 6, 7);
    ASSERT_NO_IDENTITY(1, 2, 0, 7, 1, 2, 3, 4, 5, 6, 7);
    ASSERT_NO_IDENTITY(1, 10, 0, 2, 0x10, 0);
    ASSERT_NO_IDENTITY(2, 1, 0, 4, ' ', ' ', 0, ' ');
    ASSERT_NO_IDENTITY(1, 4, 0, 4, 0, 0, 0, 1);
    ASSERT_IDENTITY("eui.0807060504030201", 1, 3, 0, 0, 1, 3, 0, 1, 0x60, EUI_64);
}

static void every_cut_keeps_the_whole_designators_before_it(void **state)
{
    static const uint8_t page[] = {0, 0x83, 0, 44, EUI_64, NAA_5, NAA_6};

    (void)state;
    assert_int_equal(sizeof(page), 4 + 44);
    for (size_t length = 0; length <= sizeof(page); length++) {
        uint8_t *exact = exact_copy(page, length);
        struct vpd_identity identity;
        const char *expected = length < 16             ? ""
                               : length < 28           ? "eui.0807060504030201"
                               : length < sizeof(page) ? "naa.5001020304050607"
                                                       : "naa.600102030405060708090a0b0c0d0e0f";

        assert_int_equal(vpd_decode_identity(exact, length, &identity), length < 4    ? -EINVAL
                                                                        : length < 16 ? -ENOENT
                                                                                      : 0);
        assert_string_equal(identity.text, expected);
        free(exact);
    }
}

static void what_lies_behind_the_pages_own_length_is_not_looked_at(void **state)
{
    static const uint8_t page[] = {0, 0x83, 0, 12, EUI_64, NAA_5, NAA_6};
    struct vpd_identity identity;

    (void)state;
    assert_int_equal(vpd_decode_identity(page, sizeof(page), &identity), 0);
    assert_string_equal(identity.text, "eui.0807060504030201");
}

static void another_page_is_refused(void **state)
{
    static const uint8_t page[] = {0, 0x80, 0, 12, EUI_64};
    struct vpd_identity identity;

    (void)state;
    assert_int_equal(vpd_decode_identity(page, sizeof(page), &identity), -EINVAL);
}

static void the_longest_designator_stays_within_its_text(void **state)
{
    uint8_t descriptor[4 + 255] = {2, 1, 0, 255};
    struct vpd_identity identity;

    (void)state;
    memset(descriptor + 4, 'z', 255);
    assert_int_equal(identify(descriptor, sizeof(descriptor), &identity), 0);
    assert_int_equal(strlen(identity.text), 4 + 255);
    memset(descriptor + 4, 0xFE, 255);
    assert_int_equal(identify(descriptor, sizeof(descriptor), &identity), 0);
    assert_true(strlen(identity.text) < sizeof(identity.text));
    assert_memory_equal(identity.text, "t10.\\xfe\\xfe", 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_page_names_the_lun_by_naa_and_by_vendor),
        cmocka_unit_test(each_kind_of_designator_has_its_text),
        cmocka_unit_test(the_best_name_wins_wherever_it_stands),
        cmocka_unit_test(names_of_ports_and_devices_are_not_the_luns),
        cmocka_unit_test(designators_of_impossible_form_are_passed_over),
        cmocka_unit_test(every_cut_keeps_the_whole_designators_before_it),
        cmocka_unit_test(what_lies_behind_the_pages_own_length_is_not_looked_at),
        cmocka_unit_test(another_page_is_refused),
        cmocka_unit_test(the_longest_designator_stays_within_its_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
