/* SPDX-License-Identifier: Apache-2.0 */

/* Responses that the module writes to the ring itself: to commands that libtcmu drops, and those
 * with a status that it has no word for. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cdb.h"
#include "module_fixture.h"
#include "sense.h"

/* Opcodes that libtcmu has no length for (SPC-4 4.2.5.1: groups 3, 6 and 7) never reach the
 * handler. They end with INVALID COMMAND OPERATION CODE as soon as another command is taken off the
 * ring behind them, however many there are, and nothing stays on the ring. */
static void dropped_opcodes_are_answered_with_the_next_command(void **state)
{
    static const uint8_t opcodes[] = {0x60, 0x7E, 0xC0, 0xDE, 0xFF};
    struct host_device *device = serve(cfgstring, 512);
    struct host_command dropped[5] = {0}, last = {0};
    struct sense sense;

    (void)state;
    for (int round = 0; round < 300; round++) { /* the ring's end is passed */
        memset(dropped, 0, sizeof(dropped));
        for (int i = 0; i < 5; i++) {
            dropped[i].cdb[0] = opcodes[(i + round) % 5];
            host_submit(device, &dropped[i]);
        }
        cdb_test_unit_ready(last.cdb);
        assert_int_equal(host_execute(device, &last, NULL, 0), TCMU_STS_OK);
        for (int i = 0; i < 5; i++) {
            host_wait(device, &dropped[i]);
            assert_int_equal(dropped[i].status, HOST_OWN_RESPONSE);
            assert_int_equal(dropped[i].scsi_status, SCSI_STATUS_CHECK_CONDITION);
            assert_int_equal(sense_decode(dropped[i].sense, sizeof(dropped[i].sense), &sense), 0);
            assert_int_equal(sense.key, SENSE_ILLEGAL_REQUEST);
            assert_int_equal(sense.asc_ascq, ASC_INVALID_OPERATION_CODE);
        }
        assert_int_equal(host_unanswered(device), 0);
    }
    host_remove(device);
}

/* As the last command on the ring it is answered all the same, by the watch of all devices. */
static void a_dropped_opcode_alone_is_answered_within_seconds(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    struct host_command dropped = {.cdb = {0xC0}}, next = {0};

    (void)state;
    for (int i = 0; i < 2; i++) {
        host_submit(device, &dropped);
        host_wait(device, &dropped);
        assert_int_equal(dropped.scsi_status, SCSI_STATUS_CHECK_CONDITION);
        assert_int_equal(host_unanswered(device), 0);
        cdb_test_unit_ready(next.cdb);
        assert_int_equal(host_execute(device, &next, NULL, 0), TCMU_STS_OK);
    }
    host_remove(device);
}

/* What others have to wait for must not depend on a command that will never come. */
static void a_dropped_opcode_is_no_reason_to_tell_later(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    struct host_command dropped[3] = {0}, good[3] = {0};

    (void)state;
    for (int i = 0; i < 3; i++) {
        cdb_test_unit_ready(good[i].cdb);
        dropped[i].cdb[0] = 0xC1;
        host_submit(device, &good[i]);
        host_submit(device, &dropped[i]);
        host_wait(device, &good[i]);
        assert_int_equal(good[i].status, TCMU_STS_OK);
    }
    assert_true(dropped[0].done && dropped[1].done);
    host_remove(device);
}

/* libtcmu has no word for this status. What the kernel does not show may be reserved. */
static void a_reservation_conflict_is_told_as_such(void **state)
{
    static const char *const types[] = {"SPC-3 Reservation Type: Write Exclusive Access\n", "?\n"};
    static const uint8_t cdbs[][10] = {{SCSI_FORMAT_UNIT}, {SCSI_SANITIZE, 0x02}};
    struct host_device *device = serve(cfgstring, 512);
    struct host_command last = {0};
    uint8_t block[512] = {7}, found[512];

    (void)state;
    write_blocks(device, 0, block, 1, 512);
    for (int i = 0; i < 200; i++) {
        say_reservation(types[i / 2 % 2]);
        struct host_command command = {0}, read = {0};

        memcpy(command.cdb, cdbs[i % 2], sizeof(cdbs[0]));
        assert_int_equal(host_execute(device, &command, NULL, 0), HOST_OWN_RESPONSE);
        assert_int_equal(command.scsi_status, SCSI_STATUS_RESERVATION_CONFLICT);
        cdb_read_16(read.cdb, 0, 1);
        assert_int_equal(host_execute(device, &read, found, sizeof(found)), TCMU_STS_OK);
        assert_memory_equal(found, block, sizeof(block));
    }
    say_reservation(NO_RESERVATION);
    memcpy(last.cdb, cdbs[0], sizeof(cdbs[0]));
    assert_int_equal(host_execute(device, &last, NULL, 0), TCMU_STS_OK);
    assert_int_equal(host_unanswered(device), 0);
    host_remove(device);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        MODULE_TEST(dropped_opcodes_are_answered_with_the_next_command),
        MODULE_TEST(a_dropped_opcode_alone_is_answered_within_seconds),
        MODULE_TEST(a_dropped_opcode_is_no_reason_to_tell_later),
        MODULE_TEST(a_reservation_conflict_is_told_as_such),
    };

    return RUN_MODULE_TESTS(argc, argv, tests);
}
