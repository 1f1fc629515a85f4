/* SPDX-License-Identifier: Apache-2.0 */

/* Thresholds on the space that is left: when the sender of the next command is told, and how
 * often. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "log.h"
#include "scsi_rig.h"
#include "store_mem.h"

#define MIB_BLOCKS 256 /* of 4096 bytes */
#define MINUTES    (60 * UINT64_C(1000))

#define PF         0x10

static uint64_t now_ms;
static int warnings;

static uint64_t clock_of_the_test(void)
{
    return now_ms;
}

static void count_warnings(enum log_level level, const char *message)
{
    warnings += level == LOG_LEVEL_WARNING && strstr(message, "threshold") != NULL;
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    *state = rig;
    now_ms = 1000;
    warnings = 0;
    log_set_sink(count_warnings);
    if (!rig_is_native())
        return 0;
    rig_open(rig, 4096, UINT64_C(64) * MIB_BLOCKS, 4096, false);
    store_mem_set_quota(rig->store, 20 << 20);
    lun_set_clock(rig->lun, clock_of_the_test);
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    free(*state);
    return 0;
}

/* Maps mib MiB from the one at index on, a second later: what the first of them takes is seen.
 */
static void fill(struct rig *rig, uint64_t index, uint32_t mib)
{
    now_ms += 1000;
    for (uint32_t i = 0; i < mib; i++)
        rig_fill(rig, (index + i) * MIB_BLOCKS, MIB_BLOCKS, 0x77);
}

static void set_threshold(struct rig *rig, int which, uint32_t count)
{
    uint8_t sense[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SENSE_6, 0x08, 0x1C, 2, 44};
    uint8_t select[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SELECT_6, PF, 0, 0, 44};
    uint8_t list[44];

    assert_good(rig_command_in(rig, sense, list, sizeof(list)));
    memset(list, 0, 4);
    list[20 + 8 * which] |= 0x80;
    put_be32(list + 24 + 8 * which, count);
    assert_good(rig_command_out(rig, select, list, sizeof(list)));
}

static void assert_told(struct rig *rig, unsigned descriptor)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct answer answer;

    cdb_test_unit_ready(cdb);
    answer = rig_command(rig, cdb);
    assert_check(answer, SENSE_UNIT_ATTENTION, ASC_SOFT_THRESHOLD_REACHED);
    assert_true(answer.information_valid);
    assert_int_equal(answer.information, 16 + 8 * descriptor);
    assert_good(rig_command(rig, cdb));
}

static void assert_not_told(struct rig *rig)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_test_unit_ready(cdb);
    assert_good(rig_command(rig, cdb));
}

static void without_a_threshold_nobody_is_told(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it sets the store a quota");
    fill(rig, 0, 20);
    now_ms += 10 * MINUTES;
    fill(rig, 0, 1);
    assert_not_told(rig);
    assert_int_equal(warnings, 0);
}

static void used_space_that_grows_to_its_threshold_is_told(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it sets the store a quota");
    set_threshold(rig, 1, 10);
    fill(rig, 0, 9);
    fill(rig, 0, 1); /* written again: takes nothing */
    assert_not_told(rig);
    fill(rig, 9, 1);
    assert_told(rig, 1);
    assert_int_equal(warnings, 1);
}

static void available_space_that_shrinks_to_its_threshold_is_told(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it sets the store a quota");
    set_threshold(rig, 0, 5);
    fill(rig, 0, 14);
    fill(rig, 0, 1);
    assert_not_told(rig);
    fill(rig, 14, 1);
    assert_told(rig, 0);
}

static void a_percentage_left_is_told(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it sets the store a quota");
    lun_set_threshold(rig->lun, 75);
    fill(rig, 0, 14);
    fill(rig, 0, 1);
    assert_not_told(rig);
    fill(rig, 14, 1);
    assert_told(rig, 2);
}

static void a_threshold_that_is_set_too_late_is_told_at_once(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it sets the store a quota");
    fill(rig, 0, 12);
    set_threshold(rig, 1, 10);
    assert_told(rig, 1);
}

static void what_stays_so_is_told_every_five_minutes(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it sets the store a quota");
    fill(rig, 0, 12);
    set_threshold(rig, 1, 10);
    assert_told(rig, 1);
    now_ms += 5 * MINUTES - 1001;
    fill(rig, 0, 1);
    assert_not_told(rig);
    fill(rig, 0, 1);
    assert_told(rig, 1);
    fill(rig, 12, 4);
    fill(rig, 0, 1);
    assert_not_told(rig);
    assert_int_equal(warnings, 2);
}

static void freeing_arms_it_again(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it sets the store a quota");
    fill(rig, 0, 12);
    set_threshold(rig, 1, 10);
    assert_told(rig, 1);
    rig_unmap(rig, 0, 4 * MIB_BLOCKS);
    now_ms += 1000;
    rig_unmap(rig, 0, 1);
    fill(rig, 0, 4);
    fill(rig, 0, 1);
    assert_told(rig, 1);
}

static void little_comings_and_goings_at_the_threshold_are_not_told(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it sets the store a quota");
    fill(rig, 0, 10);
    set_threshold(rig, 1, 10);
    assert_told(rig, 1);
    for (int i = 0; i < 4; i++) { /* less than half a threshold set */
        now_ms += 1000;
        rig_unmap(rig, 0, MIB_BLOCKS / 4);
        fill(rig, 0, 1);
        fill(rig, 0, 1);
        assert_not_told(rig);
    }
}

static void much_written_within_a_second_is_looked_at(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it sets the store a quota");
    set_threshold(rig, 1, 10);
    rig_fill(rig, 0, MIB_BLOCKS, 0x78);
    for (uint64_t i = 1; i < 31; i++) /* 31 MiB, while the clock stands still */
        rig_fill(rig, i % 12 * MIB_BLOCKS, MIB_BLOCKS, 0x78);
    assert_not_told(rig);
    rig_fill(rig, 0, MIB_BLOCKS, 0x78);
    assert_told(rig, 1);
}

static void what_others_take_is_told_without_a_write(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it sets the store a quota");
    set_threshold(rig, 0, 5);
    store_mem_set_quota(rig->store, 4 << 20);
    now_ms += 9999;
    assert_not_told(rig);
    assert_not_told(rig);
    now_ms += 1;
    assert_not_told(rig); /* has it looked at */
    assert_told(rig, 0);
}

static void without_lbpere_nobody_is_told(void **state)
{
    uint8_t select[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SELECT_6, PF, 0, 0, 16};
    uint8_t list[16] = {0, 0, 0, 0, 0x01, 10};
    struct rig *rig = *state;

    rig_needs_native("it sets the store a quota");
    assert_good(rig_command_out(rig, select, list, sizeof(list)));
    set_threshold(rig, 1, 10);
    fill(rig, 0, 12);
    fill(rig, 0, 1);
    assert_not_told(rig);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_threshold_nobody_is_told),
        TEST(used_space_that_grows_to_its_threshold_is_told),
        TEST(available_space_that_shrinks_to_its_threshold_is_told),
        TEST(a_percentage_left_is_told),
        TEST(a_threshold_that_is_set_too_late_is_told_at_once),
        TEST(what_stays_so_is_told_every_five_minutes),
        TEST(freeing_arms_it_again),
        TEST(little_comings_and_goings_at_the_threshold_are_not_told),
        TEST(much_written_within_a_second_is_looked_at),
        TEST(what_others_take_is_told_without_a_write),
        TEST(without_lbpere_nobody_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
