/* SPDX-License-Identifier: Apache-2.0 */
/* What a disk of 1 TiB takes of memory when tens of millions of places on it are free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/resource.h>

#include "claims.h"

#define BLOCK        512
#define PIECE        ((uint64_t)16 * 1024)
#define MEMORY_BYTES ((size_t)64 << 20)

/* Where most of the memory is the sanitizer's, a sixteenth of everything. */
#ifdef __SANITIZE_ADDRESS__
#define PART 16
#else
#define PART 1
#endif
#define DISK_BYTES ((UINT64_C(1) << 40) / PART)
#define SET_BYTES  (CLAIMS_BYTES / PART)

static uint64_t next_number(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return *state >> 33;
}

/* Builds, and says how many bytes are free, which is exact. */
static void expect_free(struct claims *claims, uint64_t bytes)
{
    struct allocation got = {0};
    struct rusage usage;

    assert_int_equal(claims_commit(claims), 0);
    assert_in_range(claims->free[0].bytes, 1, SET_BYTES);
    assert_int_equal(claims->free[0].grain_shift, 0);
    assert_int_equal(claims_build(claims, &got), 0);
    assert_int_equal((got.allocated.blocks - block_set_total(&got.allocated)) * BLOCK, bytes);
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    if (PART == 1)
        assert_in_range(usage.ru_maxrss * 1024, 1, MEMORY_BYTES);
    allocation_free(&got);
    claims_free(claims);
}

static void pieces_of_16_kib_on_a_tebibyte_are_exact(void **state)
{
    struct claims claims;
    uint64_t bytes = 0;

    (void)state;
    claims_init(&claims, DISK_BYTES / BLOCK, BLOCK);
    claims.bytes_max = SET_BYTES;
    assert_int_equal(claims_begin(&claims), 0);
    for (uint64_t at = 0; at < DISK_BYTES; at += 2 * PIECE, bytes += PIECE)
        assert_int_equal(claims_add_free(&claims, at, PIECE), 0);
    expect_free(&claims, bytes);
}

/* Nothing about it repeats: a partition in an odd place, and files and gaps from 4 to 64 KiB. */
static void free_space_at_random_on_a_tebibyte_is_exact(void **state)
{
    const uint64_t cluster = 4096;
    struct claims claims;
    uint64_t bytes = 0, random = 1, length;

    (void)state;
    claims_init(&claims, DISK_BYTES / BLOCK, BLOCK);
    claims.bytes_max = SET_BYTES;
    assert_int_equal(claims_begin(&claims), 0);
    for (uint64_t at = (uint64_t)63 * BLOCK; at < DISK_BYTES - 32 * cluster; at += length) {
        uint64_t number = next_number(&random);

        length = (1 + number % 16) * cluster;
        assert_int_equal(claims_add_free(&claims, at, length), 0);
        bytes += length;
        length += (1 + number / 16 % 16) * cluster;
    }
    expect_free(&claims, bytes);
}

/* 16 TiB with eight million places free, of different lengths: it is told as exactly as the memory
 * allows. */
static void a_very_large_disk_keeps_to_the_memory(void **state)
{
    const uint64_t disk_bytes = 16 * DISK_BYTES, least = 4096;
    struct claims claims;
    struct allocation got = {0};
    uint64_t bytes = 0, random = 3, length, free_bytes;

    (void)state;
    claims_init(&claims, disk_bytes / BLOCK, BLOCK);
    claims.bytes_max = SET_BYTES;
    assert_int_equal(claims_begin(&claims), 0);
    for (uint64_t at = 0; at < disk_bytes - 1024 * least; at += length) {
        uint64_t number = next_number(&random);

        length = (1 + number % 512) * least;
        assert_int_equal(claims_add_free(&claims, at, length), 0);
        bytes += length;
        length += (1 + number / 512 % 512) * least;
    }
    assert_int_equal(claims_commit(&claims), 0);
    assert_in_range(claims.free[0].bytes, 1, SET_BYTES);
    assert_int_equal(claims_build(&claims, &got), 0);
    free_bytes = (got.allocated.blocks - block_set_total(&got.allocated)) * BLOCK;
    assert_in_range(free_bytes, bytes / 10 * 8, bytes);
    allocation_free(&got);
    claims_free(&claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_16_kib_on_a_tebibyte_are_exact),
        cmocka_unit_test(free_space_at_random_on_a_tebibyte_is_exact),
        cmocka_unit_test(a_very_large_disk_keeps_to_the_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
