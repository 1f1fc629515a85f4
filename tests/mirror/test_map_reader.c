/* SPDX-License-Identifier: Apache-2.0 */
/* The maps of both sides, read ahead in bounded memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buffers.h"
#include "checked.h"
#include "fake_endpoint.h"
#include "job_queue.h"
#include "map_reader.h"

#define HUGE_BLOCKS (1ULL << 37)

/* Extents of one MiB all over. */
static void every_other_mib(uint64_t lba, struct extent *ret)
{
    uint64_t stretch = lba >> 11;

    *ret =
        (struct extent){stretch << 11, 1 << 11, stretch % 2 ? EXTENT_MAPPED : EXTENT_DEALLOCATED};
}

/* The same, in extents of 16 MiB. */
static void every_other_16_mib(uint64_t lba, struct extent *ret)
{
    uint64_t stretch = lba >> 15;

    *ret =
        (struct extent){stretch << 15, 1 << 15, stretch % 2 ? EXTENT_MAPPED : EXTENT_DEALLOCATED};
}

static void what_is_known_ahead_is_bounded(void **state)
{
    enum { PAGE = 4096, WINDOWS = 300 };
    struct fake_endpoint *primary = fake_create_huge("primary", HUGE_BLOCKS, every_other_mib);
    struct fake_endpoint *secondary =
        fake_create_huge("secondary", HUGE_BLOCKS, every_other_16_mib);
    struct endpoint *both[] = {&primary->base, &secondary->base};
    struct map_pair pair;
    uint64_t end;

    (void)state;
    primary->extents_per_map = PAGE;
    secondary->extents_per_map = PAGE;
    assert_int_equal(map_pair_init(&pair, both[0], MAP_ASK, both[1], MAP_ASK), 0);
    for (int windows = 0; windows < WINDOWS;) {
        map_pair_pump(&pair);
        if (map_pair_busy(&pair))
            endpoint_wait(both, 2, -1);
        assert_true(pair.primary.list.count <= MAP_READER_EXTENTS + PAGE);
        assert_true(pair.secondary.list.count <= MAP_READER_EXTENTS + PAGE);
        if (!map_pair_window(&pair, &end))
            continue;
        assert_true(end > pair.planned);
        map_pair_take(&pair, end);
        windows++;
    }
    while (map_pair_busy(&pair))
        endpoint_wait(both, 2, -1);
    map_pair_free(&pair);
    endpoint_close(&primary->base);
    endpoint_close(&secondary->base);
}

static void questions_stop_when_enough_is_known(void **state)
{
    struct fake_endpoint *fake = fake_create_huge("fake", HUGE_BLOCKS, every_other_mib);
    struct endpoint *endpoint = &fake->base;
    struct map_reader reader;

    (void)state;
    fake->extents_per_map = 1000;
    assert_int_equal(map_reader_init(&reader, endpoint, HUGE_BLOCKS, MAP_ASK), 0);
    for (map_reader_pump(&reader); map_reader_busy(&reader); map_reader_pump(&reader))
        endpoint_wait(&endpoint, 1, -1);
    assert_int_equal(fake_count(fake, ENDPOINT_MAP), MAP_READER_EXTENTS / 1000 + 1);
    map_reader_consume(&reader, reader.covered);
    assert_int_equal(reader.list.count, 0);
    map_reader_pump(&reader);
    assert_true(map_reader_busy(&reader));
    endpoint_wait(&endpoint, 1, -1);
    map_reader_free(&reader);
    endpoint_close(endpoint);
}

static void jobs_come_out_in_pieces_in_the_order_they_went_in(void **state)
{
    struct job_queue queue = {0};
    uint64_t next_in = 0, next_out = 0;

    (void)state;
    srandom(3);
    while (next_out < 100000) {
        if (random() % 2) {
            struct job job = {JOB_COPY, next_in, 1 + (uint64_t)random() % 20, 0};

            assert_int_equal(job_queue_push(&queue, &job), 0);
            next_in += job.blocks;
        } else if (!job_queue_empty(&queue)) {
            const struct job *first = job_queue_first(&queue);
            uint64_t blocks = 1 + (uint64_t)random() % first->blocks;

            assert_int_equal(first->lba, next_out);
            job_queue_take(&queue, blocks);
            next_out += blocks;
        }
    }
    job_queue_free(&queue);
}

/* Jobs that do not touch each other stay apart, however the ring is turned. */
static void jobs_that_do_not_touch_stay_apart(void **state)
{
    struct job_queue queue = {0};
    uint64_t in = 0, out = 0;

    (void)state;
    srandom(4);
    while (out < 20000) {
        const struct job *first;

        if (random() % 100 < 55) {
            struct job job = {JOB_ZERO, in++ * 10, 5, 0};

            assert_int_equal(job_queue_push(&queue, &job), 0);
        } else if ((first = job_queue_first(&queue))) {
            assert_int_equal(first->lba, out++ * 10);
            assert_int_equal(first->blocks, 5);
            job_queue_take(&queue, 5);
        }
        assert_int_equal(queue.count, in - out);
    }
    job_queue_free(&queue);
}

static void pieces_end_on_boundaries(void **state)
{
    const struct job job = {JOB_COPY, 5, 1000, 0};
    const struct job at_the_top = {JOB_ZERO, UINT64_MAX - 1000, 1000, 0};

    (void)state;
    assert_int_equal(job_piece_blocks(&job, 2000, 16, 0), 1000);
    assert_int_equal(job_piece_blocks(&job, 16, 16, 0), 11);
    assert_int_equal(job_piece_blocks(&job, 100, 16, 0), 91);
    assert_int_equal(job_piece_blocks(&job, 100, 16, 7), 98);
    assert_int_equal(job_piece_blocks(&job, 100, 16, 23), 98);
    assert_int_equal(job_piece_blocks(&job, 3, 16, 0), 3);
    assert_int_equal(job_piece_blocks(&job, 100, 1, 0), 100);
    assert_int_equal((at_the_top.lba + job_piece_blocks(&at_the_top, 100, 8, 0)) % 8, 0);
}

static void chunks_keep_to_every_limit(void **state)
{
    (void)state;
    assert_int_equal(buffers_chunk_blocks(512, UINT32_MAX, UINT32_MAX, 1), 512);
    assert_int_equal(buffers_chunk_blocks(4096, UINT32_MAX, UINT32_MAX, 1), 64);
    assert_int_equal(buffers_chunk_blocks(512, 64, 128, 1), 64);
    assert_int_equal(buffers_chunk_blocks(512, 128, 1, 1), 1);
    assert_int_equal(buffers_chunk_blocks(1 << 20, 128, 128, 1), 1);
    assert_int_equal(buffers_chunk_blocks(512, UINT32_MAX, UINT32_MAX, 128), 512);
    assert_int_equal(buffers_chunk_blocks(512, UINT32_MAX, UINT32_MAX, 129), 256);
    assert_int_equal(buffers_chunk_blocks(4096, UINT32_MAX, UINT32_MAX, 2048), 4);
}

static void an_optimum_is_a_limit_unless_it_makes_no_sense(void **state)
{
    struct endpoint_info info = {.block_size = 512, .max_transfer_blocks = 1024};

    (void)state;
    assert_int_equal(buffers_limit_blocks(&info), 1024);
    info.optimal_transfer_blocks = 128;
    assert_int_equal(buffers_limit_blocks(&info), 128);
    info.optimal_transfer_blocks = 127; /* less than 64 KiB */
    assert_int_equal(buffers_limit_blocks(&info), 1024);
    info.optimal_transfer_blocks = 4096;
    assert_int_equal(buffers_limit_blocks(&info), 1024);
}

static void writes_take_the_fewest_round_trips(void **state)
{
    struct endpoint_info info = {.block_size = 512, .max_transfer_blocks = 1024};

    (void)state;
    assert_int_equal(buffers_write_limit_blocks(&info), 1024);
    info.max_burst_bytes = 131072;
    assert_int_equal(buffers_write_limit_blocks(&info), 256);
    info.unsolicited_bytes = 65536;
    assert_int_equal(buffers_write_limit_blocks(&info), 128);
    info.unsolicited_bytes = 65535; /* a request of its own for each is no bargain */
    assert_int_equal(buffers_write_limit_blocks(&info), 256);
    info.max_burst_bytes = 8192;
    assert_int_equal(buffers_write_limit_blocks(&info), 128);
    info.max_burst_bytes = 1 << 20;
    assert_int_equal(buffers_write_limit_blocks(&info), 1024);
    info.optimal_transfer_blocks = 512;
    assert_int_equal(buffers_write_limit_blocks(&info), 512);
    info.max_burst_bytes = 131072;
    info.block_size = 1 << 20;
    assert_int_equal(buffers_write_limit_blocks(&info), 1);
    assert_int_equal(buffers_limit_blocks(&info), 512); /* reads have no bursts to keep to */
}

static unsigned most_in_flight(struct fake_endpoint *fake)
{
    return fake->high_water[ENDPOINT_MAP];
}

/* All of the map is as the LUN's; the questions it took. */
static size_t expect_map(struct fake_endpoint *fake, uint64_t blocks)
{
    struct endpoint *endpoint = &fake->base;
    size_t before = fake_count(fake, ENDPOINT_MAP);
    struct map_reader reader;
    uint64_t at = 0;

    assert_int_equal(map_reader_init(&reader, endpoint, blocks, MAP_ASK), 0);
    while (at < blocks) {
        map_reader_pump(&reader);
        if (map_reader_busy(&reader))
            assert_int_equal(endpoint_wait(&endpoint, 1, -1), 0);
        assert_int_equal(reader.error, 0);
        assert_true(reader.list.count <= MAP_READER_EXTENTS + MAP_AHEAD_ASKERS * MAP_AHEAD_FOUND);
        while (at < reader.covered) {
            const struct extent *told = extent_list_find(&reader.list, at);
            struct extent real = {0};

            assert_non_null(told);
            fake->map_extent(at, &real);
            assert_int_equal(told->status, real.status);
            at = min_u64(told->start + told->length, real.start + real.length);
        }
        map_reader_consume(&reader, at);
    }
    assert_false(reader.gave_up);
    assert_false(map_reader_busy(&reader));
    map_reader_free(&reader);
    return fake_count(fake, ENDPOINT_MAP) - before;
}

/* Extents of 8 blocks in the first GiB, then of one GiB. */
static void fine_then_coarse(uint64_t lba, struct extent *ret)
{
    unsigned shift = lba < 1 << 21 ? 3 : 21;
    uint64_t number = lba >> shift;

    *ret = (struct extent){number << shift, UINT64_C(1) << shift,
                           number % 2 ? EXTENT_MAPPED : EXTENT_DEALLOCATED};
}

static void one_extent_a_reply_is_asked_for_side_by_side(void **state)
{
    enum { EXTENTS = 20000 };
    struct fake_endpoint *fake = fake_create_huge("fake", HUGE_BLOCKS, every_other_mib);
    size_t questions;

    (void)state;
    fake->extents_per_map = 1;
    fake->shuffle = true;
    questions = expect_map(fake, (uint64_t)EXTENTS << 11);
    assert_int_equal(most_in_flight(fake), MAP_AHEAD_ASKERS);
    assert_in_range(questions, EXTENTS, EXTENTS + EXTENTS / 10);
    endpoint_close(&fake->base);
}

static void regions_grow_where_extents_are_long(void **state)
{
    enum { FINE = (1 << 21) / 8, COARSE = 4096 };
    struct fake_endpoint *fake = fake_create_huge("fake", HUGE_BLOCKS, fine_then_coarse);
    size_t questions;

    (void)state;
    fake->extents_per_map = 1;
    questions = expect_map(fake, (uint64_t)COARSE << 21);
    assert_in_range(questions, FINE + COARSE - 1, FINE + COARSE + FINE / 20);
    endpoint_close(&fake->base);
}

static void replies_of_many_extents_are_asked_for_one_by_one(void **state)
{
    struct fake_endpoint *fake = fake_create_huge("fake", HUGE_BLOCKS, every_other_mib);

    (void)state;
    fake->extents_per_map = 2;
    assert_int_equal(expect_map(fake, 2000 << 11), 1000);
    assert_int_equal(most_in_flight(fake), 1);
    endpoint_close(&fake->base);
}

/* What was told before the defect holds, what comes after it counts as mapped. */
static void a_defect_met_ahead_counts_from_where_it_is(void **state)
{
    struct fake_endpoint *fake = fake_create("fake", 1 << 16);
    struct endpoint *endpoint = &fake->base;
    struct map_reader reader;

    (void)state;
    for (uint64_t lba = 0; lba < 1 << 16; lba += 16)
        fake_set_status(fake, lba, 8, EXTENT_MAPPED);
    fake->extents_per_map = 1;
    fake->defect = FAKE_MAP_EMPTY;
    fake->defect_lba = 5000;
    assert_int_equal(map_reader_init(&reader, endpoint, 1 << 16, MAP_ASK), 0);
    for (map_reader_pump(&reader); map_reader_busy(&reader); map_reader_pump(&reader))
        assert_int_equal(endpoint_wait(&endpoint, 1, -1), 0);
    assert_true(reader.gave_up);
    assert_int_equal(reader.gave_up_lba, 5000);
    for (uint64_t lba = 0; lba < 1 << 16; lba++)
        assert_int_equal(extent_list_find(&reader.list, lba)->status == EXTENT_MAPPED,
                         lba >= 5000 || lba % 16 < 8);
    map_reader_free(&reader);
    endpoint_close(endpoint);
}

static void limit_of(struct block_set *limit, uint64_t blocks)
{
    block_set_init(limit, blocks);
    for (uint64_t lba = 0; lba < blocks; lba += 16)
        assert_int_equal(block_set_add(limit, lba, min_u64(8, blocks - lba)), 0);
    assert_int_equal(block_set_settle(limit), 0);
}

/* All that the reader says of a LUN, checked block by block against both maps. */
static void expect_both(struct fake_endpoint *fake, enum map_source source, bool broken)
{
    struct map_reader reader;
    struct block_set limit = {0};
    uint64_t blocks = fake->base.info.blocks, at = 0;

    limit_of(&limit, blocks);
    assert_int_equal(map_reader_init(&reader, &fake->base, blocks, source), 0);
    map_reader_limit(&reader, &limit);
    while (at < blocks) {
        struct endpoint *endpoint = &fake->base;

        map_reader_pump(&reader);
        if (map_reader_busy(&reader))
            assert_int_equal(endpoint_wait(&endpoint, 1, -1), 0);
        assert_int_equal(reader.error, 0);
        for (; at < reader.covered; at++) {
            const struct extent *extent = extent_list_find(&reader.list, at);
            bool asked = source == MAP_ASK && !(reader.gave_up && reader.gave_up_lba <= at);
            bool mapped = at / 8 % 2 == 0 && (!asked || fake->status[at] == EXTENT_MAPPED);

            assert_non_null(extent);
            assert_int_equal(extent->status == EXTENT_MAPPED, mapped);
        }
        assert_true(reader.list.count <= MAP_READER_EXTENTS);
        map_reader_consume(&reader, at);
    }
    assert_int_equal(reader.gave_up, broken);
    map_reader_free(&reader);
    block_set_free(&limit);
}

static void what_the_limit_does_not_have_is_not_mapped(void **state)
{
    struct fake_endpoint *fake = fake_create("fake", 1 << 20);

    (void)state;
    fake->extents_per_map = 7;
    for (uint64_t lba = 0; lba < 4096; lba += 20)
        fake_set_status(fake, lba, 10, EXTENT_MAPPED);
    expect_both(fake, MAP_ALL_MAPPED, false);
    assert_int_equal(fake_count(fake, ENDPOINT_MAP), 0);
    expect_both(fake, MAP_ASK, false);
    fake->defect = FAKE_MAP_GAP;
    fake->defect_lba = 1000;
    expect_both(fake, MAP_ASK, true);
    endpoint_close(&fake->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_ahead_is_bounded),
        cmocka_unit_test(questions_stop_when_enough_is_known),
        cmocka_unit_test(jobs_come_out_in_pieces_in_the_order_they_went_in),
        cmocka_unit_test(jobs_that_do_not_touch_stay_apart),
        cmocka_unit_test(pieces_end_on_boundaries),
        cmocka_unit_test(chunks_keep_to_every_limit),
        cmocka_unit_test(an_optimum_is_a_limit_unless_it_makes_no_sense),
        cmocka_unit_test(writes_take_the_fewest_round_trips),
        cmocka_unit_test(one_extent_a_reply_is_asked_for_side_by_side),
        cmocka_unit_test(regions_grow_where_extents_are_long),
        cmocka_unit_test(replies_of_many_extents_are_asked_for_one_by_one),
        cmocka_unit_test(a_defect_met_ahead_counts_from_where_it_is),
        cmocka_unit_test(what_the_limit_does_not_have_is_not_mapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
