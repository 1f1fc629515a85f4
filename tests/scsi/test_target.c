/* SPDX-License-Identifier: Apache-2.0 */

/* What the logical unit tells of the target in front of it: its ports, their asymmetric access
 * state, the commands it serves itself. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "scsi_defs.h"
#include "scsi_rig.h"
#include "vpd.h"

static void say_ports(void *context, struct lun_ports *ret)
{
    *ret = *(const struct lun_ports *)context;
}

/* The rig's LUN behind a target with these ports. */
static struct rig *behind(void **state, struct lun_ports *ports)
{
    struct rig *rig = *state;

    rig_needs_native("it says what the target shows");
    lun_set_ports(rig->lun, say_ports, ports);
    return rig;
}

static uint8_t tpgs_byte(struct rig *rig)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES], bytes[96];

    cdb_inquiry(cdb, sizeof(bytes));
    assert_good(rig_command_in(rig, cdb, bytes, sizeof(bytes)));
    return bytes[5] & 0x30;
}

static size_t identification(struct rig *rig, uint8_t *bytes)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct answer answer;

    cdb_inquiry_vpd(cdb, VPD_DEVICE_IDENTIFICATION, VPD_PAGE_MAX_BYTES);
    answer = rig_command_in(rig, cdb, bytes, VPD_PAGE_MAX_BYTES);
    assert_good(answer);
    assert_int_equal(answer.length, 4 + get_be16(bytes + 2));
    return answer.length;
}

static struct answer report_groups(struct rig *rig, uint8_t format, uint8_t *to, size_t size)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MAINTENANCE_IN, (uint8_t)(format << 5 | 0x0A)};

    put_be32(cdb + 6, (uint32_t)size);
    return rig_command_in(rig, cdb, to, size);
}

static void without_a_target_nothing_of_it_is_told(void **state)
{
    struct lun_ports none = {0};
    struct rig *rig = *state;
    uint8_t bytes[VPD_PAGE_MAX_BYTES];
    size_t length;

    rig_needs_native("it says what the target shows");
    assert_int_equal(tpgs_byte(rig), 0);
    length = identification(rig, bytes);
    assert_check(report_groups(rig, 0, bytes, sizeof(bytes)), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    behind(state, &none);
    assert_int_equal(tpgs_byte(rig), 0);
    assert_int_equal(identification(rig, bytes), length);
    assert_check(report_groups(rig, 0, bytes, sizeof(bytes)), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
}

/* SPC-4 6.6.2 TPGS 01b, 7.8.6.7 and 7.8.6.8: designators of the target port. */
static void the_port_and_its_group_are_told(void **state)
{
    static const uint8_t relative[] = {0x01, 0x14, 0, 4, 0, 0, 0x00, 0x07};
    static const uint8_t group[] = {0x01, 0x15, 0, 4, 0, 0, 0x01, 0x02};
    struct lun_ports ports = {.alua = true, .group = 0x0102, .count = 1, .ids = {7}};
    struct rig *rig = *state;
    uint8_t bytes[VPD_PAGE_MAX_BYTES];
    size_t length;

    rig_needs_native("it says what the target shows");
    length = identification(rig, bytes);
    behind(state, &ports);
    assert_int_equal(tpgs_byte(rig), 0x10);
    assert_int_equal(identification(rig, bytes), length + 16);
    assert_memory_equal(bytes + length, relative, 8);
    assert_memory_equal(bytes + length + 8, group, 8);
    ports.count = 2; /* which of them it is is not known */
    assert_int_equal(identification(rig, bytes), length + 8);
    assert_memory_equal(bytes + length, group, 8);
}

/* SPC-4 6.37, tables 230 to 234. */
static void the_group_is_reported(void **state)
{
    static const uint8_t expected[] = {0, 0, 0, 16, 0x82, 0xCF, 0x01, 0x02, 0, 2,
                                       0, 2, 0, 0,  0,    7,    0,    0,    1, 9};
    static const uint8_t extended[] = {0, 0, 0, 20, 0x10, 60, 0, 0};
    struct lun_ports ports = {.alua = true,
                              .group = 0x0102,
                              .state = 2,
                              .supported = 0xCF,
                              .status = 2,
                              .preferred = true,
                              .transition_seconds = 60,
                              .count = 2,
                              .ids = {7, 0x109}};
    struct rig *rig = behind(state, &ports);
    uint8_t bytes[64];
    struct answer answer = report_groups(rig, 0, bytes, sizeof(bytes));

    assert_good(answer);
    assert_int_equal(answer.length, 4 + 8 + 8);
    assert_memory_equal(bytes, expected, sizeof(expected));
    answer = report_groups(rig, 1, bytes, sizeof(bytes));
    assert_good(answer);
    assert_int_equal(answer.length, 8 + 8 + 8);
    assert_memory_equal(bytes, extended, sizeof(extended));
    assert_memory_equal(bytes + 8, expected + 4, 16);
    for (size_t size = 0; size < 20; size++) {
        uint8_t cut[20];

        answer = report_groups(rig, 0, cut, size);
        assert_good(answer);
        assert_int_equal(answer.length, size);
    }
    for (uint8_t format = 2; format < 8; format++)
        assert_check(report_groups(rig, format, bytes, sizeof(bytes)), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
}

/* The rows of REPORT SUPPORTED OPERATION CODES that are not there without a target. */
static void what_the_target_serves_is_listed(void **state)
{
    static const uint8_t kept[][2] = {
        {0x16, 0}, {0x17, 0}, {0x56, 0}, {0x57, 0}, {0x5E, 0}, {0x5E, 1},
        {0x5E, 2}, {0x5E, 3}, {0x5F, 0}, {0x5F, 1}, {0x5F, 2}, {0x5F, 3},
        {0x5F, 4}, {0x5F, 5}, {0x5F, 6}, {0x5F, 7}, {0xA0, 0},
    };
    struct lun_ports ports = {.reservations = true};
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MAINTENANCE_IN, 0x0C, 0, 0, 0, 0, 0, 0, 0x10};
    uint8_t before[4096], after[4096];
    size_t found = 0;

    rig_needs_native("it says what the target shows");
    assert_good(rig_command_in(rig, cdb, before, sizeof(before)));
    behind(state, &ports);
    assert_good(rig_command_in(rig, cdb, after, sizeof(after)));
    for (size_t at = 4, old = 4; at < 4 + get_be32(after); at += 8) {
        if (old < 4 + get_be32(before) && memcmp(before + old, after + at, 8) == 0) {
            old += 8;
            continue;
        }
        assert_true(found < sizeof(kept) / sizeof(kept[0]));
        assert_int_equal(after[at], kept[found][0]);
        assert_int_equal(get_be16(after + at + 2), kept[found][1]);
        assert_int_equal(after[at + 5] & 1, kept[found][0] == 0x5E || kept[found][0] == 0x5F);
        assert_int_equal(get_be16(after + at + 6), cdb_length(after[at]));
        found++;
    }
    assert_int_equal(found, sizeof(kept) / sizeof(kept[0]));
    /* They are the target's: one that gets here is unknown. */
    assert_check(rig_command(rig, (uint8_t[SCSI_CDB_MAX_BYTES]){0x5E}), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_OPERATION_CODE);
}

static void one_of_them_can_be_asked_for(void **state)
{
    struct lun_ports ports = {.reservations = true};
    struct rig *rig = behind(state, &ports);
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MAINTENANCE_IN, 0x0C, 3, 0x5F, 0, 6, 0, 0, 0, 64};
    uint8_t bytes[64];
    struct answer answer = rig_command_in(rig, cdb, bytes, sizeof(bytes));

    assert_good(answer);
    assert_int_equal(bytes[1], 0x03);
    assert_int_equal(get_be16(bytes + 2), 10);
    assert_int_equal(bytes[4], 0x5F);
    assert_int_equal(bytes[5], 0x06);
    ports.reservations = false;
    assert_good(rig_command_in(rig, cdb, bytes, sizeof(bytes)));
    assert_int_equal(bytes[1], 0x01);
    cdb[3] = SCSI_MAINTENANCE_IN;
    cdb[5] = 0x0A;
    assert_good(rig_command_in(rig, cdb, bytes, sizeof(bytes)));
    assert_int_equal(bytes[1], 0x01);
    ports.alua = true;
    assert_good(rig_command_in(rig, cdb, bytes, sizeof(bytes)));
    assert_int_equal(bytes[1], 0x03);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(without_a_target_nothing_of_it_is_told),
        BOTH(the_port_and_its_group_are_told),
        BOTH(the_group_is_reported),
        BOTH(what_the_target_serves_is_listed),
        BOTH(one_of_them_can_be_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
