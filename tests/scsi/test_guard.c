/* SPDX-License-Identifier: Apache-2.0 */

/* Reservations and read-only mappings, for the commands that the target in front of the logical
 * unit lets through from every initiator: those that carry no Data-Out. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "scsi_defs.h"
#include "scsi_rig.h"

#define BLOCKS  64
#define NO_DATA NULL, 0

/* What the target says; looks counts how often it was asked. */
struct said {
    struct lun_access access;
    unsigned looks;
};

static void say(void *context, struct lun_access *ret)
{
    struct said *said = context;

    said->looks++;
    *ret = said->access;
}

static const enum lun_reservation reservations[] = {LUN_NOT_RESERVED, LUN_RESERVED_FOR_WRITING,
                                                    LUN_RESERVED, LUN_RESERVATION_UNKNOWN};

/* SBC-4 5.4 FORMAT UNIT, 5.30 SANITIZE, 5.53 WRITE SAME(16): every form without Data-Out. */
static const uint8_t without_data[][SCSI_CDB_MAX_BYTES] = {
    {SCSI_FORMAT_UNIT},
    {SCSI_FORMAT_UNIT, 0, 0, 0, 1},                                 /* FFMT */
    {SCSI_SANITIZE, 0x02},                                          /* BLOCK ERASE */
    {SCSI_SANITIZE, 0x82},                                          /* IMMED */
    {SCSI_SANITIZE, 0x22},                                          /* AUSE */
    {SCSI_SANITIZE, 0x1F},                                          /* EXIT FAILURE MODE */
    {SCSI_WRITE_SAME_16, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8}, /* NDOB */
    {SCSI_WRITE_SAME_16, 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8}, /* and UNMAP */
    {SCSI_WRITE_SAME_16, 0x19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8}, /* and ANCHOR */
};

#define WITHOUT_DATA (sizeof(without_data) / sizeof(without_data[0]))

static void open_guarded(struct rig *rig, struct said *said)
{
    *said = (struct said){.access = {LUN_NOT_RESERVED, false}};
    rig_open(rig, 512, BLOCKS, 4096, false);
    lun_set_access(rig->lun, say, said);
    rig_fill(rig, 0, BLOCKS, 0x5A);
}

static void who_is_shut_out_is_refused_and_nobody_else(void **state)
{
    (void)state;
    rig_needs_native("it says what is reserved");
    for (size_t c = 0; c < WITHOUT_DATA; c++) {
        for (size_t i = 0; i < 8; i++) {
            struct rig rig;
            struct said said;
            struct answer answer;

            open_guarded(&rig, &said);
            said.access = (struct lun_access){reservations[i / 2], i % 2};
            answer = rig_command(&rig, without_data[c]);
            assert_int_equal(said.looks, 1);
            if (reservations[i / 2] == LUN_RESERVED_FOR_WRITING ||
                reservations[i / 2] == LUN_RESERVATION_UNKNOWN)
                assert_int_equal(answer.status, SCSI_STATUS_RESERVATION_CONFLICT);
            else if (said.access.read_only_for_some)
                assert_check(answer, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
            else
                assert_good(answer);
            if (answer.status != SCSI_STATUS_GOOD)
                rig_assert_blocks(&rig, 0, BLOCKS, 0x5A);
            rig_close(&rig);
        }
    }
}

/* The target has looked at whatever carries Data-Out, and the holder's writes pay nothing. */
static void what_carries_data_is_served_without_a_look(void **state)
{
    static const uint8_t list[24] = {0, 22, 0, 16};
    static const uint8_t short_list[4] = {0};
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t block[512] = {1};
    struct rig rig;
    struct said said;

    (void)state;
    rig_needs_native("it says what is reserved");
    open_guarded(&rig, &said);
    said.access = (struct lun_access){LUN_RESERVED_FOR_WRITING, true};
    rig_fill(&rig, 0, 8, 0x11);
    rig_assert_blocks(&rig, 0, 8, 0x11);
    rig_unmap(&rig, 0, 8);
    cdb_unmap(cdb, sizeof(list));
    assert_good(rig_command_out(&rig, cdb, list, sizeof(list)));
    memcpy(cdb, (uint8_t[32]){SCSI_WRITE_SAME_16, 0, [13] = 8}, sizeof(cdb));
    assert_good(rig_command_out(&rig, cdb, block, sizeof(block)));
    cdb[1] = 0x08; /* UNMAP */
    assert_good(rig_command_out(&rig, cdb, block, sizeof(block)));
    cdb_synchronize_cache_10(cdb);
    assert_good(rig_command(&rig, cdb));
    memcpy(cdb, (uint8_t[32]){SCSI_START_STOP_UNIT}, sizeof(cdb));
    assert_good(rig_command(&rig, cdb));
    memcpy(cdb, (uint8_t[32]){SCSI_FORMAT_UNIT, 0x10}, sizeof(cdb)); /* FMTDATA */
    assert_good(rig_command_out(&rig, cdb, short_list, sizeof(short_list)));
    assert_int_equal(said.looks, 0);
    rig_close(&rig);
}

static void a_unit_attention_outlives_the_conflict(void **state)
{
    struct rig rig;
    struct said said;
    struct errmsg err;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    (void)state;
    rig_needs_native("it says what is reserved");
    open_guarded(&rig, &said);
    said.access.reservation = LUN_RESERVED_FOR_WRITING;
    assert_int_equal(lun_resize(rig.lun, 2 * BLOCKS * 512, &err), 0);
    assert_int_equal(rig_command(&rig, without_data[0]).status, SCSI_STATUS_RESERVATION_CONFLICT);
    cdb_test_unit_ready(cdb);
    assert_check(rig_command(&rig, cdb), SENSE_UNIT_ATTENTION, ASC_CAPACITY_DATA_CHANGED);
    rig_close(&rig);
}

/* The blocks, and what storage they have. */
struct picture {
    uint8_t bytes[BLOCKS * 512];
    uint8_t status[BLOCKS];
};

static void take_picture(struct rig *rig, struct picture *ret)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES], reply[8 + 16];

    memset(ret, 0, sizeof(*ret));
    rig_read(rig, 0, BLOCKS, ret->bytes);
    for (uint32_t lba = 0; lba < BLOCKS;) {
        uint32_t blocks;

        cdb_get_lba_status_16(cdb, lba, sizeof(reply));
        assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
        for (blocks = get_be32(reply + 16); blocks > 0 && lba < BLOCKS; blocks--)
            ret->status[lba++] = reply[20];
    }
}

struct commands {
    uint8_t bytes[4096];
    size_t count;
};

static void list_commands(struct rig *rig, struct commands *ret)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MAINTENANCE_IN,
                                       SCSI_SA_REPORT_SUPPORTED_OPERATION_CODES};

    put_be32(cdb + 6, sizeof(ret->bytes));
    assert_good(rig_command_in(rig, cdb, ret->bytes, sizeof(ret->bytes)));
    ret->count = get_be32(ret->bytes) / 8;
}

/* One of the commands, its fields at random but mostly small, so that it has a chance. */
static void random_cdb(const struct commands *commands, unsigned *seed, uint8_t *cdb)
{
    const uint8_t *row = commands->bytes + 4 + 8 * ((size_t)rand_r(seed) % commands->count);
    size_t length = get_be16(row + 6);

    memset(cdb, 0, SCSI_CDB_MAX_BYTES);
    cdb[0] = row[0];
    for (size_t i = 1; i < length; i++)
        if (rand_r(seed) % 3 == 0)
            cdb[i] = (uint8_t)(1 << (rand_r(seed) % 8));
    cdb[length - 1] = 0;
    if ((row[5] & 1) && cdb[0] == SCSI_VARIABLE_LENGTH) {
        cdb[1] = 0;
        cdb[7] = (uint8_t)(length - 8);
        put_be16(cdb + 8, get_be16(row + 2));
    } else if (row[5] & 1) {
        cdb[1] = (uint8_t)((cdb[1] & 0xE0) | row[3]);
    } else if (rand_r(seed) % 2) {
        cdb[1] &= 0x1F; /* no protection information */
    }
    if (length >= 10 && rand_r(seed) % 2) /* within the capacity */
        memset(cdb + 2, 0, length == 16 ? 11 : 6);
}

/* Data-Out as a target hands it over that takes the initiator's word for its direction: there is
 * some, whatever the command says. */
static struct answer send(struct rig *rig, const uint8_t *cdb, size_t size, uint8_t fill)
{
    uint8_t bytes[2 * 512];

    memset(bytes, fill, sizeof(bytes));
    return size ? rig_command_out(rig, cdb, bytes, size) : rig_command(rig, cdb);
}

/* Under Write Exclusive, what changes the LUN has come with data that say how: with none of it, or
 * with other data, the command must not come to the same. Whatever the table of commands gains. */
static void nothing_changes_without_data(void **state)
{
    static const size_t sizes[] = {0, 0, 4, 512, 1024};
    struct picture *before = malloc(sizeof(*before)), *after = malloc(2 * sizeof(*after));
    struct commands commands;
    struct rig rig;
    struct said said;
    unsigned seed = 18;

    (void)state;
    rig_needs_native("it says what is reserved");
    open_guarded(&rig, &said);
    list_commands(&rig, &commands);
    take_picture(&rig, before);
    for (unsigned round = 0; round < 8000; round++) {
        uint8_t cdb[SCSI_CDB_MAX_BYTES];
        size_t size = sizes[(size_t)rand_r(&seed) % 5];
        bool changed[2];

        random_cdb(&commands, &seed, cdb);
        said.access.reservation = LUN_RESERVED_FOR_WRITING;
        for (int i = 0; i < 2; i++) {
            send(&rig, cdb, size, i ? 0xA5 : 0xC3);
            rig_take_attentions(&rig);
            take_picture(&rig, &after[i]);
            changed[i] = memcmp(before, &after[i], sizeof(*before)) != 0;
            if (changed[i])
                rig_fill(&rig, 0, BLOCKS, 0x5A);
        }
        if (changed[0] && (size == 0 || memcmp(&after[0], &after[1], sizeof(*before)) == 0))
            fail_msg("round %u: opcode %02Xh, byte 1 %02Xh changes the LUN without its data", round,
                     cdb[0], cdb[1]);
    }
    rig_close(&rig);
    free(after);
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_shut_out_is_refused_and_nobody_else),
        cmocka_unit_test(what_carries_data_is_served_without_a_look),
        cmocka_unit_test(a_unit_attention_outlives_the_conflict),
        cmocka_unit_test(nothing_changes_without_data),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
