/* SPDX-License-Identifier: Apache-2.0 */
/* Where spots lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cleanup.h"
#include "spots.h"

/* Spots of a whole LUN, added in ranges of a number of blocks with gaps of as many between them. */
static void add_all(struct spots *spots, uint64_t step, uint64_t gap, struct job_list *jobs)
{
    for (uint64_t lba = 0; lba < spots->end; lba += step + gap) {
        uint64_t end = lba + step < spots->end ? lba + step : spots->end;

        assert_int_equal(spots_add(spots, lba, end, jobs), 0);
    }
}

static uint64_t total(const struct job_list *jobs)
{
    uint64_t blocks = 0;

    for (size_t i = 0; i < jobs->count; i++)
        blocks += jobs->items[i].blocks;
    return blocks;
}

static void there_is_one_in_each_part_of_the_lun(void **state)
{
    const uint64_t sizes[] = {1 << 20, (1 << 20) + 12345, UINT64_C(1) << 40, UINT64_C(1) << 54};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        CLEANUP(job_list_free) struct job_list jobs = {0};
        struct spots spots;
        uint64_t part;

        spots_init(&spots, sizes[i], 512, 7 + i);
        part = spots.part_blocks;
        assert_int_equal(spots_add(&spots, 0, sizes[i], &jobs), 0);
        assert_true(spots.blocks >= (SPOTS - 1) * 8 && spots.blocks <= SPOTS * 8);
        assert_int_equal(total(&jobs), spots.blocks);
        for (size_t k = 0; k < jobs.count; k++) {
            assert_int_equal(jobs.items[k].kind, JOB_EXPECT_ZEROS);
            assert_true(jobs.items[k].lba + jobs.items[k].blocks <= sizes[i]);
            assert_true(jobs.items[k].blocks % 8 == 0 || i == 1);
            assert_true(k == 0 || jobs.items[k].lba / part >= jobs.items[k - 1].lba / part);
        }
    }
}

static void they_lie_within_the_ranges(void **state)
{
    (void)state;
    for (uint64_t gap = 1; gap < 3000; gap += 500) {
        CLEANUP(job_list_free) struct job_list jobs = {0};
        struct spots spots;

        spots_init(&spots, 1 << 22, 512, gap);
        add_all(&spots, 1000, gap, &jobs);
        assert_true(jobs.count > 100);
        for (size_t k = 0; k < jobs.count; k++) {
            uint64_t into = jobs.items[k].lba % (1000 + gap);

            assert_true(into + jobs.items[k].blocks <= 1000);
        }
    }
}

static void a_small_lun_is_all_spots(void **state)
{
    CLEANUP(job_list_free) struct job_list jobs = {0};
    struct spots spots;

    (void)state;
    spots_init(&spots, 1001, 4096, 1);
    assert_int_equal(spots_add(&spots, 0, 1001, &jobs), 0);
    assert_int_equal(jobs.count, 1);
    assert_int_equal(jobs.items[0].lba, 0);
    assert_int_equal(jobs.items[0].blocks, 1001);
}

static void another_seed_looks_elsewhere(void **state)
{
    CLEANUP(job_list_free) struct job_list a = {0};
    CLEANUP(job_list_free) struct job_list b = {0};
    struct spots spots;
    size_t same = 0;

    (void)state;
    spots_init(&spots, UINT64_C(1) << 40, 512, 1);
    add_all(&spots, UINT64_C(1) << 30, 0, &a);
    spots_init(&spots, UINT64_C(1) << 40, 512, 2);
    add_all(&spots, UINT64_C(1) << 30, 0, &b);
    assert_true(a.count == SPOTS && b.count == SPOTS);
    for (size_t i = 0; i < SPOTS; i++)
        same += a.items[i].lba == b.items[i].lba;
    assert_true(same < 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_one_in_each_part_of_the_lun),
        cmocka_unit_test(they_lie_within_the_ranges),
        cmocka_unit_test(a_small_lun_is_all_spots),
        cmocka_unit_test(another_seed_looks_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
