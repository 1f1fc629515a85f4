/* SPDX-License-Identifier: Apache-2.0 */

/* What the logical unit says of itself is what it does. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "capacity.h"
#include "cdb.h"
#include "scsi_rig.h"
#include "vpd.h"

#define RCTD     0x80
#define SERVACTV 0x01
#define CTDP     0x02

static void report_cdb(uint8_t *cdb, uint8_t options, uint8_t opcode, uint16_t action,
                       uint32_t allocation_length)
{
    memset(cdb, 0, SCSI_CDB_MAX_BYTES);
    cdb[0] = SCSI_MAINTENANCE_IN;
    cdb[1] = SCSI_SA_REPORT_SUPPORTED_OPERATION_CODES;
    cdb[2] = options;
    cdb[3] = opcode;
    put_be16(cdb + 4, action);
    put_be32(cdb + 6, allocation_length);
}

struct command_list {
    uint8_t bytes[4096];
    size_t count;
};

static void get_commands(struct rig *rig, struct command_list *list)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct answer answer;

    report_cdb(cdb, 0, 0, 0, sizeof(list->bytes));
    answer = rig_command_in(rig, cdb, list->bytes, sizeof(list->bytes));
    assert_good(answer);
    assert_length(answer, 4 + get_be32(list->bytes));
    assert_int_equal(get_be32(list->bytes) % 8, 0);
    list->count = get_be32(list->bytes) / 8;
    assert_true(list->count > 20);
}

static const uint8_t *command_at(const struct command_list *list, size_t index)
{
    return list->bytes + 4 + 8 * index;
}

static bool has_opcode(const struct command_list *list, uint8_t opcode)
{
    for (size_t i = 0; i < list->count; i++) {
        if (command_at(list, i)[0] == opcode)
            return true;
    }
    return false;
}

static void every_command_reported_is_known_and_every_other_is_not(void **state)
{
    struct rig *rig = *state;
    struct command_list list;

    get_commands(rig, &list);
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        uint8_t cdb[SCSI_CDB_MAX_BYTES] = {(uint8_t)opcode};
        struct answer answer;

        if (!rig_reaches(rig, (uint8_t)opcode))
            continue;
        if (opcode == SCSI_VARIABLE_LENGTH)
            cdb[7] = 24; /* ADDITIONAL CDB LENGTH, which a kernel cuts the CDB to */
        answer = rig_command(rig, cdb);
        if (has_opcode(&list, (uint8_t)opcode))
            assert_int_not_equal(answer.asc_ascq, ASC_INVALID_OPERATION_CODE);
        else
            assert_check(answer, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPERATION_CODE);
    }
}

static void every_service_action_reported_is_known_and_every_other_is_not(void **state)
{
    const uint8_t opcodes[] = {SCSI_SERVICE_ACTION_IN_16, SCSI_MAINTENANCE_IN};
    struct rig *rig = *state;
    struct command_list list;
    uint8_t reply[4];

    get_commands(rig, &list);
    for (size_t o = 0; o < sizeof(opcodes); o++) {
        for (uint8_t action = 0; action < 32; action++) {
            uint8_t cdb[SCSI_CDB_MAX_BYTES] = {opcodes[o], action};
            bool reported = false;

            for (size_t i = 0; i < list.count; i++) {
                const uint8_t *command = command_at(&list, i);

                if (command[0] == opcodes[o]) {
                    assert_true(command[5] & SERVACTV);
                    reported |= get_be16(command + 2) == action;
                }
            }
            /* nothing but zeros: an allocation length of 0, which one of them refuses */
            if (reported && opcodes[o] == SCSI_MAINTENANCE_IN &&
                action == SCSI_SA_REPORT_TASK_MANAGEMENT_FUNCTIONS)
                cdb[9] = 4;
            if (reported)
                assert_good(rig_command_in(rig, cdb, reply, cdb[9]));
            else
                assert_check(rig_command(rig, cdb), SENSE_ILLEGAL_REQUEST,
                             ASC_INVALID_FIELD_IN_CDB);
        }
    }
}

static void commands_are_reported_in_order_and_with_the_length_of_their_group(void **state)
{
    struct rig *rig = *state;
    struct command_list list;

    get_commands(rig, &list);
    for (size_t i = 0; i < list.count; i++) {
        const uint8_t *command = command_at(&list, i);

        assert_int_equal(get_be16(command + 6), cdb_length(command[0]));
        assert_int_equal(command[5] & ~(SERVACTV | CTDP), 0);
        if (!(command[5] & SERVACTV))
            assert_int_equal(get_be16(command + 2), 0);
        if (i > 0)
            assert_true(memcmp(command_at(&list, i - 1), command, 4) < 0);
    }
}

static void each_command_can_be_asked_for_alone(void **state)
{
    struct rig *rig = *state;
    struct command_list list;

    get_commands(rig, &list);
    for (size_t i = 0; i < list.count; i++) {
        const uint8_t *command = command_at(&list, i);
        bool has_action = command[5] & SERVACTV;
        uint16_t action = get_be16(command + 2);
        uint8_t reply[64];
        uint8_t cdb[SCSI_CDB_MAX_BYTES];

        for (uint8_t option = 1; option <= 3; option++) {
            report_cdb(cdb, option, command[0], action, sizeof(reply));
            if (option == (has_action ? 1 : 2)) {
                assert_check(rig_command_in(rig, cdb, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST,
                             ASC_INVALID_FIELD_IN_CDB);
                continue;
            }
            assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
            assert_int_equal(reply[1], 0x03); /* supported, as the standard says */
            assert_int_equal(get_be16(reply + 2), cdb_length(command[0]));
            assert_int_equal(reply[4], command[0]);
            if (has_action && command[0] == SCSI_VARIABLE_LENGTH)
                assert_int_equal(get_be16(reply + 4 + 8), action);
            else if (has_action)
                assert_int_equal(reply[5] & 0x1F, action);
        }
    }
}

static void a_command_that_is_not_there_is_reported_as_such(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t reply[64];

    for (uint8_t option = 1; option <= 3; option++) {
        report_cdb(cdb, option, 0x3F /* WRITE LONG(10) */, 0, sizeof(reply));
        assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
        assert_int_equal(reply[1], 0x01);
        assert_int_equal(get_be16(reply + 2), 0);
    }
    report_cdb(cdb, 2, SCSI_SERVICE_ACTION_IN_16, 0x11, sizeof(reply));
    assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
    assert_int_equal(reply[1], 0x01);
    report_cdb(cdb, 3, SCSI_READ_10, 1, sizeof(reply)); /* has no service actions */
    assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
    assert_int_equal(reply[1], 0x01);
    for (uint8_t option = 4; option < 8; option++) {
        report_cdb(cdb, option, SCSI_READ_10, 0, sizeof(reply));
        assert_check(rig_command_in(rig, cdb, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
    }
}

static void timeouts_descriptors_come_when_asked_for(void **state)
{
    struct rig *rig = *state;
    struct command_list list;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t reply[4096];

    get_commands(rig, &list);
    for (size_t i = 0; i < list.count; i++)
        assert_false(command_at(&list, i)[5] & CTDP);
    report_cdb(cdb, RCTD, 0, 0, sizeof(reply));
    assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
    assert_int_equal(get_be32(reply), 20 * list.count);
    for (size_t i = 0; i < list.count; i++) {
        assert_true(reply[4 + 20 * i + 5] & CTDP);
        assert_int_equal(get_be16(reply + 4 + 20 * i + 8), 10);
        assert_true(get_be32(reply + 4 + 20 * i + 12) > 0);
        assert_true(get_be32(reply + 4 + 20 * i + 16) > get_be32(reply + 4 + 20 * i + 12));
    }
    report_cdb(cdb, RCTD | 1, SCSI_UNMAP, 0, sizeof(reply));
    assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
    assert_int_equal(reply[1], 0x83);
    assert_int_equal(get_be16(reply + 4 + 10), 10);
}

static void the_report_can_be_cut_anywhere(void **state)
{
    struct rig *rig = *state;
    struct command_list list;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t reply[300];

    get_commands(rig, &list);
    for (uint32_t length = 0; length <= 4 + 8 * list.count && length <= sizeof(reply); length++) {
        struct answer answer;

        report_cdb(cdb, 0, 0, 0, length);
        answer = rig_command_in(rig, cdb, reply, sizeof(reply));
        assert_good(answer);
        assert_length(answer, length);
        assert_memory_equal(reply, list.bytes, length);
    }
}

static void get_page(struct rig *rig, uint8_t page, uint8_t *to, size_t size, size_t *ret_length)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct answer answer;

    cdb_inquiry_vpd(cdb, page, (uint16_t)size);
    answer = rig_command_in(rig, cdb, to, size);
    assert_good(answer);
    *ret_length = answer.length;
}

/* The limits are tried in the tests of the commands; here, that they are those limits. */
static void block_limits_are_the_limits(void **state)
{
    struct rig *rig = *state;
    struct vpd_block_limits limits;
    uint8_t page[VPD_PAGE_MAX_BYTES];
    size_t length;

    get_page(rig, VPD_BLOCK_LIMITS, page, sizeof(page), &length);
    assert_int_equal(vpd_decode_block_limits(page, length, &limits), 0);
    assert_true(limits.wsnz);
    assert_int_equal(limits.max_transfer, (8u << 20) / rig->block_size);
    assert_true(limits.optimal_transfer <= limits.max_transfer);
    assert_int_equal(limits.max_unmap_blocks, 1u << 20);
    assert_int_equal(limits.max_unmap_descriptors, 256);
    assert_int_equal(limits.max_write_same, (8u << 20) / rig->block_size);
    assert_int_equal(limits.max_compare_and_write_blocks, 255);
    assert_int_equal(limits.optimal_unmap_granularity, 4096 / rig->block_size);
    assert_true(limits.unmap_alignment_valid);
    assert_int_equal(limits.unmap_alignment, 0);
}

static void provisioning_bits_are_true(void **state)
{
    struct rig *rig = *state;
    struct vpd_provisioning provisioning;
    struct capacity capacity;
    struct command_list list;
    uint8_t page[VPD_PAGE_MAX_BYTES];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    size_t length;

    get_commands(rig, &list);
    get_page(rig, VPD_LOGICAL_BLOCK_PROVISIONING, page, sizeof(page), &length);
    assert_int_equal(vpd_decode_provisioning(page, length, &provisioning), 0);
    assert_int_equal(provisioning.provisioning_type, 2);
    assert_int_equal(provisioning.lbpu, has_opcode(&list, SCSI_UNMAP));
    assert_int_equal(provisioning.lbpws, has_opcode(&list, SCSI_WRITE_SAME_16));
    assert_int_equal(provisioning.lbpws10, has_opcode(&list, SCSI_WRITE_SAME_10));
    assert_int_equal(provisioning.lbprz, 1);
    assert_int_equal(rig->block_size << provisioning.threshold_exponent, 1 << 20);
    assert_int_equal(provisioning.threshold_percentage, 1);
    cdb_read_capacity_16(cdb, 32);
    assert_good(rig_command_in(rig, cdb, page, 32));
    assert_int_equal(capacity_decode_16(page, 32, &capacity), 0);
    assert_true(capacity.lbpme);
    assert_true(capacity.lbprz);
    assert_int_equal(rig->block_size << capacity.physical_exponent, 4096);
    assert_int_equal(capacity.lowest_aligned_lba, 0);
    /* and what they promise */
    rig_fill(rig, 0, 64, 0x99);
    rig_unmap(rig, 0, 64);
    rig_assert_mapped(rig, 0, 64, false);
    rig_assert_blocks(rig, 0, 64, 0);
    rig_fill(rig, 0, 64, 0x99);
    if (provisioning.anc_sup) {
        rig_anchor(rig, 0, 64);
        rig_assert_status(rig, 0, 64, EXTENT_ANCHORED);
        rig_assert_blocks(rig, 0, 64, 0);
    } else {
        assert_check(rig_unmap_ranges_anchor(rig, &(struct rig_range){0, 64}, 1),
                     SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        rig_assert_blocks(rig, 0, 64, 0x99);
    }
}

/* SPC-4 7.8.7. What the target in front of the logical unit does is not ours to claim. */
static void the_extended_inquiry_page_claims_what_there_is(void **state)
{
    struct rig *rig = *state;
    uint8_t page[64], expected[64] = {0, VPD_EXTENDED_INQUIRY, 0, 60};
    uint8_t cdb[SCSI_CDB_MAX_BYTES], mode[64];
    size_t length;

    get_page(rig, VPD_EXTENDED_INQUIRY, page, sizeof(page), &length);
    expected[5] = 0x01; /* SIMPSUP */
    expected[13] = 96;  /* MAXIMUM SUPPORTED SENSE DATA LENGTH */
    cdb_mode_sense_6(cdb, 0x08, sizeof(mode));
    assert_good(rig_command_in(rig, cdb, mode, sizeof(mode)));
    expected[6] = mode[4 + 8 + 2] & 0x04 ? 0x01 : 0; /* V_SUP, as WCE says */
    assert_int_equal(length, sizeof(expected));
    assert_memory_equal(page, expected, sizeof(expected));
}

static void task_management_functions_are_those_of_the_kernel_target(void **state)
{
    const uint8_t expected[16] = {0x88, 0, 0, 12}; /* ABORT TASK, LOGICAL UNIT RESET */
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MAINTENANCE_IN,
                                       SCSI_SA_REPORT_TASK_MANAGEMENT_FUNCTIONS};
    struct rig *rig = *state;
    uint8_t reply[16];
    struct answer answer;

    cdb[9] = sizeof(reply);
    answer = rig_command_in(rig, cdb, reply, sizeof(reply));
    assert_good(answer);
    assert_length(answer, 4); /* and behind that only zeros, if anything */
    assert_int_equal(reply[0], expected[0]);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(reply[i], 0);
    cdb[2] = 0x80; /* REPD */
    assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
    assert_memory_equal(reply, expected, sizeof(reply));
    for (cdb[9] = 0; cdb[9] < 4; cdb[9]++)
        assert_check(rig_command_in(rig, cdb, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(every_command_reported_is_known_and_every_other_is_not),
        BOTH(every_service_action_reported_is_known_and_every_other_is_not),
        BOTH(commands_are_reported_in_order_and_with_the_length_of_their_group),
        BOTH(each_command_can_be_asked_for_alone),
        BOTH(a_command_that_is_not_there_is_reported_as_such),
        BOTH(timeouts_descriptors_come_when_asked_for),
        BOTH(the_report_can_be_cut_anywhere),
        BOTH(block_limits_are_the_limits),
        BOTH(provisioning_bits_are_true),
        BOTH(the_extended_inquiry_page_claims_what_there_is),
        BOTH(task_management_functions_are_those_of_the_kernel_target),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
