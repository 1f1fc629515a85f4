/* SPDX-License-Identifier: Apache-2.0 */

/* FORMAT UNIT and its parameter lists. */

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

#define LONGLIST 0x20
#define FMTDATA  0x10
#define CMPLST   0x08

#define FOV      0x80
#define DCRT     0x20
#define IP       0x08
#define IMMED    0x02

static struct answer format_unit(struct rig *rig, uint8_t flags, const void *list, size_t size)
{
    const uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_FORMAT_UNIT, flags};

    return size ? rig_command_out(rig, cdb, list, size) : rig_command(rig, cdb);
}

static void dirty(struct rig *rig)
{
    rig_fill(rig, 0, 8, 0x11);
    rig_fill(rig, 1000, 8, 0x22);
    rig_fill(rig, rig->blocks - 8, 8, 0x33);
}

static void assert_empty(struct rig *rig)
{
    rig_assert_mapped(rig, 0, (uint32_t)rig->blocks, false);
    rig_assert_blocks(rig, 0, 8, 0);
    rig_assert_blocks(rig, 1000, 8, 0);
    rig_assert_blocks(rig, rig->blocks - 8, 8, 0);
}

static void all_blocks_are_deallocated(void **state)
{
    struct rig *rig = *state;

    dirty(rig);
    assert_good(format_unit(rig, 0, NULL, 0));
    assert_empty(rig);
}

static void every_sound_list_formats(void **state)
{
    struct rig *rig = *state;
    const struct {
        uint8_t flags;
        uint8_t size;
        uint8_t list[16];
    } sound[] = {
        {FMTDATA, 4, {0}},
        {FMTDATA, 4, {0, IMMED}},
        {FMTDATA | CMPLST, 4, {0, FOV | DCRT | IMMED}},
        {FMTDATA | LONGLIST, 8, {0}},
        {FMTDATA | LONGLIST, 8, {0, FOV | DCRT}},
        {FMTDATA, 8, {0, FOV | IP}},                                /* default pattern */
        {FMTDATA, 12, {0, FOV | IP, 0, 0, 0, 1, 0, 4, 0, 0, 0, 0}}, /* zeros */
        {FMTDATA | LONGLIST, 13, {0, FOV | IP, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0}},
    };

    for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++) {
        dirty(rig);
        assert_good(format_unit(rig, sound[i].flags, sound[i].list, sound[i].size));
        assert_empty(rig);
    }
}

static void what_is_wrong_with_a_list_is_told_and_nothing_formatted(void **state)
{
    struct rig *rig = *state;
    const struct {
        uint16_t asc_ascq;
        uint8_t flags;
        uint8_t size;
        uint8_t list[16];
    } wrong[] = {
        {ASC_PARAMETER_LIST_LENGTH_ERROR, FMTDATA, 3, {0}},
        {ASC_PARAMETER_LIST_LENGTH_ERROR, FMTDATA | LONGLIST, 7, {0}},
        {ASC_PARAMETER_LIST_LENGTH_ERROR, FMTDATA, 7, {0, FOV | IP}},
        {ASC_PARAMETER_LIST_LENGTH_ERROR, FMTDATA, 11, {0, FOV | IP, 0, 0, 0, 1, 0, 4}},
        {ASC_INVALID_FIELD_IN_PARAMETER_LIST, FMTDATA, 4, {1}},           /* protection */
        {ASC_INVALID_FIELD_IN_PARAMETER_LIST, FMTDATA, 4, {0, DCRT}},     /* without FOV */
        {ASC_INVALID_FIELD_IN_PARAMETER_LIST, FMTDATA, 8, {0, IP}},       /* the same */
        {ASC_INVALID_FIELD_IN_PARAMETER_LIST, FMTDATA, 12, {0, 0, 0, 8}}, /* defects */
        {ASC_INVALID_FIELD_IN_PARAMETER_LIST, FMTDATA | LONGLIST, 8, {0, 0, 0, 0x10}},
        {ASC_INVALID_FIELD_IN_PARAMETER_LIST, FMTDATA | LONGLIST, 8, {0, 0, 0, 0, 0, 0, 0, 8}},
        {ASC_INVALID_FIELD_IN_PARAMETER_LIST, FMTDATA, 8, {0, FOV | IP, 0, 0, 0x20}},
        {ASC_INVALID_FIELD_IN_PARAMETER_LIST, FMTDATA, 8, {0, FOV | IP, 0, 0, 0, 2}},
        {ASC_INVALID_FIELD_IN_PARAMETER_LIST, FMTDATA, 8, {0, FOV | IP, 0, 0, 0, 1, 0, 0}},
        {ASC_INVALID_FIELD_IN_PARAMETER_LIST, FMTDATA, 9, {0, FOV | IP, 0, 0, 0, 0, 0, 1}},
        {ASC_INVALID_FIELD_IN_PARAMETER_LIST, FMTDATA, 9, {0, FOV | IP, 0, 0, 0, 1, 0x10, 1}},
        {ASC_INVALID_FIELD_IN_PARAMETER_LIST, FMTDATA, 9, {0, FOV | IP, 0, 0, 0, 1, 0, 1, 0xAA}},
        {ASC_INVALID_FIELD_IN_CDB, 0x80 | FMTDATA, 4, {0}}, /* FMTPINFO */
        {ASC_INVALID_FIELD_IN_CDB, CMPLST, 0, {0}},         /* of no list */
    };

    dirty(rig);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_check(format_unit(rig, wrong[i].flags, wrong[i].list, wrong[i].size),
                     SENSE_ILLEGAL_REQUEST, wrong[i].asc_ascq);
    rig_assert_blocks(rig, 0, 8, 0x11);
    rig_assert_blocks(rig, rig->blocks - 8, 8, 0x33);
}

static void a_failure_below_is_no_success(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it makes the store fail");
    dirty(rig);
    store_mem_set_fault(rig->store, "punch", 0, EIO);
    assert_check(format_unit(rig, 0, NULL, 0), SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
    store_mem_set_fault(rig->store, "punch", 0, 0);
    store_mem_set_fault(rig->store, "flush", 0, EIO);
    assert_check(format_unit(rig, 0, NULL, 0), SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
    store_mem_set_fault(rig->store, "flush", 0, 0);
    assert_good(format_unit(rig, 0, NULL, 0));
}

static void a_read_only_unit_refuses_it(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, 64, 4096, true);
    assert_check(format_unit(&rig, 0, NULL, 0), SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(all_blocks_are_deallocated),
        BOTH(every_sound_list_formats),
        BOTH(what_is_wrong_with_a_list_is_told_and_nothing_formatted),
        BOTH(a_failure_below_is_no_success),
        cmocka_unit_test(a_read_only_unit_refuses_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
