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
#include "inquiry.h"

/* Field positions: SPC-4 6.6.2. */

static const struct inquiry ours = {
    .peripheral_type = INQUIRY_DIRECT_ACCESS_BLOCK_DEVICE,
    .version = 0x06,
    .command_queuing = true,
    .vendor = "THIN",
    .product = "MIRROR",
    .revision = "0.1",
    .version_descriptors = {INQUIRY_CLAIMS_SAM_5, INQUIRY_CLAIMS_SPC_4, INQUIRY_CLAIMS_SBC_3},
};

static void inquiry_data_is_laid_out_as_the_standard_says(void **state)
{
    uint8_t expected[INQUIRY_BYTES] = {0x00, 0x00, 0x06, 0x12, 91, 0, 0, 0x02};
    uint8_t bytes[INQUIRY_BYTES];

    (void)state;
    memcpy(expected + 8, "THIN    MIRROR          0.1 ", 28);
    memcpy(expected + 58, "\x00\xA0\x04\x60\x04\xC0", 6);
    memset(bytes, 0xEE, sizeof(bytes));
    assert_int_equal(inquiry_encode(&ours, bytes), INQUIRY_BYTES);
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void flags_and_qualifier_have_their_places(void **state)
{
    struct inquiry inquiry = {.peripheral_qualifier = 3,
                              .peripheral_type = 0x1F,
                              .removable = true,
                              .third_party_copy = true};
    uint8_t bytes[INQUIRY_BYTES];

    (void)state;
    inquiry_encode(&inquiry, bytes);
    assert_int_equal(bytes[0], 0x7F);
    assert_int_equal(bytes[1], 0x80);
    assert_int_equal(bytes[5], 0x08);
    assert_int_equal(bytes[7], 0x00);
}

static void texts_that_fill_their_field_are_kept_whole(void **state)
{
    struct inquiry inquiry = {.vendor = "12345678",
                              .product = "1234567890123456",
                              .revision = "1234"};
    struct inquiry decoded;
    uint8_t bytes[INQUIRY_BYTES];

    (void)state;
    inquiry_encode(&inquiry, bytes);
    assert_memory_equal(bytes + 8, "1234567812345678901234561234", 28);
    assert_int_equal(inquiry_decode(bytes, sizeof(bytes), &decoded), 0);
    assert_string_equal(decoded.vendor, "12345678");
    assert_string_equal(decoded.product, "1234567890123456");
    assert_string_equal(decoded.revision, "1234");
}

static void inquiry_data_is_read_field_by_field(void **state)
{
    uint8_t bytes[INQUIRY_BYTES] = {0x2D, 0x80, 0x05, 0x12, 91, 0x08, 0, 0x02};
    struct inquiry inquiry;

    (void)state;
    memcpy(bytes + 8, "IET     VIRTUAL\0DISK \x7F  0001", 28);
    memcpy(bytes + 72, "\x06\x00", 2);
    assert_int_equal(inquiry_decode(bytes, sizeof(bytes), &inquiry), 0);
    assert_int_equal(inquiry.peripheral_qualifier, 1);
    assert_int_equal(inquiry.peripheral_type, 0x0D);
    assert_true(inquiry.removable && inquiry.third_party_copy && inquiry.command_queuing);
    assert_int_equal(inquiry.version, 5);
    assert_string_equal(inquiry.vendor, "IET");
    assert_string_equal(inquiry.product, "VIRTUAL?DISK ?");
    assert_string_equal(inquiry.revision, "0001");
    assert_int_equal(inquiry.version_descriptors[0], 0);
    assert_int_equal(inquiry.version_descriptors[7], INQUIRY_CLAIMS_SBC_4);
}

static void every_cut_gives_what_is_there(void **state)
{
    uint8_t bytes[INQUIRY_BYTES];

    (void)state;
    inquiry_encode(&ours, bytes);
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        uint8_t *exact = exact_copy(bytes, length);
        struct inquiry inquiry;

        assert_int_equal(inquiry_decode(exact, length, &inquiry), length < 36 ? -EINVAL : 0);
        assert_string_equal(inquiry.product, length < 36 ? "" : "MIRROR");
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(inquiry.version_descriptors[i],
                             length < 60 + 2 * i ? 0 : ours.version_descriptors[i]);
        free(exact);
    }
}

static void what_lies_behind_the_additional_length_is_not_looked_at(void **state)
{
    uint8_t bytes[INQUIRY_BYTES];
    struct inquiry inquiry;

    (void)state;
    inquiry_encode(&ours, bytes);
    bytes[4] = 62 - 5;
    assert_int_equal(inquiry_decode(bytes, sizeof(bytes), &inquiry), 0);
    assert_int_equal(inquiry.version_descriptors[1], INQUIRY_CLAIMS_SPC_4);
    assert_int_equal(inquiry.version_descriptors[2], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inquiry_data_is_laid_out_as_the_standard_says),
        cmocka_unit_test(flags_and_qualifier_have_their_places),
        cmocka_unit_test(texts_that_fill_their_field_are_kept_whole),
        cmocka_unit_test(inquiry_data_is_read_field_by_field),
        cmocka_unit_test(every_cut_gives_what_is_there),
        cmocka_unit_test(what_lies_behind_the_additional_length_is_not_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
