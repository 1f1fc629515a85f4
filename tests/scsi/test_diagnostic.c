/* SPDX-License-Identifier: Apache-2.0 */

/* SEND DIAGNOSTIC, and the modes of READ BUFFER that every device may be asked for. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "scsi_defs.h"
#include "scsi_rig.h"
#include "store_mem.h"

static struct answer send_diagnostic(struct rig *rig, uint8_t flags, uint16_t length)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {0x1D, flags};

    put_be16(cdb + 3, length);
    return rig_command(rig, cdb);
}

/* SPC-4 6.42: SELFTEST, also with DEVOFFL and UNITOFFL; nothing to do without it. */
static void the_default_self_test_is_good(void **state)
{
    struct rig *rig = *state;

    for (uint8_t flags = 0; flags < 0x20; flags++)
        if (!(flags & 0x08)) /* reserved */
            assert_good(send_diagnostic(rig, flags, 0));
}

static void other_self_tests_and_pages_are_refused(void **state)
{
    struct rig *rig = *state;

    for (unsigned code = 1; code < 8; code++)
        assert_check(send_diagnostic(rig, (uint8_t)(code << 5), 0), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
    assert_check(send_diagnostic(rig, 0x10, 4), SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

static void a_volume_that_cannot_be_read_fails_its_test(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it makes the store fail");
    rig_fill(rig, 0, 8, 0x11);
    store_mem_set_fault(rig->store, "read", 0, EIO);
    assert_check(send_diagnostic(rig, 0x04, 0), SENSE_HARDWARE_ERROR, 0x3E03);
    assert_good(send_diagnostic(rig, 0, 0));
    store_mem_set_fault(rig->store, "read", 0, 0);
    assert_good(send_diagnostic(rig, 0x04, 0));
}

static struct answer read_buffer(struct rig *rig, uint8_t mode, uint8_t id, uint8_t *to,
                                 uint8_t size)
{
    const uint8_t cdb[SCSI_CDB_MAX_BYTES] = {0x3C, mode, id, 0, 0, 0, 0, 0, size};

    return rig_command_in(rig, cdb, to, size);
}

/* SPC-4 6.21.2, 6.21.4 and 6.21.5: BUFFER CAPACITY is zero. */
static void there_is_no_buffer(void **state)
{
    static const uint8_t zeros[64];
    struct rig *rig = *state;
    uint8_t bytes[64];
    struct answer answer;

    for (uint8_t id = 0; id < 2; id++) {
        answer = read_buffer(rig, 0x00, id, bytes, sizeof(bytes));
        assert_good(answer);
        assert_length(answer, 4);
        assert_memory_equal(bytes, zeros, 4);
        answer = read_buffer(rig, 0x03, id, bytes, sizeof(bytes));
        assert_good(answer);
        assert_length(answer, 4);
        assert_memory_equal(bytes, zeros, 4);
        assert_good(read_buffer(rig, 0x02, id, bytes, sizeof(bytes)));
        assert_memory_equal(bytes, zeros, sizeof(bytes));
    }
}

/* SPC-4 6.21.9.2: the vendor, and no entries. */
static void the_error_history_is_empty(void **state)
{
    static const uint8_t directory[32] = "THINMIRR";
    struct rig *rig = *state;
    uint8_t bytes[64];
    struct answer answer = read_buffer(rig, 0x1C, 0, bytes, sizeof(bytes));

    assert_good(answer);
    assert_length(answer, sizeof(directory));
    assert_memory_equal(bytes, directory, sizeof(directory));
    for (unsigned id = 1; id < 256; id += 51)
        assert_check(read_buffer(rig, 0x1C, (uint8_t)id, bytes, sizeof(bytes)),
                     SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_default_self_test_is_good),
        BOTH(other_self_tests_and_pages_are_refused),
        BOTH(a_volume_that_cannot_be_read_fails_its_test),
        BOTH(there_is_no_buffer),
        BOTH(the_error_history_is_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
