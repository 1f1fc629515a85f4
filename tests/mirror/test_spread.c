/* SPDX-License-Identifier: Apache-2.0 */
/* Spots at equal distances in ranges whose length is not known before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "spread.h"

static struct spread spread;

static void few_blocks_are_taken_whole(void **state)
{
    (void)state;
    spread_init(&spread, 99, 8);
    spread_add(&spread, 5, 5);
    spread_add(&spread, 10, 30);
    spread_add(&spread, 100, 101);
    assert_int_equal(spread.count, 4);
    assert_int_equal(spread.spots[2].lba, 26);
    assert_int_equal(spread.spots[2].blocks, 4);
    assert_int_equal(spread.spots[3].lba, 100);
    assert_int_equal(spread.spots[3].blocks, 1);
}

/* Half as many as fit or more, in order, none beside another, however the ranges are cut. */
static void many_are_taken_at_equal_distances(void **state)
{
    static const uint64_t steps[] = {1, 7, 1000, UINT64_C(1) << 30};

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        uint64_t ranges = i == 3 ? 1000 : 100000;

        spread_init(&spread, 12345 + i, 1);
        for (uint64_t at = 0; at < ranges; at++)
            spread_add(&spread, at * 2 * steps[i], (at * 2 + 1) * steps[i]);
        assert_int_equal(spread.total, ranges * steps[i]);
        assert_in_range(spread.count, SPREAD_SPOTS / 2 - 1, SPREAD_SPOTS);
        for (size_t at = 1; at < spread.count; at++)
            assert_int_equal(spread.spots[at].position - spread.spots[at - 1].position,
                             spread.distance);
        assert_true(spread.spots[0].position < spread.distance);
        assert_true(spread.total - spread.spots[spread.count - 1].position <= spread.distance);
    }
}

static void another_seed_takes_others(void **state)
{
    uint64_t first;

    (void)state;
    spread_init(&spread, 0, 1);
    spread_add(&spread, 0, 1 << 20);
    first = spread.spots[0].lba;
    spread_init(&spread, 1, 1);
    spread_add(&spread, 0, 1 << 20);
    assert_true(spread.spots[0].lba != first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_blocks_are_taken_whole),
        cmocka_unit_test(many_are_taken_at_equal_distances),
        cmocka_unit_test(another_seed_takes_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
