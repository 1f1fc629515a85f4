/* SPDX-License-Identifier: Apache-2.0 */

/* READ, WRITE, MAP and FLUSH of a logical unit: the exact commands, and what comes of every way in
 * which one can end. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "byteorder.h"
#include "cleanup.h"
#include "endpoint_kinds.h"
#include "endpoint_scsi.h"
#include "fake_unit.h"
#include "lba_status.h"
#include "scsi_defs.h"

struct fixture {
    struct fake_unit *unit;
    struct endpoint *endpoint;
    char data[64 * 512];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct errmsg err;

    assert_non_null(fixture);
    fixture->unit = fake_unit_new();
    if (endpoint_scsi_open("lun-a", "iscsi", &fixture->unit->transport, ENDPOINT_WRITABLE,
                           &fixture->endpoint, &err) < 0)
        fail_msg("%s", err.text);
    fixture->unit->log[0] = '\0';
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    endpoint_close(fixture->endpoint);
    fake_unit_free(fixture->unit);
    free(fixture);
    return 0;
}

/* Runs READ or WRITE of up to 64 blocks; request is left for a look. */
static struct endpoint_request request;

static int transfer(struct fixture *fixture, enum endpoint_op op, uint64_t lba, uint64_t blocks)
{
    struct iovec iov[2] = {{fixture->data, 100}, {fixture->data + 100, blocks * 512 - 100}};

    request = (struct endpoint_request){
        .op = op, .lba = lba, .blocks = blocks, .iov = iov, .iov_count = 2};
    return endpoint_run(fixture->endpoint, &request);
}

static int flush(struct fixture *fixture)
{
    request = (struct endpoint_request){.op = ENDPOINT_FLUSH};
    return endpoint_run(fixture->endpoint, &request);
}

static int map(struct fixture *fixture, uint64_t lba, uint64_t blocks, struct extent_list *list)
{
    request =
        (struct endpoint_request){.op = ENDPOINT_MAP, .lba = lba, .blocks = blocks, .map = list};
    return endpoint_run(fixture->endpoint, &request);
}

static void says(const char *words)
{
    if (!strstr(request.error.text, words) || !strstr(request.error.text, "lun-a"))
        fail_msg("'%s' does not say '%s' and the name", request.error.text, words);
}

static void fault(struct fixture *fixture, const char *word, uint8_t key, uint16_t asc_ascq)
{
    fake_unit_fault(fixture->unit, (struct fake_fault){
                                       .word = word, .times = 1, .key = key, .asc_ascq = asc_ascq});
}

static void reads_and_writes_are_one_command_each(void **state)
{
    struct fixture *fixture = *state;

    memset(fixture->data, 0x77, sizeof(fixture->data));
    assert_int_equal(transfer(fixture, ENDPOINT_WRITE, 16, 64), 0);
    assert_true(fake_unit_is(fixture->unit, 16, 64, 0x77));
    memset(fixture->data, 0, sizeof(fixture->data));
    assert_int_equal(transfer(fixture, ENDPOINT_READ, 20, 8), 0);
    assert_int_equal(fixture->data[0], 0x77);
    assert_int_equal(fixture->data[8 * 512 - 1], 0x77);
    assert_int_equal(fixture->unit->last_timeout_ms, 0);
    assert_int_equal(flush(fixture), 0);
    assert_int_equal(fixture->unit->last_timeout_ms, SCSI_FLUSH_TIMEOUT_MS);
    assert_string_equal(fixture->unit->log, "W 16+64 R 20+8 SC16");
    assert_int_equal(fixture->endpoint->counters.reads, 1);
    assert_int_equal(fixture->endpoint->counters.read_blocks, 8);
    assert_int_equal(fixture->endpoint->counters.writes, 1);
    assert_int_equal(fixture->endpoint->counters.written_blocks, 64);
    assert_int_equal(fixture->endpoint->counters.flushes, 1);
}

static void flush_by_10_is_remembered(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->unknown = "SC16";
    assert_int_equal(flush(fixture), 0);
    assert_int_equal(flush(fixture), 0);
    assert_string_equal(fixture->unit->log, "SC16 SC10 SC10");
}

static void a_unit_that_cannot_flush_is_told(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->unknown = "SC16 SC10";
    assert_int_equal(flush(fixture), -EOPNOTSUPP);
    says("SYNCHRONIZE CACHE(10)");
}

static void errors_have_their_names(void **state)
{
    static const struct {
        uint8_t key;
        uint16_t asc_ascq;
        int error;
        const char *words;
    } cases[] = {
        {SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR, -EIO, "WRITE(16) of 8 blocks at LBA 32"},
        {SENSE_HARDWARE_ERROR, ASC_INTERNAL_TARGET_FAILURE, -EIO, "4/44/00"},
        {SENSE_DATA_PROTECT, ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT, -ENOSPC, "7/27/07"},
        {SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED, -EROFS, "7/27/00"},
        {SENSE_NOT_READY, 0x0403, -EIO, "2/04/03"},
        {SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE, -EIO, "5/21/00"},
        {SENSE_ILLEGAL_REQUEST, ASC_LUN_NOT_SUPPORTED, -ENODEV, "5/25/00"},
        {SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPERATION_CODE, -EOPNOTSUPP, "5/20/00"},
        {SENSE_MISCOMPARE, ASC_MISCOMPARE_DURING_VERIFY, -EIO, "E/1D/00"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fault(fixture, "W", cases[i].key, cases[i].asc_ascq);
        assert_int_equal(transfer(fixture, ENDPOINT_WRITE, 32, 8), cases[i].error);
        says(cases[i].words);
        /* The unit goes on. */
        assert_int_equal(transfer(fixture, ENDPOINT_WRITE, 32, 8), 0);
    }
}

static void a_reservation_of_another_is_told_and_not_tried_again(void **state)
{
    static const enum endpoint_op ops[] = {ENDPOINT_WRITE, ENDPOINT_READ};
    struct fixture *fixture = *state;
    const struct fake_fault conflict = {.word = "W",
                                        .times = 100,
                                        .status = SCSI_STATUS_RESERVATION_CONFLICT};
    struct fake_fault of_reads = conflict, of_flushes = conflict;

    of_reads.word = "R";
    of_flushes.word = "SC16";
    fake_unit_fault(fixture->unit, conflict);
    fake_unit_fault(fixture->unit, of_reads);
    fake_unit_fault(fixture->unit, of_flushes);
    for (size_t i = 0; i < 2; i++) {
        fixture->unit->log[0] = '\0';
        assert_int_equal(transfer(fixture, ops[i], 32, 8), -EBADE);
        says("another initiator has reserved");
        says(ops[i] == ENDPOINT_READ ? "READ(16) of 8 blocks at LBA 32"
                                     : "WRITE(16) of 8 blocks at LBA 32");
        assert_string_equal(fixture->unit->log, ops[i] == ENDPOINT_READ ? "R 32+8" : "W 32+8");
    }
    fixture->unit->log[0] = '\0';
    assert_int_equal(flush(fixture), -EBADE);
    assert_string_equal(fixture->unit->log, "SC16");
}

static void the_lba_of_an_error_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct fake_fault bad = {.word = "R",
                             .times = 1,
                             .key = SENSE_MEDIUM_ERROR,
                             .asc_ascq = ASC_UNRECOVERED_READ_ERROR,
                             .information_valid = true,
                             .information = 37};

    fake_unit_fault(fixture->unit, bad);
    assert_int_equal(transfer(fixture, ENDPOINT_READ, 32, 8), -EIO);
    assert_int_equal(request.error_lba, 37);
    says("READ(16) of 8 blocks at LBA 32");
    says(", at block 37");
    /* The first and the last block of the request; and those beside it, which are nonsense. */
    for (bad.information = 31; bad.information <= 40; bad.information++) {
        bool within = bad.information >= 32 && bad.information < 40;

        fake_unit_fault(fixture->unit, bad);
        assert_int_equal(transfer(fixture, ENDPOINT_READ, 32, 8), -EIO);
        assert_int_equal(request.error_lba, within ? bad.information : 32);
        assert_true((strstr(request.error.text, ", at block ") != NULL) == within);
    }
    bad.information = 5;
    fake_unit_fault(fixture->unit, bad);
    assert_int_equal(transfer(fixture, ENDPOINT_READ, 32, 8), -EIO);
    assert_int_equal(request.error_lba, 32);
    assert_true(request.unreadable);
    /* Something else that keeps the target from reading. */
    bad.key = SENSE_HARDWARE_ERROR;
    fake_unit_fault(fixture->unit, bad);
    assert_int_equal(transfer(fixture, ENDPOINT_READ, 32, 8), -EIO);
    assert_false(request.unreadable);
}

static void recovered_is_good(void **state)
{
    struct fixture *fixture = *state;

    fake_unit_fault(fixture->unit, (struct fake_fault){.word = "SC16",
                                                       .times = 1,
                                                       .key = SENSE_RECOVERED_ERROR,
                                                       .asc_ascq = 0x0C01});
    assert_int_equal(flush(fixture), 0);
    assert_string_equal(fixture->unit->log, "SC16");
}

static void a_deferred_error_is_no_success(void **state)
{
    struct fixture *fixture = *state;

    fake_unit_fault(fixture->unit, (struct fake_fault){.word = "SC16",
                                                       .times = 1,
                                                       .key = SENSE_RECOVERED_ERROR,
                                                       .asc_ascq = ASC_WRITE_ERROR,
                                                       .deferred = true});
    assert_int_equal(flush(fixture), -EREMOTEIO);
    says("an earlier write");
}

static void less_data_is_no_success(void **state)
{
    struct fixture *fixture = *state;
    struct fake_fault shorter = {.word = "R", .times = 1, .short_by = 1};

    fake_unit_fault(fixture->unit, shorter);
    assert_int_equal(transfer(fixture, ENDPOINT_READ, 0, 8), -EIO);
    says("less data");
    shorter.word = "W";
    fake_unit_fault(fixture->unit, shorter);
    assert_int_equal(transfer(fixture, ENDPOINT_WRITE, 0, 8), -EIO);
}

/* A disk had to try twice, and has the data all the same. */
static void what_was_recovered_is_a_success(void **state)
{
    struct fixture *fixture = *state;
    struct fake_fault recovered = {.word = "R",
                                   .times = 1,
                                   .key = SENSE_RECOVERED_ERROR,
                                   .asc_ascq = 0x1701,
                                   .carried_out = true};

    fake_unit_fill(fixture->unit, 0, 8, 0x33);
    fake_unit_fault(fixture->unit, recovered);
    assert_int_equal(transfer(fixture, ENDPOINT_READ, 0, 8), 0);
    assert_int_equal(fixture->data[8 * 512 - 1], 0x33);
    recovered.word = "W";
    fake_unit_fault(fixture->unit, recovered);
    assert_int_equal(transfer(fixture, ENDPOINT_WRITE, 8, 8), 0);
    assert_true(fake_unit_is(fixture->unit, 8, 8, 0x33));
    recovered.carried_out = false;
    fake_unit_fault(fixture->unit, recovered);
    assert_int_equal(transfer(fixture, ENDPOINT_WRITE, 16, 8), -EIO);
}

static void sense_data_that_say_nothing_are_no_success(void **state)
{
    struct fixture *fixture = *state;

    fake_unit_fault(fixture->unit, (struct fake_fault){.word = "R",
                                                       .times = 1,
                                                       .key = SENSE_NO_SENSE,
                                                       .asc_ascq = 0x0001,
                                                       .carried_out = true});
    assert_int_equal(transfer(fixture, ENDPOINT_READ, 0, 8), -EIO);
}

static void busy_is_tried_again(void **state)
{
    static const uint8_t statuses[] = {SCSI_STATUS_BUSY, SCSI_STATUS_TASK_SET_FULL,
                                       SCSI_STATUS_TASK_ABORTED};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(statuses); i++)
        fake_unit_fault(fixture->unit,
                        (struct fake_fault){.word = "W", .times = 1, .status = statuses[i]});
    fault(fixture, "W", SENSE_ABORTED_COMMAND, 0x4700);
    memset(fixture->data, 1, sizeof(fixture->data));
    assert_int_equal(transfer(fixture, ENDPOINT_WRITE, 0, 8), 0);
    assert_string_equal(fixture->unit->log, "W 0+8 W 0+8 W 0+8 W 0+8 W 0+8");
    assert_int_equal(fixture->endpoint->counters.writes, 5);
    assert_int_equal(fixture->endpoint->counters.written_blocks, 8);
}

static void busy_without_end_is_an_error(void **state)
{
    struct fixture *fixture = *state;

    ((struct scsi_endpoint *)fixture->endpoint)->retry_for_ms = 50;
    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "W", .times = 10000, .status = SCSI_STATUS_BUSY});
    assert_int_equal(transfer(fixture, ENDPOINT_WRITE, 0, 8), -EIO);
    says("busy");
    /* Backing off: 10, 20, 40 ms. */
    assert_in_range(fixture->endpoint->counters.writes, 3, 5);
}

static void note_done(struct endpoint_request *done)
{
    *(int *)done->opaque += 1;
}

static void one_that_waits_holds_nobody_up(void **state)
{
    struct fixture *fixture = *state;
    struct iovec iov[2] = {{fixture->data, 512}, {fixture->data + 512, 512}};
    struct endpoint_request requests[2];
    int done[2] = {0};

    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "R", .times = 1, .status = SCSI_STATUS_BUSY});
    for (int i = 0; i < 2; i++) {
        requests[i] = (struct endpoint_request){.op = ENDPOINT_READ,
                                                .lba = (uint64_t)i,
                                                .blocks = 1,
                                                .iov = &iov[i],
                                                .iov_count = 1,
                                                .done = note_done,
                                                .opaque = &done[i]};
        assert_int_equal(endpoint_submit(fixture->endpoint, &requests[i]), 0);
    }
    assert_int_equal(endpoint_wait(&fixture->endpoint, 1, -1), 0);
    assert_int_equal(done[0], 0);
    assert_int_equal(done[1], 1);
    while (!done[0])
        assert_int_equal(endpoint_wait(&fixture->endpoint, 1, -1), 0);
    assert_string_equal(fixture->unit->log, "R 0+1 R 1+1 R 0+1");
}

/* The map. */

static void the_map_is_paged_and_clipped(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(extent_list_free) struct extent_list list = {0};

    fake_unit_fill(fixture->unit, 8, 8, 1);
    fake_unit_fill(fixture->unit, 100, 900, 1);
    assert_int_equal(map(fixture, 4, 200, &list), 0);
    assert_string_equal(fixture->unit->log, "MAP 4:65528");
    assert_int_equal(list.count, 4);
    assert_int_equal(list.items[0].start, 4);
    assert_int_equal(list.items[0].length, 4);
    assert_int_equal(list.items[0].status, EXTENT_DEALLOCATED);
    assert_int_equal(list.items[1].status, EXTENT_MAPPED);
    assert_int_equal(list.items[3].start, 100);
    assert_int_equal(list.items[3].length, 104);
    assert_false(request.unsound);
}

static size_t one_descriptor(uint8_t *reply, uint64_t lba, uint32_t blocks)
{
    lba_status_encode_header(reply, 1, LBA_STATUS_NO_INDICATION, false);
    lba_status_encode_descriptor(reply + 8, lba, blocks, EXTENT_DEALLOCATED);
    return 24;
}

static size_t lie_start(struct fake_unit *unit, uint64_t lba, uint8_t *reply, size_t size)
{
    (void)unit;
    (void)size;
    return one_descriptor(reply, lba + 1, 8);
}

static size_t lie_no_blocks(struct fake_unit *unit, uint64_t lba, uint8_t *reply, size_t size)
{
    (void)unit;
    (void)size;
    return one_descriptor(reply, lba, 0);
}

static size_t lie_beyond(struct fake_unit *unit, uint64_t lba, uint8_t *reply, size_t size)
{
    (void)size;
    return one_descriptor(reply, lba, (uint32_t)(unit->blocks - lba) + 1);
}

static size_t lie_short(struct fake_unit *unit, uint64_t lba, uint8_t *reply, size_t size)
{
    (void)unit;
    (void)size;
    return one_descriptor(reply, lba, 8) - 1;
}

static size_t lie_length(struct fake_unit *unit, uint64_t lba, uint8_t *reply, size_t size)
{
    (void)unit;
    (void)size;
    one_descriptor(reply, lba, 8);
    put_be32(reply, 4);
    return 24;
}

static void what_a_liar_says_counts_as_mapped(void **state)
{
    size_t (*const lies[])(struct fake_unit *, uint64_t, uint8_t *,
                           size_t) = {lie_start, lie_no_blocks, lie_beyond, lie_short, lie_length};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct extent_list list = {0};

        fixture->unit->lie = lies[i];
        assert_int_equal(map(fixture, 16, 100, &list), 0);
        assert_true(request.unsound);
        says("LBA 16 is answered with");
        assert_int_equal(list.count, 1);
        assert_int_equal(list.items[0].start, 16);
        assert_int_equal(list.items[0].length, 100);
        assert_int_equal(list.items[0].status, EXTENT_MAPPED);
        extent_list_free(&list);
    }
}

static size_t lie_later(struct fake_unit *unit, uint64_t lba, uint8_t *reply, size_t size)
{
    (void)unit;
    (void)size;
    one_descriptor(reply, lba, 8);
    lba_status_encode_header(reply, 2, LBA_STATUS_NO_INDICATION, false);
    lba_status_encode_descriptor(reply + 24, lba + 4, 8, EXTENT_DEALLOCATED);
    return 40;
}

static void what_is_sound_before_a_lie_is_used(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(extent_list_free) struct extent_list list = {0};

    fixture->unit->lie = lie_later;
    assert_int_equal(map(fixture, 16, 100, &list), 0);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].length, 8);
    assert_int_equal(list.items[0].status, EXTENT_DEALLOCATED);
    assert_true(request.unsound);
}

static void a_map_refused_later_counts_as_mapped(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(extent_list_free) struct extent_list list = {0};

    fault(fixture, "MAP", SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    assert_int_equal(map(fixture, 16, 100, &list), 0);
    assert_true(request.unsound);
    says("LBA 16 is refused");
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].length, 100);
    assert_int_equal(list.items[0].status, EXTENT_MAPPED);
    fault(fixture, "MAP", SENSE_MEDIUM_ERROR, 0x1100);
    assert_int_equal(map(fixture, 116, 100, &list), -EIO);
    says("GET LBA STATUS");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_and_writes_are_one_command_each),
        TEST(flush_by_10_is_remembered),
        TEST(a_unit_that_cannot_flush_is_told),
        TEST(errors_have_their_names),
        TEST(a_reservation_of_another_is_told_and_not_tried_again),
        TEST(the_lba_of_an_error_is_told),
        TEST(recovered_is_good),
        TEST(a_deferred_error_is_no_success),
        TEST(less_data_is_no_success),
        TEST(what_was_recovered_is_a_success),
        TEST(sense_data_that_say_nothing_are_no_success),
        TEST(busy_is_tried_again),
        TEST(busy_without_end_is_an_error),
        TEST(one_that_waits_holds_nobody_up),
        TEST(the_map_is_paged_and_clipped),
        TEST(what_a_liar_says_counts_as_mapped),
        TEST(what_is_sound_before_a_lie_is_used),
        TEST(a_map_refused_later_counts_as_mapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
