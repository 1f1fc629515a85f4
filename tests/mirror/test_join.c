/* SPDX-License-Identifier: Apache-2.0 */
/* Extents with small gaps between them, moved by fewer commands than there are extents. */
#include <errno.h>
#include <string.h>

#include "block_set.h"
#include "range_set.h"
#include "sync_fixture.h"

#define GAP_BLOCKS 32 /* the longest that is read */
#define BAD_MAX    4

/* Exactly these requests, in this order. */
static void expect_log(const struct fake_endpoint *fake, enum endpoint_op op,
                       const struct fake_io *expected, size_t count)
{
    size_t at = 0;

    for (size_t i = 0; i < fake->log_count; i++) {
        if (fake->log[i].op != op)
            continue;
        assert_true(at < count);
        assert_int_equal(fake->log[i].lba, expected[at].lba);
        assert_int_equal(fake->log[i].blocks, expected[at].blocks);
        at++;
    }
    assert_int_equal(at, count);
}

#define READS(fixture, ...)                                                              \
    expect_log((fixture)->primary, ENDPOINT_READ, (const struct fake_io[]){__VA_ARGS__}, \
               sizeof((const struct fake_io[]){__VA_ARGS__}) / sizeof(struct fake_io))
#define WRITES(fixture, ...)                                                                \
    expect_log((fixture)->secondary, ENDPOINT_WRITE, (const struct fake_io[]){__VA_ARGS__}, \
               sizeof((const struct fake_io[]){__VA_ARGS__}) / sizeof(struct fake_io))
#define READ(lba, blocks)          \
    {                              \
        ENDPOINT_READ, lba, blocks \
    }
#define WRITE(lba, blocks)          \
    {                               \
        ENDPOINT_WRITE, lba, blocks \
    }

static void fill_three(struct fixture *fixture)
{
    fake_fill(fixture->primary, 0, 8, 1);
    fake_fill(fixture->primary, 16, 8, 1);
    fake_fill(fixture->primary, 32, 8, 1);
}

static void extents_near_each_other_are_read_by_one_command_and_written_alone(void **state)
{
    struct fixture *fixture = *state;

    fill_three(fixture);
    assert_int_equal(run(fixture), 0);
    READS(fixture, READ(0, 40));
    WRITES(fixture, WRITE(0, 8), WRITE(16, 8), WRITE(32, 8));
    assert_int_equal(fixture->result.read_bytes, 24 * 512);
    assert_int_equal(fixture->result.gap_bytes, 16 * 512);
    assert_int_equal(fixture->result.written_bytes, 24 * 512);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
    assert_memory_equal(fixture->primary->status, fixture->secondary->status, BLOCKS);
}

static void what_is_read_of_a_gap_goes_nowhere(void **state)
{
    struct fixture *fixture = *state;

    fill_three(fixture);
    memset(fixture->primary->data + 8 * 512, 0xA5, 8 * 512);
    assert_int_equal(run(fixture), 0);
    READS(fixture, READ(0, 40));
    for (size_t i = 8 * 512; i < 16 * 512; i++)
        assert_int_equal(fixture->secondary->data[i], 0);
    assert_int_equal(fixture->secondary->status[8], EXTENT_DEALLOCATED);
}

static void a_gap_may_be_so_long_and_no_longer(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->primary, 0, 4, 1);
    fake_fill(fixture->primary, 4 + GAP_BLOCKS, 4, 1);
    fake_fill(fixture->primary, 200, 4, 1);
    fake_fill(fixture->primary, 204 + GAP_BLOCKS + 1, 4, 1);
    assert_int_equal(run(fixture), 0);
    READS(fixture, READ(0, 8 + GAP_BLOCKS), READ(200, 4), READ(204 + GAP_BLOCKS + 1, 4));
}

static void no_command_is_longer_for_it_than_one_may_be(void **state)
{
    struct fixture *fixture = *state;

    for (uint64_t lba = 0; lba < 256; lba += 16)
        fake_fill(fixture->primary, lba, 8, 1);
    fake_fill(fixture->primary, 300, 100, 1); /* cut at 320 and 384 */
    fake_fill(fixture->primary, 402, 40, 1);
    fake_fill(fixture->primary, 444, 40, 1);
    assert_int_equal(run(fixture), 0);
    READS(fixture, READ(0, 56), READ(64, 56), READ(128, 56), READ(192, 56), READ(300, 20),
          READ(320, 64), READ(384, 58), READ(444, 40));
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void a_rate_is_not_spent_on_gaps(void **state)
{
    struct fixture *fixture = *state;

    fixture->params.control.rate_bytes = 1 << 30;
    fill_three(fixture);
    assert_int_equal(run(fixture), 0);
    READS(fixture, READ(0, 8), READ(16, 8), READ(32, 8));
    assert_int_equal(fixture->result.gap_bytes, 0);
}

static void an_error_in_a_gap_does_not_count(void **state)
{
    static const uint64_t bad[] = {12, UINT64_MAX};
    struct fixture *fixture = *state;

    fixture->primary->bad = bad;
    fill_three(fixture);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fake_count(fixture->primary, ENDPOINT_READ), 4);
    assert_int_equal(fixture->result.bad_blocks, 0);
    assert_int_equal(fixture->result.read_bytes, 24 * 512);
    assert_int_equal(fixture->result.gap_bytes, 0);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void an_error_in_one_extent_spoils_no_other(void **state)
{
    static const uint64_t bad[] = {12, 17, UINT64_MAX};
    struct fixture *fixture = *state;

    fixture->primary->bad = bad;
    fixture->params.control.skip_bad = 1;
    fill_three(fixture);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.bad_blocks, 1);
    assert_int_equal(fixture->result.first_bad, 17);
    memset(fixture->primary->data + 17 * 512, 0, 512);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void an_error_in_an_extent_ends_it_when_none_is_allowed(void **state)
{
    static const uint64_t bad[] = {17, UINT64_MAX};
    struct fixture *fixture = *state;

    fixture->primary->bad = bad;
    fill_three(fixture);
    assert_int_equal(run(fixture), -EIO);
    assert_non_null(strstr(fixture->error.text, "primary: op 0 at 16 failed"));
}

static void a_target_that_goes_away_is_not_asked_again(void **state)
{
    struct fixture *fixture = *state;

    fill_three(fixture);
    fixture->primary->fault = (struct fake_fault){ENDPOINT_READ, 0, -ENOTCONN};
    assert_int_equal(run(fixture), -ENOTCONN);
    assert_int_equal(fake_count(fixture->primary, ENDPOINT_READ), 1);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_WRITE), 0);
}

/* 3 of 8 blocks, a gap of 2, 3 more; what the primary holds in the gap is not what it promises. */
static void fill_a_granule(struct fixture *fixture)
{
    fixture->secondary->base.info.unmap_granularity_blocks = 8;
    fake_fill(fixture->primary, 0, 3, 1);
    fake_fill(fixture->primary, 5, 3, 1);
    memset(fixture->primary->data + 3 * 512, 0xA5, 2 * 512);
}

static void a_gap_that_is_allocated_anyway_is_written_with_zeros(void **state)
{
    struct fixture *fixture = *state;

    fill_a_granule(fixture);
    assert_int_equal(run(fixture), 0);
    READS(fixture, READ(0, 8));
    WRITES(fixture, WRITE(0, 8));
    assert_int_equal(fixture->result.written_bytes, 6 * 512);
    memset(fixture->primary->data + 3 * 512, 0, 2 * 512);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

static void expect_apart(struct fixture *fixture)
{
    assert_int_equal(run(fixture), 0);
    WRITES(fixture, WRITE(0, 3), WRITE(5, 3));
}

static void a_gap_that_could_be_had_for_nothing_is_not_written(void **state)
{
    struct fixture *fixture = *state;

    fill_a_granule(fixture);
    fixture->secondary->base.info.unmap_granularity_blocks = 2;
    fixture->secondary->base.info.unmap_alignment_blocks = 1;
    expect_apart(fixture);
}

static void a_gap_that_the_secondary_has_mapped_is_emptied_as_ever(void **state)
{
    struct fixture *fixture = *state;

    fill_a_granule(fixture);
    fake_fill(fixture->secondary, 3, 1, 9);
    expect_apart(fixture);
    expect_ranges(fixture->secondary, ENDPOINT_ZERO, "3+1");
}

static void without_a_promise_of_the_primary_nothing_is_known_of_a_gap(void **state)
{
    struct fixture *fixture = *state;

    fill_a_granule(fixture);
    fixture->primary->base.info.unmapped_reads_zeros = false;
    expect_apart(fixture);
}

static void without_a_promise_of_the_secondary_a_gap_is_zeroed(void **state)
{
    struct fixture *fixture = *state;

    fill_a_granule(fixture);
    fixture->secondary->base.info.unmapped_reads_zeros = false;
    expect_apart(fixture);
    expect_ranges(fixture->secondary, ENDPOINT_ZERO, "3+2 8+4088");
}

static void what_tables_call_free_promises_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct block_set allocated;

    fill_a_granule(fixture);
    fixture->params.allocated = &allocated;
    fixture->params.keep_free = true;
    block_set_init(&allocated, BLOCKS);
    assert_int_equal(block_set_add(&allocated, 0, 3), 0);
    assert_int_equal(block_set_add(&allocated, 5, BLOCKS - 5), 0);
    assert_int_equal(block_set_settle(&allocated), 0);
    expect_apart(fixture);
    block_set_free(&allocated);
}

static void what_is_read_back_or_looked_at_is_written_alone(void **state)
{
    struct fixture *fixture = *state;

    fill_a_granule(fixture);
    fixture->params.read_back = true;
    expect_apart(fixture);
    fixture->params.read_back = false;
    fixture->params.control.detect_zeroes = true;
    fixture->secondary->log_count = 0;
    fake_set_status(fixture->secondary, 0, BLOCKS, EXTENT_DEALLOCATED);
    expect_apart(fixture);
}

/* The earlier run may have ended anywhere: what it did is no gap. */
static void what_an_earlier_run_did_is_not_written_over(void **state)
{
    struct fixture *fixture = *state;
    struct range_set done = {0};

    fill_a_granule(fixture);
    fixture->params.done = &done;
    assert_int_equal(range_set_add(&done, 5, 1), 0);
    fake_set_status(fixture->secondary, 5, 1, EXTENT_MAPPED); /* or it is not taken as done */
    assert_int_equal(run(fixture), 0);
    WRITES(fixture, WRITE(0, 3), WRITE(6, 2));
    range_set_free(&done);
    fixture->secondary->log_count = 0;
    fake_set_status(fixture->secondary, 0, BLOCKS, EXTENT_DEALLOCATED);
    assert_int_equal(range_set_add(&done, 2, 1), 0);
    fake_set_status(fixture->secondary, 2, 1, EXTENT_MAPPED);
    assert_int_equal(run(fixture), 0);
    WRITES(fixture, WRITE(0, 2), WRITE(5, 3));
    range_set_free(&done);
}

static void random_map(struct fake_endpoint *fake, uint8_t seed, unsigned mapped_of_8)
{
    uint64_t lba = 0;

    while (lba < BLOCKS) {
        uint64_t blocks = 1 + (uint64_t)random() % (random() % 8 ? 12 : 120);

        if (blocks > BLOCKS - lba)
            blocks = BLOCKS - lba;
        if ((unsigned)random() % 8 < mapped_of_8)
            fake_fill(fake, lba, blocks, seed);
        else
            fake_set_status(fake, lba, blocks, random() % 4 ? EXTENT_DEALLOCATED : EXTENT_ANCHORED);
        lba += blocks;
    }
}

/* What the copy must lead to, block by block. */
struct model {
    struct fixture *fixture;
    uint64_t bad[BAD_MAX + 1];
    unsigned bad_copied;
};

static bool is_bad(const struct model *model, uint64_t lba)
{
    for (const uint64_t *bad = model->bad; *bad != UINT64_MAX; bad++)
        if (*bad == lba)
            return true;
    return false;
}

static void expect_block(const struct model *model, uint64_t lba)
{
    const struct fake_endpoint *primary = model->fixture->primary;
    static const uint8_t zeros[512];
    bool copied = primary->status[lba] == EXTENT_MAPPED && !is_bad(model, lba);

    assert_memory_equal(model->fixture->secondary->data + lba * 512,
                        copied ? primary->data + lba * 512 : zeros, 512);
}

/* A neighbour in the same unit of the secondary is mapped on the primary. */
static bool is_in_use(const struct fixture *fixture, uint64_t lba)
{
    const struct endpoint_info *info = &fixture->secondary->base.info;
    uint64_t unit = info->unmap_granularity_blocks;
    uint64_t shift = unit - info->unmap_alignment_blocks % unit;

    for (uint64_t other = lba < unit ? 0 : lba - unit; other < lba + unit && other < BLOCKS;
         other++)
        if ((other + shift) / unit == (lba + shift) / unit &&
            fixture->primary->status[other] == EXTENT_MAPPED)
            return true;
    return false;
}

/* No block is told of before it is right, and a bad one never. */
static int check_done(void *opaque, const struct range_set *done, struct errmsg *err)
{
    const struct model *model = opaque;

    (void)err;
    for (size_t i = 0; i < done->count; i++)
        for (uint64_t lba = range_set_at(done, i)->start; lba < range_set_at(done, i)->end; lba++) {
            expect_block(model, lba);
            assert_false(is_bad(model, lba) &&
                         model->fixture->primary->status[lba] == EXTENT_MAPPED);
        }
    return 0;
}

static void choose_bad(struct model *model)
{
    size_t count = (size_t)random() % (BAD_MAX + 1);

    model->bad_copied = 0;
    for (size_t i = 0; i < count; i++)
        model->bad[i] = i * (BLOCKS / BAD_MAX) + (uint64_t)random() % (BLOCKS / BAD_MAX);
    model->bad[count] = UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        model->bad_copied += model->fixture->primary->status[model->bad[i]] == EXTENT_MAPPED;
    model->fixture->primary->bad = model->bad;
}

static void choose_sides(struct fixture *fixture, int round)
{
    struct endpoint_info *info = &fixture->secondary->base.info;

    info->unmapped_reads_zeros = random() % 4 != 0;
    info->can_unmap = random() % 4 != 0;
    info->can_map = random() % 8 != 0;
    info->unmap_granularity_blocks = 1 + (uint32_t)random() % 16;
    info->unmap_alignment_blocks = (uint32_t)random() % 20;
    fixture->primary->base.info.unmapped_reads_zeros = random() % 4 != 0;
    fixture->primary->shuffle = fixture->secondary->shuffle = true;
    fixture->primary->extents_per_map = (unsigned)random() % 8;
    fixture->primary->answers_per_wait = (unsigned)random() % 4;
    fixture->secondary->answers_per_wait = (unsigned)random() % 4;
    fixture->secondary->log_count = 0;
    fixture->params.control.queue_depth = random() % 2 ? 0 : 1 + (unsigned)random() % 40;
    fixture->params.control.detect_zeroes = random() % 8 == 0;
    fixture->params.read_back = random() % 4 == 0;
    random_map(fixture->primary, (uint8_t)round, 4);
    random_map(fixture->secondary, (uint8_t)(round + 77), random() % 2 ? 1 : 4);
}

static void random_maps_with_small_gaps_and_faults_end_exact(void **state)
{
    struct fixture *fixture = *state;
    struct model model = {.fixture = fixture};
    uint64_t joined = 0;

    srandom(23);
    fixture->params.checkpoint = check_done;
    fixture->params.checkpoint_opaque = &model;
    fixture->params.control.skip_bad = UINT64_MAX;
    for (int round = 0; round < 20; round++) {
        const struct endpoint_info *info = &fixture->secondary->base.info;

        choose_sides(fixture, round);
        choose_bad(&model);
        assert_int_equal(run(fixture), 0);
        assert_int_equal(fixture->result.bad_blocks, model.bad_copied);
        assert_int_equal(fixture->result.read_bytes, fixture->result.mapped_bytes);
        joined += fixture->result.gap_bytes;
        fake_ranges(fixture->secondary, ENDPOINT_WRITE); /* no two overlap */
        for (uint64_t lba = 0; lba < BLOCKS; lba++) {
            expect_block(&model, lba);
            if (info->can_unmap && info->unmapped_reads_zeros &&
                fixture->primary->status[lba] != EXTENT_MAPPED && !is_in_use(fixture, lba))
                assert_int_equal(fixture->secondary->status[lba], EXTENT_DEALLOCATED);
        }
    }
    assert_true(joined > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(extents_near_each_other_are_read_by_one_command_and_written_alone),
        TEST(what_is_read_of_a_gap_goes_nowhere),
        TEST(a_gap_may_be_so_long_and_no_longer),
        TEST(no_command_is_longer_for_it_than_one_may_be),
        TEST(a_rate_is_not_spent_on_gaps),
        TEST(an_error_in_a_gap_does_not_count),
        TEST(an_error_in_one_extent_spoils_no_other),
        TEST(an_error_in_an_extent_ends_it_when_none_is_allowed),
        TEST(a_target_that_goes_away_is_not_asked_again),
        TEST(a_gap_that_is_allocated_anyway_is_written_with_zeros),
        TEST(a_gap_that_could_be_had_for_nothing_is_not_written),
        TEST(a_gap_that_the_secondary_has_mapped_is_emptied_as_ever),
        TEST(without_a_promise_of_the_primary_nothing_is_known_of_a_gap),
        TEST(without_a_promise_of_the_secondary_a_gap_is_zeroed),
        TEST(what_tables_call_free_promises_nothing),
        TEST(what_is_read_back_or_looked_at_is_written_alone),
        TEST(what_an_earlier_run_did_is_not_written_over),
        TEST(random_maps_with_small_gaps_and_faults_end_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
