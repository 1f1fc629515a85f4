/* SPDX-License-Identifier: Apache-2.0 */
/* What a dry run reads to see how fast the copy will be. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sample.h"
#include "sync_fixture.h"

#define BLOCK   512
#define STRETCH (SAMPLE_STRETCH_BYTES / BLOCK)

static struct sample sample;

static void begin(void)
{
    sample = (struct sample){.block_size = BLOCK};
}

static void check_sound(uint64_t end)
{
    uint64_t blocks = 0, at = 0;

    assert_in_range(sample.count, 1, SAMPLE_RANGES);
    for (size_t i = 0; i < sample.count; i++) {
        assert_true(sample.ranges[i].lba >= at);
        at = sample.ranges[i].lba + sample.ranges[i].blocks;
        blocks += sample.ranges[i].blocks;
    }
    assert_true(at <= end);
    assert_int_equal(blocks, sample.blocks);
    assert_true(blocks * BLOCK <= SAMPLE_MOST_BYTES + SAMPLE_STRETCH_BYTES);
}

static void a_little_is_taken_whole(void **state)
{
    (void)state;
    begin();
    sample_add(&sample, 100, 8);
    sample_add(&sample, 1000, 3 * STRETCH);
    check_sound(1000 + 3 * STRETCH);
    assert_int_equal(sample.blocks, 8 + 3 * STRETCH);
}

static void of_very_much_it_takes_stretches_from_all_over_it(void **state)
{
    const uint64_t end = UINT64_C(1) << 37; /* 64 TiB */

    (void)state;
    begin();
    sample_add(&sample, 0, end);
    check_sound(end);
    assert_true(sample.blocks * BLOCK >= SAMPLE_MOST_BYTES / 2);
    assert_int_equal(sample.ranges[0].lba, 0);
    assert_true(sample.ranges[sample.count - 1].lba > end - end / 64);
}

/* A half of the bytes is in extents of one block: it is a half of the sample, too. */
static void small_extents_have_their_share(void **state)
{
    const uint64_t small = 300000;
    uint64_t of_small = 0;

    (void)state;
    begin();
    for (uint64_t i = 0; i < small; i++)
        sample_add(&sample, 2 * i, 1);
    sample_add(&sample, 2 * small, small);
    check_sound(3 * small);
    for (size_t i = 0; i < sample.count; i++)
        of_small += sample.ranges[i].blocks == 1;
    assert_in_range(of_small, sample.blocks / 4, sample.blocks * 3 / 4);
}

static void only_what_the_plan_copies_is_read(void **state)
{
    struct fixture *fixture = *state;
    struct sample_result result;

    begin();
    fake_fill(fixture->primary, 8, 8, 1);
    fake_fill(fixture->primary, 100, 300, 1);
    fake_fill(fixture->secondary, 1000, 8, 1);
    fixture->params.dry_run = true;
    fixture->params.sample = &sample;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fake_count(fixture->primary, ENDPOINT_READ), 0);
    assert_int_equal(sample_read(&sample, &fixture->primary->base, &fixture->params.control,
                                 &result, &fixture->error),
                     0);
    expect_ranges(fixture->primary, ENDPOINT_READ, "8+8 100+300");
    assert_int_equal(result.bytes, 308 * BLOCK);
    assert_true(result.seconds > 0);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_READ), 0);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_WRITE), 0);
}

static void a_sample_that_cannot_be_read_says_why(void **state)
{
    struct fixture *fixture = *state;
    struct sample_result result;

    begin();
    sample_add(&sample, 0, 8);
    fixture->primary->fault = (struct fake_fault){ENDPOINT_READ, 0, -EIO};
    assert_int_equal(sample_read(&sample, &fixture->primary->base, &fixture->params.control,
                                 &result, &fixture->error),
                     -EIO);
    assert_non_null(strstr(fixture->error.text, "primary"));
}

static void a_signal_ends_the_sample(void **state)
{
    static const atomic_bool stop = true;
    struct fixture *fixture = *state;
    struct sample_result result;

    begin();
    sample_add(&sample, 0, 8);
    fixture->params.control.stop = &stop;
    assert_int_equal(sample_read(&sample, &fixture->primary->base, &fixture->params.control,
                                 &result, &fixture->error),
                     0);
    assert_int_equal(result.bytes, 0);
    assert_int_equal(fake_count(fixture->primary, ENDPOINT_READ), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_little_is_taken_whole),
        cmocka_unit_test(of_very_much_it_takes_stretches_from_all_over_it),
        cmocka_unit_test(small_extents_have_their_share),
        TEST(only_what_the_plan_copies_is_read),
        TEST(a_sample_that_cannot_be_read_says_why),
        TEST(a_signal_ends_the_sample),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
