/* SPDX-License-Identifier: Apache-2.0 */
/* The copy engine over endpoints in memory: exactly which requests it sends. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sync_fixture.h"

static void only_mapped_blocks_are_read_and_written(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->primary, 8, 8, 1);
    fake_fill(fixture->primary, 100, 300, 1);
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->primary, ENDPOINT_READ, "8+8 100+300");
    expect_ranges(fixture->secondary, ENDPOINT_WRITE, "8+8 100+300");
    expect_ranges(fixture->secondary, ENDPOINT_ZERO, "");
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_READ), 0);
    assert_int_equal(fake_count(fixture->primary, ENDPOINT_MAP), 1);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_MAP), 1);
    assert_int_equal(fake_count(fixture->primary, ENDPOINT_WRITE), 0);
    assert_int_equal(fake_count(fixture->primary, ENDPOINT_FLUSH), 0);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
    assert_int_equal(fixture->result.mapped_bytes, 308 * 512);
    assert_int_equal(fixture->result.extents, 2);
    assert_int_equal(fixture->result.read_bytes, 308 * 512);
    assert_int_equal(fixture->result.written_bytes, 308 * 512);
    assert_int_equal(fixture->result.unmapped_bytes, 0);
    assert_false(fixture->result.interrupted);
}

static void what_only_the_secondary_has_is_unmapped(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->primary, 0, 8, 1);
    fake_fill(fixture->secondary, 0, 16, 9);
    fake_fill(fixture->secondary, 200, 100, 9);
    fake_set_status(fixture->secondary, 400, 10, EXTENT_ANCHORED);
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->secondary, ENDPOINT_WRITE, "0+8");
    expect_ranges(fixture->secondary, ENDPOINT_ZERO, "8+8 200+100 400+10");
    assert_int_equal(fixture->result.unmapped_bytes, 118 * 512);
    assert_int_equal(fixture->result.zeroed_bytes, 0);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
    for (uint64_t lba = 8; lba < BLOCKS; lba++)
        assert_int_equal(fixture->secondary->status[lba], EXTENT_DEALLOCATED);
}

static void zeros_are_written_where_unmapped_promises_nothing(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->base.info.unmapped_reads_zeros = false;
    fake_set_status(fixture->secondary, 0, BLOCKS, EXTENT_DEALLOCATED);
    fake_fill(fixture->primary, 8, 8, 1);
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->secondary, ENDPOINT_WRITE, "8+8");
    expect_ranges(fixture->secondary, ENDPOINT_ZERO, "0+8 16+4080");
    assert_int_equal(fixture->result.zeroed_bytes, (BLOCKS - 8) * 512);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void a_secondary_without_a_map_is_emptied_everywhere_else(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->base.info.can_map = false;
    fake_fill(fixture->primary, 8, 8, 1);
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->secondary, ENDPOINT_ZERO, "0+8 16+4080");
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_MAP), 0);
}

static void a_secondary_seen_to_be_zero_is_not_zeroed_again(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->base.info.can_map = false;
    fixture->secondary->base.info.can_unmap = false;
    fixture->secondary->base.info.unmapped_reads_zeros = false;
    fixture->params.secondary_is_zero = true;
    fake_set_status(fixture->secondary, 0, BLOCKS, EXTENT_MAPPED);
    fake_fill(fixture->primary, 8, 8, 1);
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->secondary, ENDPOINT_WRITE, "8+8");
    expect_ranges(fixture->secondary, ENDPOINT_ZERO, "");
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void a_full_copy_asks_the_primary_nothing(void **state)
{
    struct fixture *fixture = *state;

    fixture->params.copy_all = true;
    fake_fill(fixture->primary, 8, 8, 1);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fake_count(fixture->primary, ENDPOINT_MAP), 0);
    expect_ranges(fixture->primary, ENDPOINT_READ, "0+4096");
    assert_int_equal(fixture->result.mapped_bytes, BLOCKS * 512);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void the_end_of_a_larger_secondary_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    struct fake_endpoint *larger = fake_create("larger", 2 * BLOCKS);

    fake_fill(fixture->primary, BLOCKS - 8, 8, 1);
    fake_fill(larger, BLOCKS - 16, 24, 9);
    fixture->params.secondary = &larger->base;
    assert_int_equal(run(fixture), 0);
    expect_ranges(larger, ENDPOINT_WRITE, "4088+8");
    expect_ranges(larger, ENDPOINT_ZERO, "4080+8");
    assert_int_equal(larger->status[BLOCKS + 7], EXTENT_MAPPED);
    assert_int_not_equal(larger->data[(BLOCKS + 7) * 512], 0);
    endpoint_close(&larger->base);
}

static void a_dry_run_only_asks(void **state)
{
    struct fixture *fixture = *state;

    fixture->params.dry_run = true;
    fake_fill(fixture->primary, 8, 8, 1);
    fake_fill(fixture->secondary, 100, 20, 9);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->primary->log_count, 1);
    assert_int_equal(fixture->secondary->log_count, 1);
    assert_int_equal(fixture->result.to_copy_bytes, 8 * 512);
    assert_int_equal(fixture->result.to_empty_bytes, 20 * 512);
    assert_int_equal(fixture->result.written_bytes, 0);
}

static void pieces_fit_the_smaller_limit_and_end_on_its_multiples(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->base.info.max_transfer_blocks = 16;
    fake_fill(fixture->primary, 5, 100, 1);
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->secondary, ENDPOINT_WRITE, "5+100");
    for (size_t i = 0; i < fixture->primary->log_count; i++) {
        const struct fake_io *io = &fixture->primary->log[i];

        if (io->op != ENDPOINT_READ)
            continue;
        assert_true(io->blocks <= 16);
        assert_true((io->lba + io->blocks) % 16 == 0 || io->lba + io->blocks == 105);
    }
    assert_int_equal(fake_count(fixture->primary, ENDPOINT_READ), 7);
}

/* The longest piece is of 64 blocks. */
static void pieces_end_where_both_sides_like_to_transfer(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t wanted[][3] = {{12, 0, 60}, {10, 4, 60}, {20, 7, 60}, {65, 6, 64}, {0, 9, 63}};

    fake_fill(fixture->primary, 5, 1000, 1);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        fixture->secondary->base.info.transfer_granularity_blocks = wanted[i][0];
        fixture->primary->base.info.transfer_granularity_blocks = wanted[i][1];
        fixture->primary->log_count = 0;
        assert_int_equal(run(fixture), 0);
        for (size_t at = 0; at < fixture->primary->log_count; at++) {
            const struct fake_io *io = &fixture->primary->log[at];
            uint64_t end = io->lba + io->blocks;

            if (io->op == ENDPOINT_READ)
                assert_true(end == 1005 || end % wanted[i][2] == 0);
        }
    }
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void writes_are_as_long_as_a_burst_of_the_secondary(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t wanted[][3] = {{131072, 0, 256}, {131072, 98304, 192}, {131072, 8192, 256}};

    fake_fill(fixture->primary, 0, 3072, 1);
    fixture->primary->base.info.max_transfer_blocks = 1024;
    fixture->secondary->base.info.max_transfer_blocks = 1024;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        fixture->secondary->base.info.max_burst_bytes = wanted[i][0];
        fixture->secondary->base.info.unsolicited_bytes = wanted[i][1];
        fixture->primary->base.info.max_burst_bytes = 65536; /* READs are not asked for */
        fixture->secondary->log_count = 0;
        assert_int_equal(run(fixture), 0);
        for (size_t at = 0; at < fixture->secondary->log_count; at++) {
            const struct fake_io *io = &fixture->secondary->log[at];

            if (io->op == ENDPOINT_WRITE)
                assert_int_equal(io->blocks, wanted[i][2]);
        }
        assert_int_equal(fake_count(fixture->secondary, ENDPOINT_WRITE), 3072 / wanted[i][2]);
    }
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void unmapping_is_cut_where_the_secondary_can_give_back(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->base.info.max_zero_blocks = 100;
    fixture->secondary->base.info.unmap_granularity_blocks = 32;
    fixture->secondary->base.info.unmap_alignment_blocks = 7;
    fake_fill(fixture->secondary, 3, 1000, 9);
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->secondary, ENDPOINT_ZERO, "3+1000");
    for (size_t i = 0; i < fixture->secondary->log_count; i++) {
        const struct fake_io *io = &fixture->secondary->log[i];

        if (io->op != ENDPOINT_ZERO)
            continue;
        assert_true(io->blocks <= 100);
        assert_true((io->lba + io->blocks) % 32 == 7 || io->lba + io->blocks == 1003);
    }
}

static void the_queue_is_kept_full_but_not_fuller(void **state)
{
    struct fixture *fixture = *state;

    fixture->params.control.queue_depth = 5;
    fixture->primary->answers_per_wait = 1;
    fixture->secondary->answers_per_wait = 1;
    fixture->secondary->base.info.max_zero_blocks = 8;
    fixture->primary->base.info.max_transfer_blocks = 8;
    fake_fill(fixture->primary, 0, BLOCKS / 2, 1);
    fake_fill(fixture->secondary, BLOCKS / 2, 512, 9);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->primary->high_water[ENDPOINT_READ], 5);
    assert_int_equal(fixture->secondary->high_water[ENDPOINT_WRITE], 5);
    assert_in_range(fixture->secondary->high_water[ENDPOINT_ZERO], 1, 5);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

/* Writes and zeroings share one budget. */
static void note_budget(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    unsigned *most = fake->opaque;
    unsigned now = fake->in_flight[ENDPOINT_WRITE] + fake->in_flight[ENDPOINT_ZERO] + 1;

    if (request->op != ENDPOINT_MAP && now > *most)
        *most = now;
}

static void writes_and_unmaps_share_a_budget(void **state)
{
    struct fixture *fixture = *state;
    unsigned most = 0;

    fixture->params.control.queue_depth = 4;
    fixture->secondary->on_answer = note_budget;
    fixture->secondary->opaque = &most;
    fixture->secondary->answers_per_wait = 1;
    fixture->secondary->base.info.max_zero_blocks = 8;
    fake_fill(fixture->primary, 0, 1024, 1);
    fake_fill(fixture->secondary, 1024, 1024, 9);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(most, 4);
}

/* 32 MiB of buffers, two for each request in flight. */
static void a_deep_queue_has_smaller_requests(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->primary, 0, 128, 1);
    fixture->params.control.queue_depth = 1024;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fake_count(fixture->primary, ENDPOINT_READ), 4);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_WRITE), 4);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void the_map_is_asked_for_to_the_end(void **state)
{
    struct fixture *fixture = *state;

    for (uint64_t lba = 0; lba < BLOCKS; lba += 16)
        fake_fill(fixture->primary, lba, 8, 1);
    fixture->primary->extents_per_map = 1;
    fixture->secondary->extents_per_map = 3;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fake_count(fixture->primary, ENDPOINT_MAP), 2 * BLOCKS / 16);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_MAP), 1);
    assert_int_equal(fixture->result.extents, BLOCKS / 16);
    assert_int_equal(fixture->result.mapped_bytes, BLOCKS / 2 * 512);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

/* An extent that replies cut in pieces is one. */
static void an_extent_over_many_replies_counts_once(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->primary, 10, 3000, 1);
    for (uint64_t lba = 0; lba < BLOCKS; lba += 2)
        fake_fill(fixture->secondary, lba, 1, 9);
    fixture->secondary->extents_per_map = 1;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.extents, 1);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void the_flush_comes_after_the_last_write(void **state)
{
    struct fixture *fixture = *state;
    const struct fake_endpoint *secondary = fixture->secondary;

    fixture->secondary->shuffle = true;
    fake_fill(fixture->primary, 0, 2000, 1);
    fake_fill(fixture->secondary, 2000, 100, 1);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fake_count(secondary, ENDPOINT_FLUSH), 1);
    assert_int_equal(secondary->log[secondary->log_count - 1].op, ENDPOINT_FLUSH);
}

static void the_rate_is_kept(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->primary, 0, 1024, 1);
    fixture->params.control.rate_bytes = 2 << 20;
    assert_int_equal(run(fixture), 0);
    /* 512 KiB at 2 MiB/s; the first piece of 32 KiB goes at once. */
    assert_true(fixture->result.seconds >= 0.23);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void note_status(void *opaque, const struct copy_status *status)
{
    struct copy_status *last = opaque;

    assert_true(status->scanned_bytes >= last->scanned_bytes);
    assert_true(status->done_bytes >= last->done_bytes);
    assert_true(status->done_bytes <= status->todo_bytes);
    assert_true(status->todo_bytes <= status->scanned_bytes);
    assert_true(status->scanned_bytes <= status->lun_bytes);
    *last = *status;
}

static void progress_ends_where_the_work_does(void **state)
{
    struct fixture *fixture = *state;
    struct copy_status last = {0};

    fake_fill(fixture->primary, 0, 1000, 1);
    fixture->params.control.progress = note_status;
    fixture->params.control.opaque = &last;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(last.lun_bytes, BLOCKS * 512);
    assert_int_equal(last.scanned_bytes, BLOCKS * 512);
    assert_int_equal(last.todo_bytes, 1000 * 512);
    assert_int_equal(last.done_bytes, 1000 * 512);
}

static void random_map(struct fake_endpoint *fake, uint8_t seed)
{
    uint64_t lba = 0;

    while (lba < fake->base.info.blocks) {
        uint64_t run_blocks = 1 + (uint64_t)random() % 200;

        if (run_blocks > fake->base.info.blocks - lba)
            run_blocks = fake->base.info.blocks - lba;
        if (random() % 2)
            fake_fill(fake, lba, run_blocks, seed);
        else
            fake_set_status(fake, lba, run_blocks,
                            random() % 4 ? EXTENT_DEALLOCATED : EXTENT_ANCHORED);
        lba += run_blocks;
    }
}

/* What each block of the secondary must be afterwards, from what both sides were before. */
static void expect_model(struct fixture *fixture, const uint8_t *primary_status)
{
    const struct fake_endpoint *primary = fixture->primary, *secondary = fixture->secondary;
    static const uint8_t zeros[512];

    for (uint64_t lba = 0; lba < BLOCKS; lba++) {
        const uint8_t *expected =
            primary_status[lba] == EXTENT_MAPPED ? primary->data + lba * 512 : zeros;

        assert_memory_equal(secondary->data + lba * 512, expected, 512);
        if (primary_status[lba] != EXTENT_MAPPED && secondary->base.info.can_unmap &&
            secondary->base.info.unmapped_reads_zeros)
            assert_int_equal(secondary->status[lba], EXTENT_DEALLOCATED);
    }
}

static void random_maps_of_both_sides_end_alike(void **state)
{
    struct fixture *fixture = *state;

    srandom(11);
    for (int round = 0; round < 60; round++) {
        struct endpoint_info *info = &fixture->secondary->base.info;

        info->unmapped_reads_zeros = random() % 3 != 0;
        info->can_unmap = random() % 3 != 0;
        info->can_map = random() % 4 != 0;
        fixture->primary->base.info.unmapped_reads_zeros = random() % 2;
        fixture->primary->extents_per_map = (unsigned)random() % 8;
        fixture->secondary->extents_per_map = (unsigned)random() % 8;
        fixture->primary->shuffle = fixture->secondary->shuffle = true;
        fixture->primary->answers_per_wait = (unsigned)random() % 4;
        fixture->secondary->answers_per_wait = (unsigned)random() % 4;
        fixture->params.control.queue_depth = 1 + (unsigned)random() % 40;
        random_map(fixture->primary, (uint8_t)round);
        random_map(fixture->secondary, (uint8_t)(round + 77));
        assert_int_equal(run(fixture), 0);
        expect_model(fixture, fixture->primary->status);
    }
}

/* 64 TiB in extents of 32 MiB. */
static void every_other_stretch(uint64_t lba, struct extent *ret)
{
    uint64_t stretch = lba >> 16;

    *ret =
        (struct extent){stretch << 16, 1 << 16, stretch % 2 ? EXTENT_MAPPED : EXTENT_DEALLOCATED};
}

static void nothing_mapped(uint64_t lba, struct extent *ret)
{
    (void)lba;
    *ret = (struct extent){0, 1ULL << 37, EXTENT_DEALLOCATED};
}

static void a_huge_lun_of_many_extents_is_planned_to_the_end(void **state)
{
    struct fake_endpoint *primary = fake_create_huge("huge", 1ULL << 37, every_other_stretch);
    struct fake_endpoint *secondary = fake_create_huge("empty", 1ULL << 37, nothing_mapped);
    const struct sync_params params = {.primary = &primary->base,
                                       .secondary = &secondary->base,
                                       .dry_run = true};
    struct sync_result result;
    struct errmsg error;

    (void)state;
    primary->extents_per_map = 4096;
    assert_int_equal(sync_run(&params, &result, &error), 0);
    assert_int_equal(result.extents, 1 << 20);
    assert_int_equal(result.mapped_bytes, 1ULL << 45);
    assert_int_equal(result.to_copy_bytes, 1ULL << 45);
    assert_int_equal(fake_count(primary, ENDPOINT_MAP), (2 << 20) / 4096);
    endpoint_close(&primary->base);
    endpoint_close(&secondary->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_mapped_blocks_are_read_and_written),
        TEST(what_only_the_secondary_has_is_unmapped),
        TEST(zeros_are_written_where_unmapped_promises_nothing),
        TEST(a_secondary_without_a_map_is_emptied_everywhere_else),
        TEST(a_secondary_seen_to_be_zero_is_not_zeroed_again),
        TEST(a_full_copy_asks_the_primary_nothing),
        TEST(the_end_of_a_larger_secondary_is_left_alone),
        TEST(a_dry_run_only_asks),
        TEST(pieces_fit_the_smaller_limit_and_end_on_its_multiples),
        TEST(pieces_end_where_both_sides_like_to_transfer),
        TEST(writes_are_as_long_as_a_burst_of_the_secondary),
        TEST(unmapping_is_cut_where_the_secondary_can_give_back),
        TEST(the_queue_is_kept_full_but_not_fuller),
        TEST(writes_and_unmaps_share_a_budget),
        TEST(a_deep_queue_has_smaller_requests),
        TEST(the_map_is_asked_for_to_the_end),
        TEST(an_extent_over_many_replies_counts_once),
        TEST(the_flush_comes_after_the_last_write),
        TEST(the_rate_is_kept),
        TEST(progress_ends_where_the_work_does),
        TEST(random_maps_of_both_sides_end_alike),
        TEST(a_huge_lun_of_many_extents_is_planned_to_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
