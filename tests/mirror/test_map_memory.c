/* SPDX-License-Identifier: Apache-2.0 */

/* How much memory it takes to plan the copy of a LUN with a great many extents. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "fake_endpoint.h"
#include "sync.h"

#define LUN_BLOCKS (1ULL << 37) /* 64 TiB */
#define EXTENTS    10000000
#define LENGTH     (LUN_BLOCKS / (2 * EXTENTS))
#define PAGE       4096 /* extents in a reply */
#define MOST_KIB   (16 * 1024)

static void every_other(uint64_t lba, uint64_t length, struct extent *ret)
{
    uint64_t number = lba / length;

    *ret =
        (struct extent){number * length, length, number % 2 ? EXTENT_MAPPED : EXTENT_DEALLOCATED};
}

static void primary_extent(uint64_t lba, struct extent *ret)
{
    every_other(lba, LENGTH, ret);
}

static void secondary_extent(uint64_t lba, struct extent *ret)
{
    every_other(lba, 1 << 15, ret);
}

static long peak_kib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Planned to the end, both maps different; nothing is moved. */
static void ten_million_extents_need_little_memory(void **state)
{
    struct fake_endpoint *primary = fake_create_huge("primary", LUN_BLOCKS, primary_extent);
    struct fake_endpoint *secondary = fake_create_huge("secondary", LUN_BLOCKS, secondary_extent);
    struct sync_params params = {.primary = &primary->base,
                                 .secondary = &secondary->base,
                                 .dry_run = true};
    struct sync_result result;
    struct errmsg err;
    long before_kib = peak_kib();

    (void)state;
    primary->extents_per_map = PAGE;
    secondary->extents_per_map = PAGE;
    if (sync_run(&params, &result, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(result.extents, (LUN_BLOCKS + LENGTH - 1) / LENGTH / 2);
    assert_true(result.extents >= EXTENTS);
    assert_in_range(peak_kib() - before_kib, 0, MOST_KIB);
    endpoint_close(&primary->base);
    endpoint_close(&secondary->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_million_extents_need_little_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
