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

#include "capacity.h"
#include "exact.h"

/* Field positions: SBC-4 5.20.2 (READ CAPACITY(10)) and 5.21.2 (READ CAPACITY(16)). */

static void capacity_16_is_laid_out_as_the_standard_says(void **state)
{
    static const uint8_t expected[READ_CAPACITY_16_BYTES] = {1, 2, 3,    4, 5, 6, 7,    7,
                                                             0, 0, 0x10, 0, 0, 3, 0xE3, 0x45};
    struct capacity capacity = {.blocks = 0x0102030405060708,
                                .block_size = 4096,
                                .physical_exponent = 3,
                                .lowest_aligned_lba = 0x2345,
                                .lbpme = true,
                                .lbprz = true};
    uint8_t bytes[READ_CAPACITY_16_BYTES];

    (void)state;
    memset(bytes, 0xEE, sizeof(bytes));
    capacity_encode_16(&capacity, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void each_provisioning_bit_has_its_place(void **state)
{
    struct capacity capacity = {.blocks = 1, .block_size = 512, .lbpme = true};
    uint8_t bytes[READ_CAPACITY_16_BYTES];

    (void)state;
    capacity_encode_16(&capacity, bytes);
    assert_int_equal(bytes[14], 0x80);
    capacity.lbpme = false;
    capacity.lbprz = true;
    capacity_encode_16(&capacity, bytes);
    assert_int_equal(bytes[14], 0x40);
    capacity.lbprz = false;
    capacity.lowest_aligned_lba = 0xFFFF; /* 14 bits are all there is */
    capacity_encode_16(&capacity, bytes);
    assert_int_equal(bytes[14], 0x3F);
    assert_int_equal(bytes[15], 0xFF);
}

static void capacity_10_says_the_last_block(void **state)
{
    static const uint8_t expected[] = {0, 1, 2, 3, 0, 0, 2, 0};
    struct capacity capacity = {.blocks = 0x010204, .block_size = 512};
    uint8_t bytes[READ_CAPACITY_10_BYTES];

    (void)state;
    capacity_encode_10(&capacity, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void a_capacity_over_32_bits_sends_the_reader_to_capacity_16(void **state)
{
    static const uint64_t large[] = {UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1, UINT64_C(1) << 40};
    uint8_t bytes[READ_CAPACITY_10_BYTES];
    struct capacity decoded;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct capacity capacity = {.blocks = large[i], .block_size = 512};

        capacity_encode_10(&capacity, bytes);
        assert_memory_equal(bytes, "\xFF\xFF\xFF\xFF", 4);
        assert_int_equal(capacity_decode_10(bytes, sizeof(bytes), &decoded), -ERANGE);
    }
    capacity_encode_10(&(struct capacity){.blocks = UINT32_MAX, .block_size = 512}, bytes);
    assert_memory_equal(bytes, "\xFF\xFF\xFF\xFE", 4);
    assert_int_equal(capacity_decode_10(bytes, sizeof(bytes), &decoded), 0);
    assert_int_equal(decoded.blocks, UINT32_MAX);
}

static void capacity_16_is_read_back_field_by_field(void **state)
{
    /* Protection and reserved bits are set all round the fields that are ours. */
    static const uint8_t bytes[READ_CAPACITY_16_BYTES] = {0, 0, 0,    1,    0,    0,    0,    0xFF,
                                                          0, 0, 0x02, 0x08, 0xFF, 0xF4, 0xBF, 0xFE};
    struct capacity capacity;

    (void)state;
    assert_int_equal(capacity_decode_16(bytes, sizeof(bytes), &capacity), 0);
    assert_true(capacity.blocks == UINT64_C(0x0000000100000100));
    assert_int_equal(capacity.block_size, 520);
    assert_int_equal(capacity.physical_exponent, 4);
    assert_true(capacity.lbpme);
    assert_false(capacity.lbprz);
    assert_int_equal(capacity.lowest_aligned_lba, 0x3FFE);
}

static void every_cut_of_capacity_16_gives_what_is_there(void **state)
{
    static const uint8_t bytes[READ_CAPACITY_16_BYTES] = {0, 0, 0, 0, 0, 0, 0,    9,
                                                          0, 0, 2, 0, 0, 3, 0xC0, 1};

    (void)state;
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        uint8_t *exact = exact_copy(bytes, length);
        struct capacity capacity;

        assert_int_equal(capacity_decode_16(exact, length, &capacity), length < 12 ? -EINVAL : 0);
        assert_int_equal(capacity.blocks, length < 12 ? 0 : 10);
        assert_int_equal(capacity.block_size, length < 12 ? 0 : 512);
        assert_int_equal(capacity.physical_exponent, length < 14 ? 0 : 3);
        assert_int_equal(capacity.lbpme, length >= 16);
        assert_int_equal(capacity.lowest_aligned_lba, length < 16 ? 0 : 1);
        free(exact);
    }
}

static void every_cut_of_capacity_10_is_refused(void **state)
{
    static const uint8_t bytes[READ_CAPACITY_10_BYTES] = {0, 0, 0, 9, 0, 0, 2, 0};

    (void)state;
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        uint8_t *exact = exact_copy(bytes, length);
        struct capacity capacity;

        assert_int_equal(capacity_decode_10(exact, length, &capacity), length < 8 ? -EINVAL : 0);
        assert_int_equal(capacity.blocks, length < 8 ? 0 : 10);
        free(exact);
    }
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    uint8_t bytes[READ_CAPACITY_16_BYTES] = {0, 0, 0, 0, 0, 0, 0, 9};
    uint8_t short_bytes[READ_CAPACITY_10_BYTES] = {0, 0, 0, 9};
    struct capacity capacity;

    (void)state;
    assert_int_equal(capacity_decode_16(bytes, sizeof(bytes), &capacity), -EINVAL);
    assert_int_equal(capacity_decode_10(short_bytes, sizeof(short_bytes), &capacity), -EINVAL);
    memset(bytes, 0xFF, 8);
    bytes[10] = 2;
    assert_int_equal(capacity_decode_16(bytes, sizeof(bytes), &capacity), -EINVAL);
    /* 2^55 blocks of 512 bytes are one byte more than 64 bits count. */
    bytes[0] = 0;
    bytes[1] = 0x7F;
    assert_int_equal(capacity_decode_16(bytes, sizeof(bytes), &capacity), -EINVAL);
    bytes[7] = 0xFE;
    assert_int_equal(capacity_decode_16(bytes, sizeof(bytes), &capacity), 0);
    assert_true(capacity.blocks == (UINT64_C(1) << 55) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacity_16_is_laid_out_as_the_standard_says),
        cmocka_unit_test(each_provisioning_bit_has_its_place),
        cmocka_unit_test(capacity_10_says_the_last_block),
        cmocka_unit_test(a_capacity_over_32_bits_sends_the_reader_to_capacity_16),
        cmocka_unit_test(capacity_16_is_read_back_field_by_field),
        cmocka_unit_test(every_cut_of_capacity_16_gives_what_is_there),
        cmocka_unit_test(every_cut_of_capacity_10_is_refused),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
