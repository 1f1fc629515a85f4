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

#include "cdb.h"
#include "exact.h"

/* Field positions: SPC-4 6, SBC-4 5. */

static void assert_cdb(const uint8_t *cdb, size_t length, const uint8_t *expected,
                       size_t expected_length)
{
    static const uint8_t zeros[SCSI_CDB_MAX_BYTES];

    assert_int_equal(length, expected_length);
    assert_memory_equal(cdb, expected, expected_length);
    assert_memory_equal(cdb + length, zeros, SCSI_CDB_MAX_BYTES - length);
}

#define ASSERT_CDB(call, ...)                                \
    do {                                                     \
        static const uint8_t expected_[] = {__VA_ARGS__};    \
        uint8_t cdb[SCSI_CDB_MAX_BYTES];                     \
        memset(cdb, 0xEE, sizeof(cdb));                      \
        assert_cdb(cdb, call, expected_, sizeof(expected_)); \
    } while (0)

static void the_group_of_the_operation_code_tells_the_length(void **state)
{
    (void)state;
    assert_int_equal(cdb_length(0x00), 6);
    assert_int_equal(cdb_length(0x1F), 6);
    assert_int_equal(cdb_length(0x20), 10);
    assert_int_equal(cdb_length(0x5F), 10);
    assert_int_equal(cdb_length(0x60), 0);
    assert_int_equal(cdb_length(0x7E), 0);
    assert_int_equal(cdb_length(0x7F), 32);
    assert_int_equal(cdb_length(0x80), 16);
    assert_int_equal(cdb_length(0x9F), 16);
    assert_int_equal(cdb_length(0xA0), 12);
    assert_int_equal(cdb_length(0xBF), 12);
    assert_int_equal(cdb_length(0xC0), 0);
    assert_int_equal(cdb_length(0xFF), 0);
}

static void short_commands_are_encoded_as_the_standard_lays_them_out(void **state)
{
    (void)state;
    ASSERT_CDB(cdb_test_unit_ready(cdb), 0, 0, 0, 0, 0, 0);
    ASSERT_CDB(cdb_inquiry(cdb, 0x1234), 0x12, 0, 0, 0x12, 0x34, 0);
    ASSERT_CDB(cdb_inquiry_vpd(cdb, 0xB2, 0x00FF), 0x12, 1, 0xB2, 0, 0xFF, 0);
    ASSERT_CDB(cdb_mode_sense_6(cdb, 0x3F, 0xC0), 0x1A, 0, 0x3F, 0, 0xC0, 0);
    ASSERT_CDB(cdb_read_capacity_10(cdb), 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    ASSERT_CDB(cdb_synchronize_cache_10(cdb), 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    ASSERT_CDB(cdb_unmap(cdb, 0x1008), 0x42, 0, 0, 0, 0, 0, 0, 0x10, 0x08, 0);
}

static void long_commands_are_encoded_as_the_standard_lays_them_out(void **state)
{
    (void)state;
    ASSERT_CDB(cdb_read_capacity_16(cdb, 32), 0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0,
               0);
    ASSERT_CDB(cdb_get_lba_status_16(cdb, 0x0102030405060708, 0x090A0B0C), 0x9E, 0x12, 1, 2, 3, 4,
               5, 6, 7, 8, 9, 0xA, 0xB, 0xC, 0, 0);
    ASSERT_CDB(cdb_read_16(cdb, 0x0102030405060708, 0x090A0B0C), 0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
               0xA, 0xB, 0xC, 0, 0);
    ASSERT_CDB(cdb_write_16(cdb, 0xFFFFFFFFFFFFFFFF, 1, false), 0x8A, 0, 0xFF, 0xFF, 0xFF, 0xFF,
               0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 1, 0, 0);
    ASSERT_CDB(cdb_write_16(cdb, 0, 1, true), 0x8A, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0);
    ASSERT_CDB(cdb_write_same_16(cdb, 0x10, 0x20, true), 0x93, 0x08, 0, 0, 0, 0, 0, 0, 0, 0x10, 0,
               0, 0, 0x20, 0, 0);
    ASSERT_CDB(cdb_write_same_16(cdb, 0x10, 0x20, false), 0x93, 0x00, 0, 0, 0, 0, 0, 0, 0, 0x10, 0,
               0, 0, 0x20, 0, 0);
    ASSERT_CDB(cdb_synchronize_cache_16(cdb), 0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

/* Decodes from an allocation of exactly the CDB's length. */
static struct cdb_block_fields decode(const uint8_t *cdb)
{
    uint8_t *exact = exact_copy(cdb, cdb_length(cdb[0]));
    struct cdb_block_fields fields;

    assert_int_equal(cdb_decode_block_fields(exact, &fields), 0);
    free(exact);
    return fields;
}

#define DECODE(...) decode((const uint8_t[]){__VA_ARGS__})

static void read_6_has_a_21_bit_address_and_no_length_of_zero(void **state)
{
    struct cdb_block_fields fields = DECODE(0x08, 0xFF, 0xFE, 0xFD, 0x07, 0);

    (void)state;
    assert_int_equal(fields.lba, 0x1FFEFD);
    assert_int_equal(fields.blocks, 7);
    assert_int_equal(fields.protect, 0);
    assert_false(fields.fua);
    fields = DECODE(0x0A, 0, 0, 1, 0, 0);
    assert_int_equal(fields.blocks, 256);
}

static void reads_and_writes_of_every_length_give_address_and_count(void **state)
{
    struct cdb_block_fields fields;

    (void)state;
    fields = DECODE(0x28, 0, 0xFF, 0xFF, 0xFF, 0xFE, 0, 0xFF, 0xFD, 0);
    assert_int_equal(fields.lba, 0xFFFFFFFE);
    assert_int_equal(fields.blocks, 0xFFFD);
    fields = DECODE(0x2A, 0, 0, 0, 0, 1, 0, 0, 0, 0);
    assert_int_equal(fields.blocks, 0);
    fields = DECODE(0xA8, 0, 1, 2, 3, 4, 0xFF, 0xFF, 0xFF, 0xFC, 0, 0);
    assert_int_equal(fields.lba, 0x01020304);
    assert_int_equal(fields.blocks, 0xFFFFFFFC);
    fields = DECODE(0xAA, 0, 1, 2, 3, 4, 0, 0, 0, 5, 0, 0);
    assert_int_equal(fields.blocks, 5);
    fields = DECODE(0x88, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                    0, 0);
    assert_true(fields.lba == UINT64_MAX);
    assert_int_equal(fields.blocks, UINT32_MAX);
    fields = DECODE(0x8A, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xA, 0xB, 0xC, 0xFF, 0xFF);
    assert_true(fields.lba == 0x0102030405060708);
    assert_int_equal(fields.blocks, 0x090A0B0C);
}

static void reads_and_writes_have_protect_dpo_and_fua(void **state)
{
    static const uint8_t opcodes[] = {0x28, 0x2A, 0x88, 0x8A, 0xA8, 0xAA};

    (void)state;
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        uint8_t cdb[16] = {opcodes[i], 0xA0};
        struct cdb_block_fields fields = decode(cdb);

        assert_int_equal(fields.protect, 5);
        assert_false(fields.dpo || fields.fua);
        cdb[1] = 0x10;
        fields = decode(cdb);
        assert_true(fields.dpo && !fields.fua && fields.protect == 0);
        cdb[1] = 0x08;
        fields = decode(cdb);
        assert_true(fields.fua && !fields.dpo);
        cdb[1] = 0x07;
        fields = decode(cdb);
        assert_false(fields.unmap || fields.anchor || fields.ndob || fields.immed ||
                     fields.obsolete || fields.bytchk);
    }
}

static void verify_has_bytchk_where_others_have_other_things(void **state)
{
    static const uint8_t opcodes[] = {0x2F, 0xAF, 0x8F};

    (void)state;
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        uint8_t cdb[16] = {opcodes[i], 0x06};
        struct cdb_block_fields fields = decode(cdb);

        assert_int_equal(fields.bytchk, 3);
        cdb[1] = 0x02;
        assert_int_equal(decode(cdb).bytchk, 1);
        cdb[1] = 0xF8;
        fields = decode(cdb);
        assert_int_equal(fields.bytchk, 0);
        assert_int_equal(fields.protect, 7);
        assert_true(fields.dpo && !fields.fua);
    }
}

static void write_same_has_anchor_unmap_and_only_16_has_ndob(void **state)
{
    struct cdb_block_fields fields = DECODE(0x93, 0x59, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0);

    (void)state;
    assert_true(fields.anchor && fields.unmap && fields.ndob && !fields.obsolete);
    assert_false(fields.dpo || fields.fua);
    assert_int_equal(fields.protect, 2);
    assert_int_equal(fields.lba, 1);
    assert_int_equal(fields.blocks, 2);
    fields = DECODE(0x41, 0x59, 0, 0, 0, 1, 0, 0, 2, 0);
    assert_true(fields.anchor && fields.unmap && !fields.ndob);
    fields = DECODE(0x41, 0x02, 0, 0, 0, 1, 0, 0, 2, 0);
    assert_true(fields.obsolete && !fields.anchor && !fields.unmap);
    fields = DECODE(0x41, 0x04, 0, 0, 0, 1, 0, 0, 2, 0);
    assert_true(fields.obsolete);
}

static void synchronize_cache_has_immed(void **state)
{
    struct cdb_block_fields fields = DECODE(0x35, 0x02, 0, 0, 0, 9, 0, 0, 8, 0);

    (void)state;
    assert_true(fields.immed);
    assert_int_equal(fields.lba, 9);
    assert_int_equal(fields.blocks, 8);
    fields = DECODE(0x91, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0);
    assert_false(fields.immed || fields.fua || fields.dpo || fields.protect);
    assert_int_equal(fields.lba, 9);
    assert_int_equal(fields.blocks, 8);
}

static void compare_and_write_has_its_count_in_one_byte(void **state)
{
    struct cdb_block_fields fields =
        DECODE(0x89, 0x48, 1, 2, 3, 4, 5, 6, 7, 8, 0xFF, 0xFF, 0xFF, 0x21, 0, 0);

    (void)state;
    assert_true(fields.lba == 0x0102030405060708);
    assert_int_equal(fields.blocks, 0x21);
    assert_true(fields.fua && !fields.dpo);
    assert_int_equal(fields.protect, 2);
}

static void write_and_verify_has_bytchk_and_pre_fetch_immed(void **state)
{
    struct cdb_block_fields fields = DECODE(0x2E, 0x16, 0, 0, 0, 9, 0, 0, 8, 0);

    (void)state;
    assert_int_equal(fields.bytchk, 3);
    assert_true(fields.dpo && !fields.fua);
    fields = DECODE(0x34, 0x02, 0, 0, 0, 9, 0, 0, 8, 0);
    assert_true(fields.immed);
    fields = DECODE(0x90, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0);
    assert_false(fields.immed);
    assert_int_equal(fields.blocks, 8);
    fields = DECODE(0x8B, 0x08, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 1, 0, 0, 0);
    assert_true(fields.fua);
    assert_int_equal(fields.blocks, 256);
}

static void other_commands_have_no_block_fields(void **state)
{
    static const uint8_t with_fields[] = {0x08, 0x0A, 0x28, 0x2A, 0x2E, 0x2F, 0x34, 0x35,
                                          0x41, 0x88, 0x89, 0x8A, 0x8B, 0x8E, 0x8F, 0x90,
                                          0x91, 0x93, 0xA8, 0xAA, 0xAE, 0xAF};

    (void)state;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        uint8_t cdb[SCSI_CDB_MAX_BYTES] = {(uint8_t)opcode};
        struct cdb_block_fields fields;
        bool has = memchr(with_fields, (int)opcode, sizeof(with_fields));

        assert_int_equal(cdb_decode_block_fields(cdb, &fields), has ? 0 : -EINVAL);
    }
}

static void commands_are_named_as_the_standard_names_them(void **state)
{
    char buffer[64];

    (void)state;
#define NAME(...) cdb_name((const uint8_t[16]){__VA_ARGS__}, buffer, sizeof(buffer))
    assert_string_equal(NAME(0x88), "READ(16)");
    assert_string_equal(NAME(0x88, 0x12), "READ(16)");
    assert_string_equal(NAME(0x9E, 0x12), "GET LBA STATUS(16)");
    assert_string_equal(NAME(0x9E, 0xF0), "READ CAPACITY(16)");
    assert_string_equal(NAME(0xA3, 0x0C), "REPORT SUPPORTED OPERATION CODES");
    assert_string_equal(NAME(0x89), "COMPARE AND WRITE");
    assert_string_equal(NAME(0x48, 0x82), "SANITIZE BLOCK ERASE");
    assert_string_equal(NAME(0x9E, 0x1F), "opcode 9Eh service action 1Fh");
    assert_string_equal(NAME(0x9E, 0x00), "opcode 9Eh service action 00h");
    assert_string_equal(NAME(0x5D), "opcode 5Dh");
    assert_string_equal(cdb_name((const uint8_t[16]){0x5D}, buffer, 7), "opcode");
#undef NAME
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_group_of_the_operation_code_tells_the_length),
        cmocka_unit_test(short_commands_are_encoded_as_the_standard_lays_them_out),
        cmocka_unit_test(long_commands_are_encoded_as_the_standard_lays_them_out),
        cmocka_unit_test(read_6_has_a_21_bit_address_and_no_length_of_zero),
        cmocka_unit_test(reads_and_writes_of_every_length_give_address_and_count),
        cmocka_unit_test(reads_and_writes_have_protect_dpo_and_fua),
        cmocka_unit_test(verify_has_bytchk_where_others_have_other_things),
        cmocka_unit_test(write_same_has_anchor_unmap_and_only_16_has_ndob),
        cmocka_unit_test(synchronize_cache_has_immed),
        cmocka_unit_test(compare_and_write_has_its_count_in_one_byte),
        cmocka_unit_test(write_and_verify_has_bytchk_and_pre_fetch_immed),
        cmocka_unit_test(other_commands_have_no_block_fields),
        cmocka_unit_test(commands_are_named_as_the_standard_names_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
