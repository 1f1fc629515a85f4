/* SPDX-License-Identifier: Apache-2.0 */

/* The length that the initiator told its transport beside the one that the CDB stands for: where
 * they differ nothing may be moved that only one of them covers, and the initiator must be able to
 * tell. libiscsi's suite iSCSIResiduals has such commands. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "scsi_rig.h"

#define BEFORE 0x61
#define AFTER  0x62
#define BLOCKS 3

/* SAM-5 5.3.3's answer: 5/0E/03. */
#define OTHER_LENGTH ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT

/* Every command whose CDB says how many bytes there are: blocks at LBA 0. */
static const struct {
    const char *name;
    uint8_t opcode;
    uint8_t byte_1;   /* BYTCHK */
    uint8_t count_at; /* the last byte of the number of blocks */
    uint8_t factor;   /* of the blocks; 0: one block, whatever the number */
    uint16_t asc_ascq;
} data_out[] = {
    {"WRITE(6)", SCSI_WRITE_6, 0, 4, 1, OTHER_LENGTH},
    {"WRITE(10)", SCSI_WRITE_10, 0, 8, 1, OTHER_LENGTH},
    {"WRITE(12)", SCSI_WRITE_12, 0, 9, 1, OTHER_LENGTH},
    {"WRITE(16)", SCSI_WRITE_16, 0, 13, 1, OTHER_LENGTH},
    {"WRITE AND VERIFY(10)", SCSI_WRITE_AND_VERIFY_10, 0, 8, 1, OTHER_LENGTH},
    {"WRITE AND VERIFY(12)", SCSI_WRITE_AND_VERIFY_12, 2, 9, 1, OTHER_LENGTH},
    {"WRITE AND VERIFY(16)", SCSI_WRITE_AND_VERIFY_16, 0, 13, 1, OTHER_LENGTH},
    {"VERIFY(10)", SCSI_VERIFY_10, 2, 8, 1, OTHER_LENGTH},
    {"VERIFY(12)", SCSI_VERIFY_12, 2, 9, 1, OTHER_LENGTH},
    {"VERIFY(16)", SCSI_VERIFY_16, 2, 13, 1, OTHER_LENGTH},
    {"VERIFY(16) of one block", SCSI_VERIFY_16, 6, 13, 0, OTHER_LENGTH},
    {"ORWRITE(16)", SCSI_ORWRITE_16, 0, 13, 1, OTHER_LENGTH},
    /* As libiscsi's suite wants it (CompareAndWrite.InvalidDataOutSize). */
    {"COMPARE AND WRITE", SCSI_COMPARE_AND_WRITE, 0, 13, 2, ASC_INVALID_FIELD_IN_CDB},
    {"WRITE SAME(10)", SCSI_WRITE_SAME_10, 0, 8, 0, OTHER_LENGTH},
    {"WRITE SAME(16)", SCSI_WRITE_SAME_16, 0, 13, 0, OTHER_LENGTH},
};

static void data_out_of_another_length_changes_nothing(void **state)
{
    struct rig *rig = *state;
    size_t room = (2 * BLOCKS + 2) * (size_t)rig->block_size;
    uint8_t *bytes = malloc(room);

    assert_non_null(bytes);
    memset(bytes, AFTER, room);
    rig_fill(rig, 0, 4 * BLOCKS, BEFORE);
    for (size_t i = 0; i < sizeof(data_out) / sizeof(data_out[0]); i++) {
        size_t right =
            (data_out[i].factor ? BLOCKS * data_out[i].factor : 1) * (size_t)rig->block_size;
        const size_t wrong[] = {0,         200,       right - rig->block_size,
                                right - 1, right + 1, right + rig->block_size};
        uint8_t cdb[SCSI_CDB_MAX_BYTES] = {data_out[i].opcode, data_out[i].byte_1};

        cdb[data_out[i].count_at] = BLOCKS;
        for (size_t j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++) {
            struct answer answer = rig_command_out(rig, cdb, bytes, wrong[j]);

            if (answer.asc_ascq != data_out[i].asc_ascq)
                print_error("%s with %zu bytes\n", data_out[i].name, wrong[j]);
            assert_check(answer, SENSE_ILLEGAL_REQUEST, data_out[i].asc_ascq);
        }
    }
    rig_assert_blocks(rig, 0, 4 * BLOCKS, BEFORE);
    free(bytes);
}

/* Commands with a parameter list and its length in the CDB. */
static const struct {
    const char *name;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t length_at; /* its last byte */
} lists[] = {
    {"UNMAP", {SCSI_UNMAP}, 8},
    {"MODE SELECT(6)", {SCSI_MODE_SELECT_6, 0x10}, 4},
    {"MODE SELECT(10)", {SCSI_MODE_SELECT_10, 0x10}, 8},
    {"EXTENDED COPY", {SCSI_THIRD_PARTY_COPY_OUT, 0}, 13},
    {"POPULATE TOKEN", {SCSI_THIRD_PARTY_COPY_OUT, SCSI_SA_POPULATE_TOKEN}, 13},
    {"WRITE USING TOKEN", {SCSI_THIRD_PARTY_COPY_OUT, SCSI_SA_WRITE_USING_TOKEN}, 13},
    {"SANITIZE", {SCSI_SANITIZE, SCSI_SA_SANITIZE_OVERWRITE}, 8},
};

static void a_parameter_list_that_is_cut_on_the_way_is_not_looked_at(void **state)
{
    struct rig *rig = *state;
    uint8_t bytes[64] = {0};

    rig_fill(rig, 0, BLOCKS, BEFORE);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (uint8_t length = 16; length <= sizeof(bytes); length += 16) {
            uint8_t cdb[SCSI_CDB_MAX_BYTES];
            const size_t cut[] = {0, 4, 8, length - 1u};

            memcpy(cdb, lists[i].cdb, sizeof(cdb));
            cdb[lists[i].length_at] = length;
            for (size_t j = 0; j < sizeof(cut) / sizeof(cut[0]); j++) {
                struct answer answer = rig_command_out(rig, cdb, bytes, cut[j]);

                if (answer.asc_ascq != ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT)
                    print_error("%s of %u bytes, %zu sent\n", lists[i].name, length, cut[j]);
                assert_check(answer, SENSE_ILLEGAL_REQUEST,
                             ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
            }
        }
    }
    rig_assert_blocks(rig, 0, BLOCKS, BEFORE);
}

static const struct {
    uint8_t opcode;
    uint8_t count_at;
} reads[] = {{SCSI_READ_6, 4}, {SCSI_READ_10, 8}, {SCSI_READ_12, 9}, {SCSI_READ_16, 13}};

static void a_read_into_less_than_its_blocks_is_refused(void **state)
{
    struct rig *rig = *state;
    size_t right = BLOCKS * (size_t)rig->block_size;
    const size_t wrong[] = {0, 200, right - rig->block_size, right - 1};
    uint8_t *bytes = malloc(right);

    assert_non_null(bytes);
    rig_fill(rig, 0, BLOCKS, BEFORE);
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        uint8_t cdb[SCSI_CDB_MAX_BYTES] = {reads[i].opcode};

        cdb[reads[i].count_at] = BLOCKS;
        for (size_t j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++)
            assert_check(rig_command_in(rig, cdb, bytes, wrong[j]), SENSE_ILLEGAL_REQUEST,
                         ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
    }
    free(bytes);
}

static void a_read_into_more_than_its_blocks_tells_how_many_came(void **state)
{
    struct rig *rig = *state;
    size_t right = BLOCKS * (size_t)rig->block_size;
    const size_t more[] = {right + 1, right + 200, 2 * right, 10000 + right};
    uint8_t *bytes = malloc(10000 + 2 * right);

    assert_non_null(bytes);
    rig_fill(rig, 0, BLOCKS, BEFORE);
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        uint8_t cdb[SCSI_CDB_MAX_BYTES] = {reads[i].opcode};

        cdb[reads[i].count_at] = BLOCKS;
        for (size_t j = 0; j < sizeof(more) / sizeof(more[0]); j++) {
            struct answer answer = rig_command_in(rig, cdb, bytes, more[j]);

            assert_good(answer);
            assert_int_equal(answer.length, right); /* and the residual the rest */
            for (size_t at = 0; at < right; at++)
                assert_int_equal(bytes[at], BEFORE);
        }
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(data_out_of_another_length_changes_nothing),
        BOTH(a_parameter_list_that_is_cut_on_the_way_is_not_looked_at),
        BOTH(a_read_into_less_than_its_blocks_is_refused),
        BOTH(a_read_into_more_than_its_blocks_tells_how_many_came),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
