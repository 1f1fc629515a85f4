/* SPDX-License-Identifier: Apache-2.0 */

/* READ DEFECT DATA(10) and (12): lists that are there and empty. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "scsi_rig.h"

#define REQ_PLIST 0x10
#define REQ_GLIST 0x08

static struct answer read_10(struct rig *rig, uint8_t asked, uint16_t length, uint8_t reply[32])
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_READ_DEFECT_DATA_10, 0, asked};

    put_be16(cdb + 7, length);
    return rig_command_in(rig, cdb, reply, 32);
}

static struct answer read_12(struct rig *rig, uint8_t asked, uint32_t length, uint8_t reply[32])
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_READ_DEFECT_DATA_12, asked};

    put_be32(cdb + 6, length);
    return rig_command_in(rig, cdb, reply, 32);
}

static void the_lists_asked_for_are_there_and_empty(void **state)
{
    const uint8_t lists[] = {0, REQ_PLIST, REQ_GLIST, REQ_PLIST | REQ_GLIST};
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof(lists); i++) {
        for (uint8_t format = 0; format <= 5; format++) {
            uint8_t asked = lists[i] | format;
            uint8_t short_reply[32], long_reply[32];
            struct answer answer = read_10(rig, asked, 32, short_reply);

            assert_good(answer);
            assert_length(answer, 4);
            assert_int_equal(short_reply[1], asked);
            assert_int_equal(get_be16(short_reply + 2), 0);
            answer = read_12(rig, asked, 32, long_reply);
            assert_good(answer);
            assert_length(answer, 8);
            assert_int_equal(long_reply[1], asked);
            assert_int_equal(get_be32(long_reply + 4), 0);
        }
    }
}

static void formats_without_a_meaning_are_refused(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[32];

    for (uint8_t format = 6; format <= 7; format++) {
        assert_check(read_10(rig, REQ_GLIST | format, 32, reply), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
        assert_check(read_12(rig, REQ_GLIST | format, 32, reply), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
    }
}

static void any_allocation_length_cuts_the_reply(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[32];

    for (uint16_t length = 0; length < 12; length++) {
        struct answer answer = read_10(rig, REQ_PLIST, length, reply);

        assert_good(answer);
        assert_length(answer, length < 4 ? length : 4);
        answer = read_12(rig, REQ_PLIST, length, reply);
        assert_good(answer);
        assert_length(answer, length < 8 ? length : 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_lists_asked_for_are_there_and_empty),
        BOTH(formats_without_a_meaning_are_refused),
        BOTH(any_allocation_length_cuts_the_reply),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
