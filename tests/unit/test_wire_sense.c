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
#include "sense.h"

/* Field positions: SPC-4 4.5.2 (descriptor format) and 4.5.3 (fixed format). */

static void fixed_sense_is_laid_out_as_the_standard_says(void **state)
{
    static const uint8_t expected[SENSE_FIXED_BYTES] = {0x70, 0, 0x05, 0,    0,    0, 0, 10, 0,
                                                        0,    0, 0,    0x21, 0x00, 0, 0, 0,  0};
    static const uint8_t with_information[SENSE_FIXED_BYTES] = {0xF0, 0,    0x07, 0xFF, 0xFE, 0xFD,
                                                                0xFC, 10,   0,    0,    0,    0,
                                                                0x27, 0x07, 0,    0,    0,    0};
    struct sense sense = {.key = SENSE_ILLEGAL_REQUEST, .asc_ascq = ASC_LBA_OUT_OF_RANGE};
    uint8_t bytes[SENSE_FIXED_BYTES];

    (void)state;
    memset(bytes, 0xEE, sizeof(bytes));
    sense_encode_fixed(&sense, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));

    sense = (struct sense){.key = SENSE_DATA_PROTECT,
                           .asc_ascq = ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT,
                           .information_valid = true,
                           .information = 0xFFFEFDFC};
    sense_encode_fixed(&sense, bytes);
    assert_memory_equal(bytes, with_information, sizeof(with_information));
}

static void information_that_does_not_fit_is_left_out(void **state)
{
    struct sense sense = {.key = SENSE_MEDIUM_ERROR,
                          .asc_ascq = ASC_UNRECOVERED_READ_ERROR,
                          .information_valid = true,
                          .information = UINT64_C(1) << 32};
    static const uint8_t zeros[4];
    uint8_t bytes[SENSE_FIXED_BYTES];

    (void)state;
    sense_encode_fixed(&sense, bytes);
    assert_int_equal(bytes[0], 0x70);
    assert_memory_equal(bytes + 3, zeros, sizeof(zeros));
}

static void fixed_sense_says_key_code_and_information(void **state)
{
    static const uint8_t bytes[] = {0xF1, 0, 0xE3, 0x12, 0x34, 0x56, 0x78, 10, 0,
                                    0,    0, 0,    0x11, 0x04, 0,    0,    0,  0};
    struct sense sense;

    (void)state;
    assert_int_equal(sense_decode(bytes, sizeof(bytes), &sense), 0);
    assert_int_equal(sense.key, 3); /* FILEMARK, EOM and ILI are not part of it */
    assert_int_equal(sense.asc_ascq, 0x1104);
    assert_true(sense.information_valid);
    assert_int_equal(sense.information, 0x12345678);
    assert_true(sense.deferred);
}

static void descriptor_sense_says_key_code_and_information(void **state)
{
    /* A sense key specific descriptor stands before the information descriptor. */
    static const uint8_t bytes[] = {0x72, 0xF5, 0x24, 0x01, 0, 0, 0, 20,   0x02, 0x06,
                                    0,    0,    0xC0, 0,    2, 0, 0, 0x0A, 0x80, 0,
                                    1,    2,    3,    4,    5, 6, 7, 8};
    struct sense sense;

    (void)state;
    assert_int_equal(sense_decode(bytes, sizeof(bytes), &sense), 0);
    assert_int_equal(sense.key, 5);
    assert_int_equal(sense.asc_ascq, 0x2401);
    assert_true(sense.information_valid);
    assert_true(sense.information == 0x0102030405060708);
    assert_false(sense.deferred);
}

static void progress_is_told_in_both_formats(void **state)
{
    static const uint8_t fixed[SENSE_FIXED_BYTES] = {0x70, 0, 0x02, 0,    0, 0,    0,    10,  0, 0,
                                                     0,    0, 0x04, 0x1B, 0, 0x80, 0x12, 0x34};
    static const uint8_t descriptor[] = {0x72, 2, 0x04, 0x1B, 0,    0,    0,    8,
                                         2,    6, 0,    0,    0x80, 0x12, 0x34, 0};
    struct sense sense = {.key = SENSE_NOT_READY, .asc_ascq = ASC_SANITIZE_IN_PROGRESS}, read;
    uint8_t bytes[SENSE_DESCRIPTOR_MAX_BYTES];

    (void)state;
    sense_set_progress(&sense, 0x1234);
    sense_encode_fixed(&sense, bytes);
    assert_memory_equal(bytes, fixed, sizeof(fixed));
    assert_int_equal(sense_decode(bytes, sizeof(fixed), &read), 0);
    assert_memory_equal(read.specific, sense.specific, sizeof(read.specific));
    assert_int_equal(sense_encode_descriptor(&sense, bytes), sizeof(descriptor));
    assert_memory_equal(bytes, descriptor, sizeof(descriptor));
    assert_int_equal(sense_decode(bytes, sizeof(descriptor), &read), 0);
    assert_memory_equal(read.specific, sense.specific, sizeof(read.specific));
}

static void descriptor_format_has_room_for_any_information(void **state)
{
    static const uint8_t expected[] = {0x72, 0x0E, 0x1D, 0, 0, 0, 0, 12, 0, 10,
                                       0x80, 0,    1,    2, 3, 4, 5, 6,  7, 8};
    struct sense sense = {.key = SENSE_MISCOMPARE,
                          .asc_ascq = ASC_MISCOMPARE_DURING_VERIFY,
                          .information_valid = true,
                          .information = 0x0102030405060708};
    uint8_t bytes[SENSE_DESCRIPTOR_MAX_BYTES];

    (void)state;
    assert_int_equal(sense_encode_descriptor(&sense, bytes), sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
    sense.information_valid = false;
    assert_int_equal(sense_encode_descriptor(&sense, bytes), 8);
    assert_int_equal(bytes[7], 0);
}

static void information_without_the_valid_bit_is_not_taken(void **state)
{
    static const uint8_t fixed[SENSE_FIXED_BYTES] = {0x70, 0, 3, 1, 2, 3, 4, 10};
    static const uint8_t descriptor[] = {0x73, 3, 0, 0, 0, 0, 0, 12, 0, 10,
                                         0,    0, 1, 2, 3, 4, 5, 6,  7, 8};
    struct sense sense;

    (void)state;
    assert_int_equal(sense_decode(fixed, sizeof(fixed), &sense), 0);
    assert_false(sense.information_valid);
    assert_int_equal(sense.information, 0);
    assert_int_equal(sense_decode(descriptor, sizeof(descriptor), &sense), 0);
    assert_false(sense.information_valid);
    assert_true(sense.deferred);
}

static void cut_fixed_sense_gives_what_is_there(void **state)
{
    static const uint8_t bytes[SENSE_FIXED_BYTES] = {0xF0, 0, 5, 0, 0, 1,    0,
                                                     10,   0, 0, 0, 0, 0x24, 0x02};

    (void)state;
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        uint8_t *exact = exact_copy(bytes, length);
        struct sense sense;

        assert_int_equal(sense_decode(exact, length, &sense), length < 3 ? -EINVAL : 0);
        assert_int_equal(sense.key, length < 3 ? 0 : 5);
        assert_int_equal(sense.information_valid, length >= 7);
        assert_int_equal(sense.asc_ascq, length < 13 ? 0 : length < 14 ? 0x2400 : 0x2402);
        free(exact);
    }
}

static void cut_descriptor_sense_gives_what_is_there(void **state)
{
    static const uint8_t bytes[] = {0x72, 5, 0x24, 0x02, 0, 0, 0, 12, 0, 10,
                                    0x80, 0, 0,    0,    0, 0, 0, 0,  0, 9};

    (void)state;
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        uint8_t *exact = exact_copy(bytes, length);
        struct sense sense;

        assert_int_equal(sense_decode(exact, length, &sense), length < 2 ? -EINVAL : 0);
        assert_int_equal(sense.key, length < 2 ? 0 : 5);
        assert_int_equal(sense.asc_ascq, length < 3 ? 0 : length < 4 ? 0x2400 : 0x2402);
        assert_int_equal(sense.information_valid, length == sizeof(bytes));
        free(exact);
    }
}

static void the_additional_sense_length_is_believed_when_it_is_shorter(void **state)
{
    uint8_t fixed[SENSE_FIXED_BYTES] = {0x70, 0, 5, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0x24, 0x00};
    uint8_t descriptor[20] = {0x72, 5, 0x24, 0, 0, 0, 0, 11, 0, 10, 0x80};
    struct sense sense;

    (void)state;
    assert_int_equal(sense_decode(fixed, sizeof(fixed), &sense), 0);
    assert_int_equal(sense.asc_ascq, 0);
    assert_int_equal(sense_decode(descriptor, sizeof(descriptor), &sense), 0);
    assert_false(sense.information_valid);
    descriptor[7] = 12;
    assert_int_equal(sense_decode(descriptor, sizeof(descriptor), &sense), 0);
    assert_true(sense.information_valid);
}

static void a_lying_additional_length_does_not_lead_past_the_end(void **state)
{
    uint8_t bytes[SENSE_MAX_BYTES];

    (void)state;
    for (unsigned fill = 0; fill < 256; fill += 5) {
        memset(bytes, (int)fill, sizeof(bytes));
        for (uint8_t response = 0x70; response <= 0x73; response++) {
            for (size_t length = 0; length < 40; length++) {
                uint8_t *exact;
                struct sense sense;

                bytes[0] = response;
                bytes[7] = 0xFF;
                exact = exact_copy(bytes, length);
                assert_int_equal(sense_decode(exact, length, &sense),
                                 length < (response < 0x72 ? 3 : 2) ? -EINVAL : 0);
                free(exact);
            }
        }
    }
}

static void other_response_codes_are_refused(void **state)
{
    (void)state;
    for (unsigned response = 0; response < 128; response++) {
        uint8_t bytes[SENSE_FIXED_BYTES] = {(uint8_t)response};
        bool known = response >= 0x70 && response <= 0x73;
        struct sense sense;

        assert_int_equal(sense_decode(bytes, sizeof(bytes), &sense), known ? 0 : -EINVAL);
    }
}

static void sense_is_described_with_words_where_there_are_any(void **state)
{
    struct sense sense = {.key = SENSE_ILLEGAL_REQUEST, .asc_ascq = ASC_INVALID_FIELD_IN_CDB};
    char buffer[80];

    (void)state;
    assert_string_equal(sense_describe(&sense, buffer, sizeof(buffer)),
                        "key 5/24/00 (invalid field in CDB)");
    sense = (struct sense){.key = SENSE_ABORTED_COMMAND, .asc_ascq = 0xABCD};
    assert_string_equal(sense_describe(&sense, buffer, sizeof(buffer)), "key B/AB/CD");
    assert_string_equal(sense_describe(&sense, buffer, 6), "key B");
    assert_null(sense_asc_text(0xABCD));
    assert_non_null(sense_asc_text(ASC_CAPACITY_DATA_CHANGED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_sense_is_laid_out_as_the_standard_says),
        cmocka_unit_test(information_that_does_not_fit_is_left_out),
        cmocka_unit_test(fixed_sense_says_key_code_and_information),
        cmocka_unit_test(descriptor_sense_says_key_code_and_information),
        cmocka_unit_test(progress_is_told_in_both_formats),
        cmocka_unit_test(descriptor_format_has_room_for_any_information),
        cmocka_unit_test(information_without_the_valid_bit_is_not_taken),
        cmocka_unit_test(cut_fixed_sense_gives_what_is_there),
        cmocka_unit_test(cut_descriptor_sense_gives_what_is_there),
        cmocka_unit_test(the_additional_sense_length_is_believed_when_it_is_shorter),
        cmocka_unit_test(a_lying_additional_length_does_not_lead_past_the_end),
        cmocka_unit_test(other_response_codes_are_refused),
        cmocka_unit_test(sense_is_described_with_words_where_there_are_any),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
