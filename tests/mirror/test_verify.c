/* SPDX-License-Identifier: Apache-2.0 */
/* The comparison over endpoints in memory: what is read, and what is found. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "block_set.h"
#include "cleanup.h"
#include "comparer.h"
#include "fake_endpoint.h"
#include "sync.h"
#include "verify.h"

#define BLOCKS 4096

struct fixture {
    struct fake_endpoint *primary;
    struct fake_endpoint *secondary;
    struct verify_params params;
    struct verify_result result;
    struct errmsg error;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    fixture->primary = fake_create("primary", BLOCKS);
    fixture->secondary = fake_create("secondary", BLOCKS);
    fixture->params = (struct verify_params){.primary = &fixture->primary->base,
                                             .secondary = &fixture->secondary->base};
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    endpoint_close(&fixture->primary->base);
    endpoint_close(&fixture->secondary->base);
    free(fixture);
    return 0;
}

static int run(struct fixture *fixture)
{
    return verify_run(&fixture->params, &fixture->result, &fixture->error);
}

static void expect_reads(struct fixture *fixture, const char *primary, const char *secondary)
{
    assert_string_equal(fake_ranges(fixture->primary, ENDPOINT_READ), primary);
    assert_string_equal(fake_ranges(fixture->secondary, ENDPOINT_READ), secondary);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_WRITE), 0);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_ZERO), 0);
}

static void fill_both(struct fixture *fixture, uint64_t lba, uint64_t blocks)
{
    fake_fill(fixture->primary, lba, blocks, 1);
    fake_fill(fixture->secondary, lba, blocks, 1);
}

/* Their maps are believed. */
static void trust(struct fixture *fixture)
{
    fixture->params.trust_maps = true;
}

static void both_sides_are_read_from_end_to_end(void **state)
{
    struct fixture *fixture = *state;

    fill_both(fixture, 100, 50);
    fixture->params.seed = 1; /* no spots are needed */
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.blocks, 0);
    expect_reads(fixture, "0+4096", "0+4096");
    assert_int_equal(fixture->result.compared_bytes, BLOCKS * 512);
    assert_int_equal(fixture->result.read_bytes, 2 * BLOCKS * 512);
    assert_int_equal(fixture->result.spot_bytes, 0);
}

static void stop_at_the_end(void *opaque, const struct copy_status *status)
{
    atomic_bool *stop = opaque;

    *stop = status->scanned_bytes == status->lun_bytes && status->done_bytes == status->todo_bytes;
}

static void a_stop_when_all_is_compared_interrupts_nothing(void **state)
{
    struct fixture *fixture = *state;
    atomic_bool stop = false;

    fill_both(fixture, 100, 50);
    fixture->params.control.progress = stop_at_the_end;
    fixture->params.control.opaque = &stop;
    fixture->params.control.stop = &stop;
    assert_int_equal(run(fixture), 0);
    assert_true(stop);
    assert_false(fixture->result.interrupted);
    assert_int_equal(fixture->result.compared_bytes, BLOCKS * 512);
}

static void what_both_maps_keep_from_each_other_is_seen(void **state)
{
    struct fixture *fixture = *state;

    fixture->primary->data[1000 * 512] = 1;
    fixture->secondary->data[3000 * 512 + 511] = 1;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.blocks, 2);
    assert_int_equal(fixture->result.differences.first[0].start, 1000);
    assert_int_equal(fixture->result.differences.first[1].start, 3000);
}

static void holes_of_local_files_are_zeros_without_being_read(void **state)
{
    struct fixture *fixture = *state;

    fixture->primary->base.info.unmapped_is_certain = true;
    fixture->secondary->base.info.unmapped_is_certain = true;
    fill_both(fixture, 100, 50);
    fake_fill(fixture->secondary, 300, 10, 1);
    memset(fixture->secondary->data + 300 * 512, 0, 10 * 512);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.blocks, 0);
    expect_reads(fixture, "100+50", "100+50 300+10");
}

static void holes_of_a_file_are_what_a_lun_is_held_against(void **state)
{
    struct fixture *fixture = *state;

    fixture->primary->base.info.unmapped_is_certain = true;
    fill_both(fixture, 100, 50);
    fixture->secondary->data[3000 * 512 + 511] = 1;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.blocks, 1);
    expect_reads(fixture, "100+50", "0+4096");
}

static void a_lun_is_read_where_the_file_it_was_copied_to_has_holes(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->base.info.unmapped_is_certain = true;
    fill_both(fixture, 100, 50);
    fixture->primary->data[1000 * 512] = 1;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.blocks, 1);
    assert_int_equal(fixture->result.differences.first[0].start, 1000);
    expect_reads(fixture, "0+4096", "100+50");
    assert_int_equal(fixture->result.compared_bytes, 4096 * 512);
    assert_int_equal(fixture->result.read_bytes, 4146 * 512);
}

static void what_either_side_has_is_read_on_both_when_maps_are_trusted(void **state)
{
    struct fixture *fixture = *state;

    trust(fixture);

    fill_both(fixture, 100, 50);
    fake_fill(fixture->secondary, 300, 10, 1);
    memset(fixture->secondary->data + 300 * 512, 0, 10 * 512);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.blocks, 0);
    expect_reads(fixture, "100+50 300+10", "100+50 300+10");
    assert_int_equal(fixture->result.compared_bytes, 60 * 512);
    assert_int_equal(fixture->result.read_bytes, 120 * 512);
}

static void a_secondary_that_promises_no_zeros_is_read_everywhere(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->base.info.unmapped_reads_zeros = false;
    fill_both(fixture, 100, 50);
    fixture->secondary->data[200 * 512] = 1;
    assert_int_equal(run(fixture), 0);
    expect_reads(fixture, "0+4096", "0+4096");
    assert_int_equal(fixture->result.differences.blocks, 1);
    assert_int_equal(fixture->result.differences.first[0].start, 200);
}

static void a_primary_that_promises_no_zeros_stands_for_zeros(void **state)
{
    struct fixture *fixture = *state;

    trust(fixture);
    fixture->primary->base.info.unmapped_reads_zeros = false;
    fake_set_status(fixture->primary, 0, BLOCKS, EXTENT_DEALLOCATED);
    fill_both(fixture, 100, 50);
    fake_fill(fixture->secondary, 300, 10, 1);
    memset(fixture->secondary->data + 300 * 512, 0, 10 * 512);
    fixture->secondary->data[305 * 512 + 17] = 1;
    assert_int_equal(run(fixture), 0);
    expect_reads(fixture, "100+50", "100+50 300+10");
    assert_int_equal(fixture->result.differences.blocks, 1);
    assert_int_equal(fixture->result.differences.first[0].start, 305);
}

static void a_broken_promise_of_the_primary_is_seen(void **state)
{
    struct fixture *fixture = *state;

    trust(fixture);
    fixture->primary->data[300 * 512] = 1; /* deallocated, and yet not zeros */
    fake_fill(fixture->secondary, 300, 1, 1);
    memset(fixture->secondary->data + 300 * 512, 0, 512);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.blocks, 1);
}

static void what_is_missing_on_the_secondary_is_seen(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->primary, 70, 3, 1);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.blocks, 3);
    assert_int_equal(fixture->result.differences.first[0].start, 70);
    assert_int_equal(fixture->result.differences.first[0].length, 3);
}

static void what_is_missing_in_a_file_is_seen_by_its_primary_alone(void **state)
{
    struct fixture *fixture = *state;

    fixture->primary->base.info.unmapped_is_certain = true;
    fixture->secondary->base.info.unmapped_is_certain = true;
    fake_fill(fixture->primary, 70, 3, 1);
    memset(fixture->primary->data + 70 * 512, 0, 512);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.blocks, 2);
    assert_int_equal(fixture->result.differences.first[0].start, 71);
    expect_reads(fixture, "70+3", "");
}

static void note_mapped(void *opaque, const struct copy_status *status)
{
    *(struct copy_status *)opaque = *status;
}

static void the_share_that_is_mapped_is_the_primarys(void **state)
{
    struct fixture *fixture = *state;
    struct copy_status last = {0};

    fill_both(fixture, 100, 50);
    fill_both(fixture, 4000, 96);
    fake_fill(fixture->secondary, 300, 10, 1);
    fixture->params.control.progress = note_mapped;
    fixture->params.control.opaque = &last;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(last.mapped_bytes, 146 * 512);
    assert_int_equal(last.scanned_bytes, BLOCKS * 512);
    assert_int_equal(last.todo_bytes, BLOCKS * 512);
}

static void the_lowest_differences_are_kept(void **state)
{
    struct fixture *fixture = *state;

    fixture->primary->shuffle = fixture->secondary->shuffle = true;
    fill_both(fixture, 0, BLOCKS);
    for (uint64_t i = 0; i < 100; i++)
        fixture->secondary->data[(10 + i * 40) * 512 + i] ^= 0x80;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.blocks, 100);
    assert_int_equal(fixture->result.differences.count, DIFFERENCES_KEPT);
    for (uint64_t i = 0; i < DIFFERENCES_KEPT; i++) {
        assert_int_equal(fixture->result.differences.first[i].start, 10 + i * 40);
        assert_int_equal(fixture->result.differences.first[i].length, 1);
    }
}

static void a_difference_over_many_reads_is_one_range(void **state)
{
    struct fixture *fixture = *state;

    fixture->primary->shuffle = fixture->secondary->shuffle = true;
    fill_both(fixture, 0, BLOCKS);
    fake_fill(fixture->secondary, 500, 1000, 2);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.count, 1);
    assert_int_equal(fixture->result.differences.first[0].start, 500);
    assert_int_equal(fixture->result.differences.first[0].length, 1000);
}

static void a_full_comparison_asks_the_primary_nothing(void **state)
{
    struct fixture *fixture = *state;

    fixture->params.copy_all = true;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fake_count(fixture->primary, ENDPOINT_MAP), 0);
    expect_reads(fixture, "0+4096", "0+4096");
}

static void errors_of_either_side_are_errors(void **state)
{
    struct fixture *fixture = *state;

    fill_both(fixture, 0, BLOCKS);
    fixture->primary->fault = (struct fake_fault){ENDPOINT_READ, 5, -EIO};
    assert_int_equal(run(fixture), -EIO);
    assert_non_null(strstr(fixture->error.text, "primary"));
    fixture->primary->fault.error = 0;
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_READ, 5, -EIO};
    assert_int_equal(run(fixture), -EIO);
    assert_non_null(strstr(fixture->error.text, "secondary"));
    fixture->secondary->fault.error = 0;
    fixture->secondary->gone_after = 7;
    assert_int_equal(run(fixture), -ENOTCONN);
    assert_non_null(strstr(fixture->error.text, "secondary"));
}

static void a_stop_is_not_equality(void **state)
{
    struct fixture *fixture = *state;
    const atomic_bool stop = true;

    fixture->params.control.stop = &stop;
    fill_both(fixture, 0, 8);
    assert_int_equal(run(fixture), 0);
    assert_true(fixture->result.interrupted);
}

static void random_sides_agree_with_a_plain_comparison(void **state)
{
    struct fixture *fixture = *state;

    srandom(5);
    for (int round = 0; round < 60; round++) {
        uint64_t first = UINT64_MAX, count = 0;

        fake_set_status(fixture->primary, 0, BLOCKS, EXTENT_DEALLOCATED);
        fake_set_status(fixture->secondary, 0, BLOCKS, EXTENT_DEALLOCATED);
        for (int i = 0; i < 10; i++) {
            uint64_t lba = (uint64_t)random() % (BLOCKS - 300),
                     blocks = 1 + (uint64_t)random() % 300;

            fake_fill(fixture->primary, lba, blocks, 1);
            if (random() % 8)
                fake_fill(fixture->secondary, lba, blocks, random() % 8 ? 1 : 2);
        }
        for (uint64_t lba = 0; lba < BLOCKS; lba++) {
            if (memcmp(fixture->primary->data + lba * 512, fixture->secondary->data + lba * 512,
                       512) == 0)
                continue;
            first = count++ ? first : lba;
        }
        fixture->primary->shuffle = fixture->secondary->shuffle = true;
        fixture->primary->answers_per_wait = (unsigned)random() % 4;
        fixture->secondary->extents_per_map = (unsigned)random() % 4;
        assert_int_equal(run(fixture), 0);
        assert_int_equal(fixture->result.differences.blocks, count);
        if (count > 0)
            assert_int_equal(fixture->result.differences.first[0].start, first);
    }
}

/* 32 MiB of buffers, one on either side for each piece in flight. */
static void more_in_flight_take_no_more_memory(void **state)
{
    struct fixture *fixture = *state;
    const unsigned depths[] = {1, 32, 1024};
    const uint64_t blocks[] = {512, 512, 32};

    fixture->primary->base.info.max_transfer_blocks = 32768;
    fixture->secondary->base.info.max_transfer_blocks = 32768;
    for (size_t i = 0; i < 3; i++) {
        const struct copy_control control = {.queue_depth = depths[i]};
        struct comparer comparer;

        assert_int_equal(comparer_init(&comparer, &fixture->primary->base,
                                       &fixture->secondary->base, &control),
                         0);
        assert_int_equal(comparer.buffers.count, 2 * depths[i]);
        assert_int_equal(comparer.chunk_blocks, blocks[i]);
        assert_true(comparer.buffers.count * comparer.buffers.each_bytes <= 32 * 1024 * 1024);
        comparer_free(&comparer);
    }
}

/* As many pieces as are asked for, and all of them small. */
static void a_deep_queue_reads_small_pieces(void **state)
{
    struct fixture *fixture = *state;
    uint64_t longest = 0;

    fixture->primary->base.info.max_transfer_blocks = 32768;
    fixture->secondary->base.info.max_transfer_blocks = 32768;
    fixture->params.control.queue_depth = 1024;
    fill_both(fixture, 0, BLOCKS);
    assert_int_equal(run(fixture), 0);
    expect_reads(fixture, "0+4096", "0+4096");
    for (size_t i = 0; i < fixture->secondary->log_count; i++)
        if (fixture->secondary->log[i].op == ENDPOINT_READ &&
            fixture->secondary->log[i].blocks > longest)
            longest = fixture->secondary->log[i].blocks;
    assert_int_equal(longest, 32);
    assert_int_equal(fixture->secondary->high_water[ENDPOINT_READ], BLOCKS / 32);
}

/* Says it has deallocated, and reads as something else all the same. */
static void only_say_it(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    if (request->op != ENDPOINT_ZERO)
        return;
    memset(fake->data + request->lba * 512, 0x5A, request->blocks * 512);
    if (fake->opaque)
        fake_set_status(fake, request->lba, request->blocks, EXTENT_MAPPED);
}

static void unmap_in_vain(struct fixture *fixture, bool still_mapped)
{
    const struct sync_params params = {.primary = &fixture->primary->base,
                                       .secondary = &fixture->secondary->base};
    struct sync_result result;

    fixture->secondary->on_answer = only_say_it;
    fixture->secondary->opaque = still_mapped ? fixture : NULL;
    fake_fill(fixture->primary, 0, 8, 1);
    fake_fill(fixture->secondary, 200, 100, 9);
    assert_int_equal(sync_run(&params, &result, &fixture->error), 0);
    assert_int_equal(result.unmapped_bytes, 100 * 512);
}

static void expect_unmapped_in_vain(struct fixture *fixture)
{
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.blocks, 100);
    assert_int_equal(fixture->result.differences.first[0].start, 200);
}

static void what_only_claims_to_be_unmapped_is_seen(void **state)
{
    unmap_in_vain(*state, true);
    expect_unmapped_in_vain(*state);
}

static void a_map_that_claims_it_too_is_seen(void **state)
{
    unmap_in_vain(*state, false);
    expect_unmapped_in_vain(*state);
}

static void what_only_claims_to_be_unmapped_is_seen_though_maps_are_trusted(void **state)
{
    unmap_in_vain(*state, true);
    trust(*state);
    expect_unmapped_in_vain(*state);
}

/* A trusted map that lies as well is met with spot checks: this LUN is so small that they are all
 * of it. */
static void a_trusted_map_that_claims_it_too_is_seen_by_spot_checks(void **state)
{
    struct fixture *fixture = *state;

    unmap_in_vain(fixture, false);
    trust(fixture);
    fixture->params.seed = 1;
    expect_unmapped_in_vain(fixture);
    assert_int_equal(fixture->result.compared_bytes, 8 * 512);
    assert_int_equal(fixture->result.spot_bytes, (BLOCKS - 8) * 512);
}

static void what_is_not_to_be_looked_at_has_no_spots(void **state)
{
    struct fixture *fixture = *state;

    CLEANUP(block_set_free) struct block_set allocated = {0};

    block_set_init(&allocated, BLOCKS);
    assert_int_equal(block_set_add(&allocated, 100, 60), 0);
    assert_int_equal(block_set_settle(&allocated), 0);
    fill_both(fixture, 100, 50);
    trust(fixture);
    fixture->params.seed = 1;
    fixture->params.only_used = true;
    fixture->params.allocated = &allocated;
    assert_int_equal(run(fixture), 0);
    expect_reads(fixture, "100+50", "100+50");
    fake_fill(fixture->secondary, 155, 1, 1); /* used, and zeros on the primary */
    fake_fill(fixture->secondary, 200, 1, 1);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.differences.blocks, 1);
    assert_int_equal(fixture->result.differences.first[0].start, 155);
}

/* And it is seen for certain when everything is to be read. */
static void a_map_that_claims_it_too_is_seen_by_a_full_comparison(void **state)
{
    struct fixture *fixture = *state;

    unmap_in_vain(fixture, false);
    fixture->params.copy_all = true;
    expect_unmapped_in_vain(fixture);
}

static void data_is_found_where_it_begins(void **state)
{
    struct fixture *fixture = *state;
    const struct copy_control control = {0};
    bool found;
    uint64_t lba;

    fixture->secondary->shuffle = true;
    assert_int_equal(verify_find_data(&fixture->secondary->base, 0, 4096, &control, &found, &lba,
                                      NULL),
                     0);
    assert_false(found);
    assert_string_equal(fake_ranges(fixture->secondary, ENDPOINT_READ), "0+4096");
    fixture->secondary->data[4000 * 512 + 511] = 1;
    assert_int_equal(verify_find_data(&fixture->secondary->base, 0, 4096, &control, &found, &lba,
                                      NULL),
                     0);
    assert_true(found);
    assert_int_equal(lba, 4000);
}

static void looking_for_data_can_fail_and_be_stopped(void **state)
{
    struct fixture *fixture = *state;
    const atomic_bool stop = true;
    struct copy_control control = {0};
    bool found;
    uint64_t lba;

    fixture->secondary->fault = (struct fake_fault){ENDPOINT_READ, 3, -EIO};
    assert_int_equal(verify_find_data(&fixture->secondary->base, 0, 4096, &control, &found, &lba,
                                      NULL),
                     -EIO);
    fixture->secondary->fault.error = 0;
    control.stop = &stop;
    assert_int_equal(verify_find_data(&fixture->secondary->base, 0, 4096, &control, &found, &lba,
                                      NULL),
                     -EINTR);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_sides_are_read_from_end_to_end),
        TEST(a_stop_when_all_is_compared_interrupts_nothing),
        TEST(what_both_maps_keep_from_each_other_is_seen),
        TEST(holes_of_local_files_are_zeros_without_being_read),
        TEST(holes_of_a_file_are_what_a_lun_is_held_against),
        TEST(a_lun_is_read_where_the_file_it_was_copied_to_has_holes),
        TEST(what_either_side_has_is_read_on_both_when_maps_are_trusted),
        TEST(a_secondary_that_promises_no_zeros_is_read_everywhere),
        TEST(a_primary_that_promises_no_zeros_stands_for_zeros),
        TEST(a_broken_promise_of_the_primary_is_seen),
        TEST(what_is_missing_on_the_secondary_is_seen),
        TEST(what_is_missing_in_a_file_is_seen_by_its_primary_alone),
        TEST(the_share_that_is_mapped_is_the_primarys),
        TEST(the_lowest_differences_are_kept),
        TEST(a_difference_over_many_reads_is_one_range),
        TEST(a_full_comparison_asks_the_primary_nothing),
        TEST(errors_of_either_side_are_errors),
        TEST(a_stop_is_not_equality),
        TEST(random_sides_agree_with_a_plain_comparison),
        TEST(more_in_flight_take_no_more_memory),
        TEST(a_deep_queue_reads_small_pieces),
        TEST(what_only_claims_to_be_unmapped_is_seen),
        TEST(a_map_that_claims_it_too_is_seen),
        TEST(what_only_claims_to_be_unmapped_is_seen_though_maps_are_trusted),
        TEST(a_trusted_map_that_claims_it_too_is_seen_by_spot_checks),
        TEST(what_is_not_to_be_looked_at_has_no_spots),
        TEST(a_map_that_claims_it_too_is_seen_by_a_full_comparison),
        TEST(data_is_found_where_it_begins),
        TEST(looking_for_data_can_fail_and_be_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
