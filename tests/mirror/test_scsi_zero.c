/* SPDX-License-Identifier: Apache-2.0 */

/* ENDPOINT_ZERO: the exact commands of each way to do it, and how one makes place for the next. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "endpoint_kinds.h"
#include "endpoint_scsi.h"
#include "fake_unit.h"
#include "scsi_defs.h"

struct fixture {
    struct fake_unit *unit;
    struct endpoint *endpoint;
    struct endpoint_request request;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    fixture->unit = fake_unit_new();
    fake_unit_fill(fixture->unit, 0, fixture->unit->blocks, 0x5A);
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

/* The unit is as the test wants it now. */
static void open_unit(struct fixture *fixture)
{
    struct errmsg err;

    if (endpoint_scsi_open("lun-a", "iscsi", &fixture->unit->transport, ENDPOINT_WRITABLE,
                           &fixture->endpoint, &err) < 0)
        fail_msg("%s", err.text);
    fixture->unit->log[0] = '\0';
}

static int zero(struct fixture *fixture, uint64_t lba, uint64_t blocks)
{
    fixture->unit->log[0] = '\0';
    fixture->request = (struct endpoint_request){.op = ENDPOINT_ZERO, .lba = lba, .blocks = blocks};
    return endpoint_run(fixture->endpoint, &fixture->request);
}

/* Exactly this range is zero now, done by these commands. */
static void zeroed(struct fixture *fixture, uint64_t lba, uint64_t blocks, bool deallocated,
                   const char *log)
{
    struct fake_unit *unit = fixture->unit;

    fake_unit_fill(unit, 0, unit->blocks, 0x5A);
    assert_int_equal(zero(fixture, lba, blocks), 0);
    assert_string_equal(unit->log, log);
    assert_true(fixture->request.deallocated == deallocated);
    assert_true(fake_unit_is(unit, lba, blocks, 0));
    assert_true(fake_unit_is(unit, 0, lba, 0x5A));
    assert_true(fake_unit_is(unit, lba + blocks, unit->blocks - lba - blocks, 0x5A));
    if (deallocated)
        for (uint64_t i = lba; i < lba + blocks; i++)
            assert_false(unit->mapped[i]);
}

static void write_same_with_unmap_is_the_first_choice(void **state)
{
    struct fixture *fixture = *state;

    open_unit(fixture);
    zeroed(fixture, 100, 300, true, "WS 100+300 u");
    assert_int_equal(fixture->unit->last_timeout_ms, SCSI_ZERO_TIMEOUT_MS);
    assert_int_equal(fixture->endpoint->counters.zeros, 1);
    assert_int_equal(fixture->endpoint->counters.zeroed_blocks, 300);
    assert_int_equal(fixture->endpoint->counters.writes, 0);
}

static void what_is_no_whole_unit_is_not_called_deallocated(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->granularity = 8;
    open_unit(fixture);
    zeroed(fixture, 4, 16, false, "WS 4+16 u");
    zeroed(fixture, 8, 12, false, "WS 8+12 u");
    zeroed(fixture, 8, 16, true, "WS 8+16 u");
}

static void the_end_of_the_lun_ends_a_unit(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->blocks = 1001;
    fake_unit_format(fixture->unit);
    fixture->unit->granularity = 8;
    open_unit(fixture);
    zeroed(fixture, 992, 9, true, "WS 992+9 u");
}

static void without_lbprz_nothing_is_left_to_unmapping(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbprz = false;
    open_unit(fixture);
    assert_false(fixture->endpoint->info.can_unmap);
    zeroed(fixture, 0, 64, false, "WS 0+64");
}

static void unmap_is_checked_by_the_map(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    open_unit(fixture);
    assert_true(fixture->endpoint->info.can_unmap);
    zeroed(fixture, 10, 64, true, "UN 10+64 MAP 10:1032");
    assert_int_equal(fixture->endpoint->counters.zeros, 1);
    assert_int_equal(fixture->endpoint->counters.maps, 1);
}

static void what_unmap_has_left_is_written(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    fixture->unit->unmap_unit = 16; /* which it does not tell */
    open_unit(fixture);
    zeroed(fixture, 10, 64, false, "UN 10+64 MAP 10:1032 W 10+6 MAP 16:1032 W 64+10");
    assert_false(fixture->unit->mapped[16] || fixture->unit->mapped[63]);
    assert_int_equal(fixture->endpoint->counters.writes, 2);
}

static void ends_that_are_no_whole_unit_are_written(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    fixture->unit->granularity = fixture->unit->unmap_unit = 8;
    open_unit(fixture);
    zeroed(fixture, 3, 20, false, "W 3+5 UN 8+8 MAP 8:1032 W 16+7");
    zeroed(fixture, 3, 4, false, "W 3+4");
    zeroed(fixture, 5, 6, false, "W 5+3 W 8+3");
    zeroed(fixture, 16, 8, true, "UN 16+8 MAP 16:1032");
    zeroed(fixture, 1000, 24, true, "UN 1000+24 MAP 1000:1032");
}

static void units_may_begin_anywhere(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    fixture->unit->granularity = 8;
    fixture->unit->alignment = 5;
    open_unit(fixture);
    zeroed(fixture, 0, 32, false, "W 0+5 UN 5+24 MAP 5:1032 W 29+3");
    zeroed(fixture, 1, 3, false, "W 1+3");
    zeroed(fixture, 13, 8, true, "UN 13+8 MAP 13:1032");
}

static void unmap_keeps_to_its_limit(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    fixture->unit->granularity = fixture->unit->unmap_unit = 8;
    fixture->unit->max_unmap = 20;
    open_unit(fixture);
    assert_int_equal(fixture->endpoint->info.max_zero_blocks, 20);
    zeroed(fixture, 8, 20, false, "UN 8+16 MAP 8:1032 W 24+4");
}

static void a_map_that_lies_after_unmap_leads_to_writes(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    open_unit(fixture);
    fake_unit_fault(fixture->unit, (struct fake_fault){.word = "MAP",
                                                       .times = 1,
                                                       .key = SENSE_ILLEGAL_REQUEST,
                                                       .asc_ascq = ASC_INVALID_FIELD_IN_CDB});
    zeroed(fixture, 20, 8, false, "UN 20+8 MAP 20:1032 W 20+8"); /* and not a block more */
}

static void unmap_without_a_map_is_not_trusted(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    fixture->unit->unknown = "MAP";
    open_unit(fixture);
    assert_false(fixture->endpoint->info.can_unmap);
    zeroed(fixture, 40, 8, false, "WS 40+8");
}

static void each_refusal_leads_to_the_next_way(void **state)
{
    struct fixture *fixture = *state;

    open_unit(fixture);
    fixture->unit->lbpws = false; /* though it said so */
    zeroed(fixture, 40, 8, true, "WS 40+8 u UN 40+8 MAP 40:1032");
    zeroed(fixture, 40, 8, true, "UN 40+8 MAP 40:1032");
    fixture->unit->lbpu = false;
    zeroed(fixture, 40, 8, false, "UN 40+8 WS 40+8");
    assert_false(fixture->endpoint->info.can_unmap);
    zeroed(fixture, 40, 8, false, "WS 40+8");
    fixture->unit->unknown = "WS";
    zeroed(fixture, 40, 8, false, "WS 40+8 W 40+8");
    zeroed(fixture, 40, 8, false, "W 40+8");
}

static void a_look_after_unmap_that_fails_is_no_success(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    open_unit(fixture);
    fake_unit_fault(fixture->unit, (struct fake_fault){.word = "MAP",
                                                       .times = 1,
                                                       .key = SENSE_MEDIUM_ERROR,
                                                       .asc_ascq = ASC_UNRECOVERED_READ_ERROR});
    assert_int_equal(zero(fixture, 0, 8), -EIO);
    assert_false(fixture->request.deallocated);
    assert_non_null(strstr(fixture->request.error.text, "GET LBA STATUS"));
}

/* What one request may be about was told of WRITE SAME; UNMAP's limit is another. */
static void after_a_refusal_a_range_is_unmapped_as_far_as_one_command_may(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->granularity = fixture->unit->unmap_unit = 4;
    fixture->unit->max_unmap = 10;
    open_unit(fixture);
    fixture->unit->lbpws = false; /* though it said so */
    zeroed(fixture, 0, 20, true,
           "WS 0+20 u UN 0+8 MAP 0:1032 UN 8+8 MAP 8:1032 UN 16+4 MAP 16:1032");
}

static void without_unmap_write_same_comes_next(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpu = false;
    open_unit(fixture);
    fixture->unit->lbpws = false;
    zeroed(fixture, 0, 8, false, "WS 0+8 u WS 0+8");
    assert_false(fixture->endpoint->info.can_unmap);
}

/* 32 MiB: they are really written. */
static void after_a_refusal_less_is_written_at_a_time(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->blocks = 70000;
    fake_unit_format(fixture->unit);
    fixture->unit->lbpu = false;
    open_unit(fixture);
    fixture->unit->lbpws = false;
    zeroed(fixture, 0, 70000, false, "WS 0+70000 u WS 0+65536 WS 65536+4464");
}

static void unmap_needs_its_bit_the_promise_and_the_map(void **state)
{
    struct fixture *fixture = *state;

    for (int missing = 0; missing < 4; missing++) {
        if (missing > 0)
            fixture->unit = fake_unit_new();
        fixture->unit->lbpws = false;
        fixture->unit->lbpu = missing != 1;
        fixture->unit->lbprz = missing != 2;
        fixture->unit->unknown = missing == 3 ? "MAP" : NULL;
        open_unit(fixture);
        zeroed(fixture, 0, 8, missing == 0, missing == 0 ? "UN 0+8 MAP 0:1032" : "WS 0+8");
        if (missing == 3)
            break;
        endpoint_close(fixture->endpoint);
        fake_unit_free(fixture->unit);
    }
}

static void an_unmap_list_refused_leads_to_the_next_way(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    open_unit(fixture);
    fixture->unit->max_unmap = 4; /* less than it said */
    zeroed(fixture, 0, 8, false, "UN 0+8 WS 0+8");
}

struct several {
    struct endpoint_request requests[200];
    int left;
};

static void one_of_several_done(struct endpoint_request *request)
{
    ((struct several *)request->opaque)->left--;
}

/* Ranges of 8 blocks, 16 apart. */
static void submit_several(struct fixture *fixture, struct several *several, int count)
{
    fake_unit_fill(fixture->unit, 0, fixture->unit->blocks, 0x5A);
    fixture->unit->log[0] = '\0';
    several->left = count;
    for (int i = 0; i < count; i++) {
        several->requests[i] = (struct endpoint_request){.op = ENDPOINT_ZERO,
                                                         .lba = 16 * (uint64_t)i,
                                                         .blocks = 8,
                                                         .done = one_of_several_done,
                                                         .opaque = several};
        assert_int_equal(endpoint_submit(fixture->endpoint, &several->requests[i]), 0);
    }
}

/* Only the UNMAPs of the log. */
static const char *unmaps_of(const struct fake_unit *unit)
{
    static char text[FAKE_LOG_BYTES];
    size_t used = 0;

    text[0] = '\0';
    for (const char *at = unit->log; (at = strstr(at, "UN ")); at += strlen("UN ")) {
        size_t length = strlen("UN ") + strcspn(at + strlen("UN "), " ");

        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s", used ? " " : "",
                                 (int)length, at);
    }
    return text;
}

static void several_are_zeroed(struct fixture *fixture, int count, int result, const char *log)
{
    struct several several;

    submit_several(fixture, &several, count);
    while (several.left > 0)
        endpoint_wait(&fixture->endpoint, 1, -1);
    assert_string_equal(unmaps_of(fixture->unit), log);
    for (int i = 0; i < count; i++) {
        assert_int_equal(several.requests[i].result, result);
        if (result == 0) {
            assert_true(several.requests[i].deallocated);
            assert_true(fake_unit_is(fixture->unit, 16 * (uint64_t)i, 8, 0));
        } else {
            assert_non_null(strstr(several.requests[i].error.text, "lun-a"));
        }
        assert_true(fake_unit_is(fixture->unit, 16 * (uint64_t)i + 8, 8, 0x5A));
    }
}

static void ranges_are_unmapped_together(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    fixture->unit->max_unmap_descriptors = 3;
    open_unit(fixture);
    several_are_zeroed(fixture, 2, 0, "UN 0+8,16+8");
    several_are_zeroed(fixture, 3, 0, "UN 0+8,16+8,32+8");
    several_are_zeroed(fixture, 8, 0, "UN 0+8,16+8,32+8 UN 48+8,64+8,80+8 UN 96+8,112+8");
    assert_int_equal(fixture->endpoint->counters.zeros, 5);
}

/* MAXIMUM UNMAP LBA COUNT is about all ranges of a command together. */
static void ranges_together_keep_to_the_limit(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    fixture->unit->max_unmap_descriptors = 100;
    fixture->unit->max_unmap = 20;
    open_unit(fixture);
    several_are_zeroed(fixture, 5, 0, "UN 0+8,16+8 UN 32+8,48+8 UN 64+8");
}

static void ranges_refused_together_are_unmapped_alone(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    fixture->unit->max_unmap_descriptors = 4;
    open_unit(fixture);
    fixture->unit->max_unmap_descriptors = 1; /* though it said so */
    several_are_zeroed(fixture, 3, 0, "UN 0+8,16+8,32+8 UN 0+8 UN 16+8 UN 32+8");
    several_are_zeroed(fixture, 2, 0, "UN 0+8 UN 16+8");
    assert_true(fixture->endpoint->info.can_unmap);
}

/* While the first command is under way the next one gathers. */
static void a_batch_that_gathered_before_a_refusal_is_no_longer_sent_as_one(void **state)
{
    struct fixture *fixture = *state;
    static struct several several;

    fixture->unit->lbpws = false;
    fixture->unit->blocks = 200 * 16;
    fake_unit_format(fixture->unit);
    fixture->unit->max_unmap_descriptors = SCSI_UNMAP_DESCRIPTORS;
    open_unit(fixture);
    fixture->unit->max_unmap_descriptors = 1;
    submit_several(fixture, &several, 200);
    while (several.left > 0)
        endpoint_wait(&fixture->endpoint, 1, -1);
    for (int i = 0; i < 200; i++)
        assert_int_equal(several.requests[i].result, 0);
    for (uint64_t lba = 0; lba < fixture->unit->blocks; lba++)
        assert_true(fixture->unit->mapped[lba] == (lba % 16 >= 8));
    /* The one that was refused, and one for each. */
    assert_int_equal(fixture->endpoint->counters.zeros, 1 + 200);
}

static void ranges_together_are_sent_again_together(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    fixture->unit->max_unmap_descriptors = 4;
    open_unit(fixture);
    fake_unit_fault(fixture->unit, (struct fake_fault){.word = "UN", .times = 1, .status = 0x08});
    several_are_zeroed(fixture, 3, 0, "UN 0+8,16+8,32+8 UN 0+8,16+8,32+8");
}

static void ranges_together_fail_together(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbpws = false;
    fixture->unit->max_unmap_descriptors = 4;
    open_unit(fixture);
    fake_unit_fault(fixture->unit, (struct fake_fault){.word = "UN",
                                                       .times = 1,
                                                       .status = 0x02,
                                                       .key = SENSE_HARDWARE_ERROR,
                                                       .asc_ascq = 0x4400});
    several_are_zeroed(fixture, 3, -EIO, "UN 0+8,16+8,32+8");
    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "UN", .times = 1, .result = -ENOTCONN});
    several_are_zeroed(fixture, 3, -ENOTCONN, "UN 0+8,16+8,32+8");
}

static void what_was_not_sent_ends_with_the_endpoint(void **state)
{
    struct fixture *fixture = *state;
    struct several several;

    fixture->unit->lbpws = false;
    fixture->unit->max_unmap_descriptors = 4;
    open_unit(fixture);
    submit_several(fixture, &several, 3);
    endpoint_close(fixture->endpoint);
    fixture->endpoint = NULL;
    assert_int_equal(several.left, 0);
    assert_string_equal(fixture->unit->log, "");
    for (int i = 0; i < 3; i++)
        assert_int_equal(several.requests[i].result, -ECANCELED);
}

static void one_limit_met_late_is_worked_around(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbprz = false;
    open_unit(fixture);
    fixture->unit->max_write_same = 4; /* not told */
    zeroed(fixture, 0, 8, false, "WS 0+8 W 0+8");
}

static void long_ranges_take_many_writes(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->lbprz = false;
    fixture->unit->unknown = "WS";
    fixture->unit->max_transfer = 300;
    open_unit(fixture);
    zeroed(fixture, 1, 1000, false, "WS 1+1000 W 1+300 W 301+300 W 601+300 W 901+100");
    assert_int_equal(fixture->endpoint->counters.writes, 4);
}

static void more_than_one_buffer_of_zeros(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->blocks = 12000;
    fake_unit_format(fixture->unit);
    fixture->unit->lbprz = false;
    fixture->unit->unknown = "WS";
    open_unit(fixture);
    /* 64 pieces of 64 KiB at most: 8192 blocks. */
    zeroed(fixture, 7, 9000, false, "WS 7+9000 W 7+8192 W 8199+808");
}

static void failures_are_failures(void **state)
{
    struct fixture *fixture = *state;

    open_unit(fixture);
    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "WS",
                                        .times = 1,
                                        .key = SENSE_DATA_PROTECT,
                                        .asc_ascq = ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT});
    assert_int_equal(zero(fixture, 0, 8), -ENOSPC);
    assert_non_null(strstr(fixture->request.error.text, "WRITE SAME(16) of 8 blocks at LBA 0"));
    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "WS", .times = 1, .status = SCSI_STATUS_BUSY});
    assert_int_equal(zero(fixture, 0, 8), 0);
    assert_string_equal(fixture->unit->log, "WS 0+8 u WS 0+8 u");
    assert_int_equal(fixture->endpoint->counters.zeroed_blocks, 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* With a good status, but not of all of the data: some blocks are as they were. */
static void zeros_that_were_not_all_taken_are_no_success(void **state)
{
    struct fixture *fixture = *state;
    const char *unknown[] = {"WS UN", NULL};
    const char *words[] = {"W", "WS"};

    for (size_t i = 0; i < 2; i++) {
        fixture->unit->unknown = unknown[i];
        fake_unit_fault(fixture->unit,
                        (struct fake_fault){.word = words[i], .times = 1, .short_by = 512});
        open_unit(fixture);
        assert_int_equal(zero(fixture, 0, 64), -EIO);
        assert_non_null(strstr(fixture->request.error.text, "less data"));
        if (i == 0) {
            endpoint_close(fixture->endpoint);
            fake_unit_free(fixture->unit);
            fixture->unit = fake_unit_new();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(write_same_with_unmap_is_the_first_choice),
        TEST(what_is_no_whole_unit_is_not_called_deallocated),
        TEST(the_end_of_the_lun_ends_a_unit),
        TEST(without_lbprz_nothing_is_left_to_unmapping),
        TEST(unmap_is_checked_by_the_map),
        TEST(what_unmap_has_left_is_written),
        TEST(zeros_that_were_not_all_taken_are_no_success),
        TEST(ends_that_are_no_whole_unit_are_written),
        TEST(units_may_begin_anywhere),
        TEST(unmap_keeps_to_its_limit),
        TEST(a_map_that_lies_after_unmap_leads_to_writes),
        TEST(unmap_without_a_map_is_not_trusted),
        TEST(each_refusal_leads_to_the_next_way),
        TEST(an_unmap_list_refused_leads_to_the_next_way),
        TEST(one_limit_met_late_is_worked_around),
        TEST(ranges_are_unmapped_together),
        TEST(ranges_together_keep_to_the_limit),
        TEST(ranges_refused_together_are_unmapped_alone),
        TEST(a_batch_that_gathered_before_a_refusal_is_no_longer_sent_as_one),
        TEST(ranges_together_are_sent_again_together),
        TEST(ranges_together_fail_together),
        TEST(a_look_after_unmap_that_fails_is_no_success),
        TEST(after_a_refusal_a_range_is_unmapped_as_far_as_one_command_may),
        TEST(without_unmap_write_same_comes_next),
        TEST(after_a_refusal_less_is_written_at_a_time),
        TEST(unmap_needs_its_bit_the_promise_and_the_map),
        TEST(what_was_not_sent_ends_with_the_endpoint),
        TEST(long_ranges_take_many_writes),
        TEST(more_than_one_buffer_of_zeros),
        TEST(failures_are_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
