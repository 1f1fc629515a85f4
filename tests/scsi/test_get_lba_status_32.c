/* SPDX-License-Identifier: Apache-2.0 */

/* GET LBA STATUS(32): report types, scan length, element identifier, and the frame of a
 * variable-length CDB. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "lba_status.h"
#include "scsi_rig.h"
#include "skip.h"

#define DEALLOCATED 1
#define ANCHORED    2
#define MAPPED      3 /* where the type is not 00h */

#define REPLY_BYTES (8 + 8 * 16)

struct expected {
    uint64_t lba;
    uint32_t blocks;
    uint8_t status;
};

static void needs_long_cdbs(struct rig *rig)
{
    if (rig_reaches(rig, SCSI_VARIABLE_LENGTH))
        return;
    skip_because("this transport sends no CDBs of more than 16 bytes");
}

/* Deallocated up to 8, mapped up to 24, deallocated up to 64, anchored up to 80, mapped up to 88,
 * deallocated from there. */
static void make_landscape(struct rig *rig)
{
    needs_long_cdbs(rig);
    rig_fill(rig, 8, 16, 1);
    rig_fill(rig, 80, 8, 2);
    rig_anchor(rig, 64, 16);
}

static struct answer ask(struct rig *rig, uint64_t lba, uint32_t scan_blocks, uint8_t type,
                         uint32_t allocation_length, uint8_t *reply)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_get_lba_status_32(cdb, lba, scan_blocks, type, allocation_length);
    return rig_command_in(rig, cdb, reply, allocation_length);
}

static void assert_reply(struct rig *rig, const uint8_t *reply, const struct expected *expected,
                         uint32_t count, enum lba_status_completion completion)
{
    const uint8_t zeros[3] = {0};

    assert_int_equal(get_be32(reply), 4 + 16 * count);
    assert_int_equal(reply[7], completion << 1 | 1);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *at = reply + 8 + 16 * i;
        uint32_t blocks = expected[i].blocks;

        if (blocks == 0)
            blocks = (uint32_t)(rig->blocks - expected[i].lba);
        assert_int_equal(get_be64(at), expected[i].lba);
        assert_int_equal(get_be32(at + 8), blocks);
        assert_int_equal(at[12], expected[i].status);
        assert_memory_equal(at + 13, zeros, 3);
    }
}

static void type_00_is_the_whole_map(void **state)
{
    static const struct expected expected[] = {
        {0, 8, DEALLOCATED}, {8, 16, 0}, {24, 40, DEALLOCATED},
        {64, 16, ANCHORED},  {80, 8, 0}, {88, 0, DEALLOCATED}};
    struct rig *rig = *state;
    uint8_t reply[REPLY_BYTES];

    make_landscape(rig);
    assert_good(ask(rig, 0, 0, LBA_STATUS_TYPE_ALL, sizeof(reply), reply));
    assert_reply(rig, reply, expected, 6, LBA_STATUS_END_OF_CAPACITY);
}

static void type_01_is_the_whole_map_without_the_code_zero(void **state)
{
    static const struct expected expected[] = {{0, 8, DEALLOCATED},   {8, 16, MAPPED},
                                               {24, 40, DEALLOCATED}, {64, 16, ANCHORED},
                                               {80, 8, MAPPED},       {88, 0, DEALLOCATED}};
    struct rig *rig = *state;
    uint8_t reply[REPLY_BYTES];

    make_landscape(rig);
    assert_good(ask(rig, 0, 0, LBA_STATUS_TYPE_NON_ZERO, sizeof(reply), reply));
    assert_reply(rig, reply, expected, 6, LBA_STATUS_END_OF_CAPACITY);
}

static void types_02_03_and_04_are_the_blocks_of_that_status(void **state)
{
    static const struct expected mapped[] = {{8, 16, MAPPED}, {80, 8, MAPPED}};
    static const struct expected deallocated[] = {{5, 3, DEALLOCATED},
                                                  {24, 40, DEALLOCATED},
                                                  {88, 0, DEALLOCATED}};
    static const struct expected anchored[] = {{64, 16, ANCHORED}};
    struct rig *rig = *state;
    uint8_t reply[REPLY_BYTES];

    make_landscape(rig);
    assert_good(ask(rig, 5, 0, LBA_STATUS_TYPE_MAPPED, sizeof(reply), reply));
    assert_reply(rig, reply, mapped, 2, LBA_STATUS_END_OF_CAPACITY);
    assert_good(ask(rig, 5, 0, LBA_STATUS_TYPE_DEALLOCATED, sizeof(reply), reply));
    assert_reply(rig, reply, deallocated, 3, LBA_STATUS_END_OF_CAPACITY);
    assert_good(ask(rig, 5, 0, LBA_STATUS_TYPE_ANCHORED, sizeof(reply), reply));
    assert_reply(rig, reply, anchored, 1, LBA_STATUS_END_OF_CAPACITY);
    assert_good(ask(rig, 80, 0, LBA_STATUS_TYPE_ANCHORED, sizeof(reply), reply));
    assert_reply(rig, reply, NULL, 0, LBA_STATUS_END_OF_CAPACITY);
}

static void type_10_is_no_block_as_none_is_known_to_be_unreadable(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[REPLY_BYTES];
    struct answer answer;

    make_landscape(rig);
    answer = ask(rig, 0, 0, LBA_STATUS_TYPE_UNREADABLE, sizeof(reply), reply);
    assert_good(answer);
    assert_length(answer, 8);
    assert_reply(rig, reply, NULL, 0, LBA_STATUS_END_OF_CAPACITY);
}

static void the_allocation_length_ends_a_list_of_one_status_too(void **state)
{
    static const struct expected deallocated[] = {{0, 8, DEALLOCATED}, {24, 40, DEALLOCATED}};
    struct rig *rig = *state;
    uint8_t reply[REPLY_BYTES];

    make_landscape(rig);
    for (uint32_t length = 0; length < 8 + 2 * 16; length++)
        assert_good(ask(rig, 0, 0, LBA_STATUS_TYPE_DEALLOCATED, length, reply));
    assert_good(ask(rig, 0, 0, LBA_STATUS_TYPE_DEALLOCATED, 8 + 2 * 16 + 15, reply));
    assert_reply(rig, reply, deallocated, 2, LBA_STATUS_ALLOCATION_LENGTH);
}

static void the_scan_length_ends_the_search(void **state)
{
    static const struct expected all[] = {{4, 4, DEALLOCATED}, {8, 16, 0}, {24, 6, DEALLOCATED}};
    static const struct expected mapped[] = {{8, 1, MAPPED}};
    struct rig *rig = *state;
    uint8_t reply[REPLY_BYTES];

    make_landscape(rig);
    assert_good(ask(rig, 4, 26, LBA_STATUS_TYPE_ALL, sizeof(reply), reply));
    assert_reply(rig, reply, all, 3, LBA_STATUS_SCAN_LENGTH);
    assert_good(ask(rig, 0, 8, LBA_STATUS_TYPE_MAPPED, sizeof(reply), reply));
    assert_reply(rig, reply, NULL, 0, LBA_STATUS_SCAN_LENGTH);
    assert_good(ask(rig, 0, 9, LBA_STATUS_TYPE_MAPPED, sizeof(reply), reply));
    assert_reply(rig, reply, mapped, 1, LBA_STATUS_SCAN_LENGTH);
    assert_good(ask(rig, 4, 26, LBA_STATUS_TYPE_ALL, 8 + 2 * 16, reply));
    assert_reply(rig, reply, all, 2, LBA_STATUS_ALLOCATION_LENGTH);
    assert_good(ask(rig, 100, 1, LBA_STATUS_TYPE_UNREADABLE, sizeof(reply), reply));
    assert_reply(rig, reply, NULL, 0, LBA_STATUS_SCAN_LENGTH);
}

static void the_end_of_capacity_wins_over_the_scan_length(void **state)
{
    static const struct expected tail[] = {{100, 0, DEALLOCATED}};
    struct rig *rig = *state;
    uint32_t rest = (uint32_t)rig->blocks - 100;
    uint8_t reply[REPLY_BYTES];

    make_landscape(rig);
    assert_good(ask(rig, 100, rest, LBA_STATUS_TYPE_ALL, sizeof(reply), reply));
    assert_reply(rig, reply, tail, 1, LBA_STATUS_END_OF_CAPACITY);
    assert_good(ask(rig, 100, UINT32_MAX, LBA_STATUS_TYPE_ALL, 24, reply));
    assert_reply(rig, reply, tail, 1, LBA_STATUS_END_OF_CAPACITY);
    assert_good(ask(rig, 100, rest - 1, LBA_STATUS_TYPE_DEALLOCATED, sizeof(reply), reply));
    assert_int_equal(reply[7], LBA_STATUS_SCAN_LENGTH << 1 | 1);
    assert_int_equal(get_be32(reply + 16), rest - 1);
}

static void an_lba_beyond_the_end_is_out_of_range_whatever_is_asked_for(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[REPLY_BYTES];

    needs_long_cdbs(rig);
    for (uint8_t type = 0; type <= 4; type++) {
        assert_check(ask(rig, rig->blocks, 1, type, sizeof(reply), reply), SENSE_ILLEGAL_REQUEST,
                     ASC_LBA_OUT_OF_RANGE);
        assert_check(ask(rig, UINT64_MAX, UINT32_MAX, type, 0, reply), SENSE_ILLEGAL_REQUEST,
                     ASC_LBA_OUT_OF_RANGE);
    }
}

static void an_element_identifier_is_refused_as_there_are_no_elements(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t reply[24];

    needs_long_cdbs(rig);
    for (int byte = 24; byte < 28; byte++) {
        cdb_get_lba_status_32(cdb, 0, 0, 0, sizeof(reply));
        cdb[byte] = 1;
        assert_check(rig_command_in(rig, cdb, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
    }
}

static void the_frame_of_the_cdb_is_checked(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t reply[24];

    rig_needs_native("a wrong ADDITIONAL CDB LENGTH does not get through the kernel");
    for (unsigned length = 0; length < 256; length++) {
        cdb_get_lba_status_32(cdb, 0, 0, 0, sizeof(reply));
        cdb[7] = (uint8_t)length;
        if (length == 0x18)
            assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
        else
            assert_check(rig_command_in(rig, cdb, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST,
                         ASC_INVALID_FIELD_IN_CDB);
    }
    cdb_get_lba_status_32(cdb, 0, 0, 0, sizeof(reply));
    cdb[1] = 0x04; /* NACA, in the CONTROL byte */
    assert_check(rig_command_in(rig, cdb, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
}

static void other_service_actions_are_not_known(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t reply[24];

    needs_long_cdbs(rig);
    for (unsigned bit = 0; bit < 16; bit++) {
        cdb_get_lba_status_32(cdb, 0, 0, 0, sizeof(reply));
        put_be16(cdb + 8, (uint16_t)(SCSI_SA_GET_LBA_STATUS_32 ^ 1u << bit));
        assert_check(rig_command_in(rig, cdb, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(type_00_is_the_whole_map),
        BOTH(type_01_is_the_whole_map_without_the_code_zero),
        BOTH(types_02_03_and_04_are_the_blocks_of_that_status),
        BOTH(type_10_is_no_block_as_none_is_known_to_be_unreadable),
        BOTH(the_allocation_length_ends_a_list_of_one_status_too),
        BOTH(the_scan_length_ends_the_search),
        BOTH(the_end_of_capacity_wins_over_the_scan_length),
        BOTH(an_lba_beyond_the_end_is_out_of_range_whatever_is_asked_for),
        BOTH(an_element_identifier_is_refused_as_there_are_no_elements),
        BOTH(the_frame_of_the_cdb_is_checked),
        BOTH(other_service_actions_are_not_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
