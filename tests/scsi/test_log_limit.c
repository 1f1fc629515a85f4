/* SPDX-License-Identifier: Apache-2.0 */

/* No initiator can fill the log: whatever a command makes the unit log has a limit, per kind and
 * LUN, and what was left out is counted. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "log.h"
#include "log_limit.h"
#include "scsi_rig.h"
#include "store_mem.h"

#define TIMES 500

static unsigned lines;
static char last_line[1024];
static uint64_t clock_ms;

static void count_line(enum log_level level, const char *message)
{
    (void)level;
    lines++;
    snprintf(last_line, sizeof(last_line), "%s", message);
}

static uint64_t test_clock(void)
{
    return clock_ms;
}

static void open_quiet(struct rig *rig)
{
    rig_needs_native("it makes the store fail");
    rig_open(rig, 512, 2048, 4096, false);
    clock_ms = 1000000;
    lun_set_clock(rig->lun, test_clock);
    log_set_sink(count_line);
    log_set_level(LOG_LEVEL_INFO);
    lines = 0;
}

static void close_quiet(struct rig *rig)
{
    rig_close(rig);
    log_set_sink(NULL);
    log_set_level(LOG_LEVEL_WARNING);
}

/* cause, done very often, logs a burst; later it logs again and says how much was left out. */
static void assert_limited(struct rig *rig, void (*cause)(struct rig *rig, unsigned i),
                           const char *words)
{
    unsigned each;
    char left_out[64];

    cause(rig, 0);
    each = lines;
    assert_int_equal(each, 1);
    for (unsigned i = 1; i < TIMES; i++)
        cause(rig, i);
    assert_int_equal(lines, LOG_LIMIT_BURST);
    assert_non_null(strstr(last_line, words));
    assert_non_null(strstr(last_line, "LUN 00010203-"));
    clock_ms += LOG_LIMIT_INTERVAL_MS;
    cause(rig, TIMES);
    cause(rig, TIMES + 1);
    assert_int_equal(lines, LOG_LIMIT_BURST + 1);
    snprintf(left_out, sizeof(left_out), "(%d like it before were left out)",
             TIMES - LOG_LIMIT_BURST);
    assert_non_null(strstr(last_line, left_out));
    clock_ms += UINT64_C(1000) * LOG_LIMIT_INTERVAL_MS;
    for (unsigned i = 0; i < TIMES; i++)
        cause(rig, i);
    assert_int_equal(lines, 2 * LOG_LIMIT_BURST + 1);
}

static void read_badly(struct rig *rig, unsigned i)
{
    uint8_t bytes[512], cdb[SCSI_CDB_MAX_BYTES];

    (void)i;
    store_mem_set_fault(rig->store, "read", 0, EIO);
    cdb_read_16(cdb, 0, 1);
    assert_check(rig_command_in(rig, cdb, bytes, sizeof(bytes)), SENSE_MEDIUM_ERROR,
                 ASC_UNRECOVERED_READ_ERROR);
    store_mem_set_fault(rig->store, "read", 0, 0);
}

static void write_badly(struct rig *rig, unsigned i)
{
    uint8_t bytes[512] = {1}, cdb[SCSI_CDB_MAX_BYTES];

    (void)i;
    store_mem_set_fault(rig->store, "write", 0, EIO);
    cdb_write_16(cdb, 0, 1, false);
    assert_check(rig_command_out(rig, cdb, bytes, sizeof(bytes)), SENSE_MEDIUM_ERROR,
                 ASC_WRITE_ERROR);
    store_mem_set_fault(rig->store, "write", 0, 0);
}

/* One that finds no space, and one that does. */
static void write_to_full(struct rig *rig, unsigned i)
{
    uint8_t bytes[512] = {1}, cdb[SCSI_CDB_MAX_BYTES];

    (void)i;
    rig_fill(rig, 0, 8, 0x11);
    store_mem_set_quota(rig->store, 4096);
    cdb_write_16(cdb, 64, 1, false);
    assert_check(rig_command_out(rig, cdb, bytes, sizeof(bytes)), SENSE_DATA_PROTECT,
                 ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT);
}

static void sanitize(struct rig *rig, unsigned i)
{
    const uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_SANITIZE, SCSI_SA_SANITIZE_BLOCK_ERASE};

    (void)i;
    assert_good(rig_command(rig, cdb));
}

static void sanitize_badly(struct rig *rig, unsigned i)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_SANITIZE, SCSI_SA_SANITIZE_BLOCK_ERASE | 0x20};

    (void)i;
    store_mem_set_fault(rig->store, "flush", 0, EIO);
    assert_int_equal(rig_command(rig, cdb).status, SCSI_STATUS_CHECK_CONDITION);
    store_mem_set_fault(rig->store, "flush", 0, 0);
    cdb[1] = SCSI_SA_SANITIZE_EXIT_FAILURE_MODE;
    rig_command(rig, cdb);
}

/* The threshold of what is used, at one MiB, is reached anew when the page is set again. */
static void set_threshold(struct rig *rig, bool enabled)
{
    uint8_t list[8 + 40] = {0}, cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SELECT_10, 0x10};
    const uint8_t sense[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SENSE_10, 0x08, 0x1C, 0x02, 0, 0, 0, 0,
                                               sizeof(list)};

    rig_take_attentions(rig); /* the end of this looks again, after a while, */
    rig_take_attentions(rig); /* and tells again */
    assert_good(rig_command_in(rig, sense, list, sizeof(list)));
    list[0] = list[1] = 0; /* MODE DATA LENGTH */
    list[3] = 0;
    list[8] &= 0x7F; /* PS */
    list[8 + 24] = (uint8_t)((list[8 + 24] & 0x7F) | (enabled ? 0x80 : 0));
    put_be32(list + 8 + 28, 0);
    cdb[8] = sizeof(list);
    assert_good(rig_command_out(rig, cdb, list, sizeof(list)));
    rig_take_attentions(rig);
}

static void reach_a_threshold(struct rig *rig, unsigned i)
{
    (void)i;
    set_threshold(rig, false);
    set_threshold(rig, true);
}

#define LIMITED(name, cause, words)         \
    static void name(void **state)          \
    {                                       \
        struct rig rig;                     \
                                            \
        (void)state;                        \
        open_quiet(&rig);                   \
        assert_limited(&rig, cause, words); \
        close_quiet(&rig);                  \
    }

LIMITED(reads_that_fail, read_badly, "reading failed")
LIMITED(writes_that_fail, write_badly, "writing failed")
LIMITED(writes_that_find_no_space, write_to_full, "is full")
LIMITED(sanitizes_that_succeed, sanitize, "SANITIZE is done")
LIMITED(sanitizes_that_fail, sanitize_badly, "SANITIZE")
LIMITED(thresholds_that_are_reached, reach_a_threshold, "threshold")

static void one_kind_keeps_out_no_other(void **state)
{
    struct rig rig;

    (void)state;
    open_quiet(&rig);
    for (unsigned i = 0; i < TIMES; i++)
        read_badly(&rig, i);
    assert_int_equal(lines, LOG_LIMIT_BURST);
    write_badly(&rig, 0);
    sanitize(&rig, 0);
    assert_int_equal(lines, LOG_LIMIT_BURST + 2);
    close_quiet(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_that_fail),
        cmocka_unit_test(writes_that_fail),
        cmocka_unit_test(writes_that_find_no_space),
        cmocka_unit_test(sanitizes_that_succeed),
        cmocka_unit_test(sanitizes_that_fail),
        cmocka_unit_test(thresholds_that_are_reached),
        cmocka_unit_test(one_kind_keeps_out_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
