/* SPDX-License-Identifier: Apache-2.0 */
/* The copy engine when maps are broken, requests fail, targets go away, and somebody stops it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sync_fixture.h"

static void what_a_broken_map_leaves_open_is_copied(void **state)
{
    struct fixture *fixture = *state;
    const enum fake_map_defect defects[] = {FAKE_MAP_GAP, FAKE_MAP_EMPTY};

    for (size_t i = 0; i < 2; i++) {
        fixture->primary->defect = defects[i];
        fixture->primary->defect_lba = 1000;
        fake_fill(fixture->primary, 8, 8, 1);
        fake_fill(fixture->primary, 1000, 8, 1);
        assert_int_equal(run(fixture), 0);
        expect_ranges(fixture->primary, ENDPOINT_READ, "8+8 1000+3096");
        assert_non_null(strstr(fixture->result.primary_doubt.text, "primary"));
        assert_string_equal(fixture->result.secondary_doubt.text, "");
        assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
        fixture->primary->log_count = 0;
    }
}

static void a_refused_map_question_means_mapped(void **state)
{
    struct fixture *fixture = *state;

    fixture->primary->fault = (struct fake_fault){ENDPOINT_MAP, 1, -EIO};
    fixture->primary->extents_per_map = 1;
    fake_fill(fixture->primary, 0, 8, 1);
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->primary, ENDPOINT_READ, "0+4096");
    assert_non_null(strstr(fixture->result.primary_doubt.text, "primary"));
}

static void a_refused_map_question_is_an_error_when_the_map_is_needed(void **state)
{
    struct fixture *fixture = *state;

    fixture->params.need_map = true;
    fixture->primary->fault = (struct fake_fault){ENDPOINT_MAP, 1, -EIO};
    fixture->primary->extents_per_map = 1;
    fake_fill(fixture->primary, 0, 8, 1);
    assert_true(run(fixture) < 0);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_FLUSH), 0);
}

static void what_is_not_told_soundly_is_told_of_either_side(void **state)
{
    struct fixture *fixture = *state;

    fixture->primary->extents_per_map = fixture->secondary->extents_per_map = 1;
    fake_fill(fixture->primary, 8, 8, 1);
    fake_fill(fixture->secondary, 8, 8, 2);
    assert_int_equal(run(fixture), 0);
    assert_string_equal(fixture->result.primary_doubt.text, "");
    assert_string_equal(fixture->result.secondary_doubt.text, "");
    fixture->primary->defect = fixture->secondary->defect = FAKE_MAP_UNSOUND;
    assert_int_equal(run(fixture), 0);
    assert_string_equal(fixture->result.primary_doubt.text, "primary: about block 0");
    assert_string_equal(fixture->result.secondary_doubt.text, "secondary: about block 0");
}

/* Also by one of many that are asked side by side. */
static void a_map_that_is_not_sound_is_an_error_when_the_map_is_needed(void **state)
{
    struct fixture *fixture = *state;

    fixture->params.need_map = true;
    fixture->primary->extents_per_map = 1;
    for (uint64_t lba = 0; lba < BLOCKS; lba += 16)
        fake_fill(fixture->primary, lba, 8, 1);
    assert_int_equal(run(fixture), 0);
    fixture->primary->defect = FAKE_MAP_UNSOUND;
    fixture->primary->defect_lba = BLOCKS / 2;
    assert_true(run(fixture) < 0);
    assert_non_null(strstr(fixture->error.text, "primary: about block"));
}

static void what_a_broken_map_of_the_secondary_leaves_open_is_emptied(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->defect = FAKE_MAP_EMPTY;
    fixture->secondary->defect_lba = 1000;
    fake_fill(fixture->primary, 8, 8, 1);
    fake_fill(fixture->secondary, 3000, 8, 9);
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->secondary, ENDPOINT_ZERO, "1000+3096");
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

/* A failure of either side ends the sync with its sentence, and nothing is flushed or claimed. */
static void expect_failure(struct fixture *fixture, const char *side, int error)
{
    assert_int_equal(run(fixture), error);
    assert_non_null(strstr(fixture->error.text, side));
    assert_false(fixture->result.interrupted);
    assert_true(fixture->result.written_bytes < BLOCKS * 512);
}

static void prepare_copy(struct fixture *fixture)
{
    fake_fill(fixture->primary, 0, BLOCKS, 1);
    fixture->primary->shuffle = fixture->secondary->shuffle = true;
    fixture->primary->answers_per_wait = fixture->secondary->answers_per_wait = 3;
    fixture->params.control.queue_depth = 8;
}

static void a_read_error_ends_it(void **state)
{
    struct fixture *fixture = *state;

    prepare_copy(fixture);
    fixture->primary->fault = (struct fake_fault){ENDPOINT_READ, 10, -EIO};
    expect_failure(fixture, "primary", -EIO);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_FLUSH), 0);
}

static const uint64_t three_bad[] = {70, 71, 4095, UINT64_MAX};

/* What the secondary should read as. */
static void zero_bad(struct fixture *fixture)
{
    for (const uint64_t *bad = three_bad; *bad != UINT64_MAX; bad++)
        memset(fixture->primary->data + *bad * 512, 0, 512);
}

static void bad_blocks_are_passed_over_up_to_the_number_allowed(void **state)
{
    struct fixture *fixture = *state;

    prepare_copy(fixture);
    fixture->primary->bad = three_bad;
    fixture->params.control.skip_bad = 3;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.bad_blocks, 3);
    assert_int_equal(fixture->result.first_bad, 70);
    zero_bad(fixture);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void one_bad_block_too_many_ends_it(void **state)
{
    struct fixture *fixture = *state;

    prepare_copy(fixture);
    fixture->primary->bad = three_bad;
    fixture->params.control.skip_bad = 2;
    assert_int_equal(run(fixture), -EIO);
    assert_non_null(strstr(fixture->error.text, "primary"));
    fixture->params.control.skip_bad = 0;
    assert_int_equal(run(fixture), -EIO);
    assert_int_equal(fixture->result.bad_blocks, 0);
}

/* A target that is busy, confused or reserved by someone else has lost nothing. */
static void only_an_unreadable_medium_is_passed_over(void **state)
{
    struct fixture *fixture = *state;

    prepare_copy(fixture);
    fixture->primary->fault = (struct fake_fault){ENDPOINT_READ, 10, -EIO};
    fixture->params.control.skip_bad = UINT64_MAX;
    expect_failure(fixture, "primary", -EIO);
    assert_int_equal(fixture->result.bad_blocks, 0);
}

static void what_reads_as_zeros_is_emptied_when_asked(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->primary, 0, 1024, 1);
    memset(fixture->primary->data + 128 * 512, 0, 256 * 512);
    fixture->primary->data[300 * 512 + 511] = 1;
    fixture->primary->base.info.max_transfer_blocks = 1024;
    fixture->secondary->base.info.max_transfer_blocks = 1024;
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->secondary, ENDPOINT_WRITE, "0+1024");
    fixture->secondary->log_count = 0;
    fixture->params.control.detect_zeroes = true;
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->secondary, ENDPOINT_WRITE, "0+128 256+768");
    expect_ranges(fixture->secondary, ENDPOINT_ZERO, "128+128");
    assert_int_equal(fixture->result.detected_bytes, 128 * 512);
    assert_int_equal(fixture->result.unmapped_bytes, 128 * 512);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void a_write_error_ends_it(void **state)
{
    struct fixture *fixture = *state;

    prepare_copy(fixture);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_WRITE, 10, -ENOSPC};
    expect_failure(fixture, "secondary", -ENOSPC);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_FLUSH), 0);
}

static void an_unmap_error_ends_it(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->secondary, 0, BLOCKS, 9);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_ZERO, 2, -EIO};
    assert_int_equal(run(fixture), -EIO);
    assert_non_null(strstr(fixture->error.text, "secondary"));
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_FLUSH), 0);
}

static void a_failed_flush_is_no_success(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->primary, 0, 8, 1);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_FLUSH, 0, -EIO};
    assert_int_equal(run(fixture), -EIO);
    assert_non_null(strstr(fixture->error.text, "secondary"));
}

static void a_primary_that_goes_away_ends_it(void **state)
{
    struct fixture *fixture = *state;

    for (int after = 0; after < 20; after++) {
        prepare_copy(fixture);
        fixture->primary->gone_after = after;
        expect_failure(fixture, "primary", -ENOTCONN);
    }
}

static void a_secondary_that_goes_away_ends_it(void **state)
{
    struct fixture *fixture = *state;

    for (int after = 0; after < 20; after++) {
        prepare_copy(fixture);
        fake_set_status(fixture->secondary, 0, BLOCKS, EXTENT_DEALLOCATED);
        fixture->secondary->gone_after = after;
        expect_failure(fixture, "secondary", -ENOTCONN);
    }
}

static atomic_bool stop;

static void stop_after_ten(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    if (request->op == ENDPOINT_WRITE && fake_count(fake, ENDPOINT_WRITE) >= 10)
        stop = true;
}

static void a_stop_finishes_what_was_begun_and_flushes(void **state)
{
    struct fixture *fixture = *state;

    stop = false;
    prepare_copy(fixture);
    fixture->params.control.stop = &stop;
    fixture->secondary->on_answer = stop_after_ten;
    assert_int_equal(run(fixture), 0);
    assert_true(fixture->result.interrupted);
    assert_int_equal(fixture->result.read_bytes, fixture->result.written_bytes);
    assert_true(fixture->result.written_bytes < BLOCKS * 512);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_FLUSH), 1);
}

static void a_stop_at_the_very_end_is_none(void **state)
{
    struct fixture *fixture = *state;

    stop = false;
    fake_fill(fixture->primary, 0, 640, 1);
    fixture->params.control.stop = &stop;
    fixture->secondary->answers_per_wait = 1;
    fixture->secondary->on_answer = stop_after_ten;
    assert_int_equal(run(fixture), 0);
    assert_false(fixture->result.interrupted);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_broken_map_leaves_open_is_copied),
        TEST(a_refused_map_question_means_mapped),
        TEST(a_refused_map_question_is_an_error_when_the_map_is_needed),
        TEST(what_is_not_told_soundly_is_told_of_either_side),
        TEST(a_map_that_is_not_sound_is_an_error_when_the_map_is_needed),
        TEST(what_a_broken_map_of_the_secondary_leaves_open_is_emptied),
        TEST(a_read_error_ends_it),
        TEST(bad_blocks_are_passed_over_up_to_the_number_allowed),
        TEST(one_bad_block_too_many_ends_it),
        TEST(only_an_unreadable_medium_is_passed_over),
        TEST(what_reads_as_zeros_is_emptied_when_asked),
        TEST(a_write_error_ends_it),
        TEST(an_unmap_error_ends_it),
        TEST(a_failed_flush_is_no_success),
        TEST(a_primary_that_goes_away_ends_it),
        TEST(a_secondary_that_goes_away_ends_it),
        TEST(a_stop_finishes_what_was_begun_and_flushes),
        TEST(a_stop_at_the_very_end_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
