/* SPDX-License-Identifier: Apache-2.0 */

/* The contract of a store, kept by each of them. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "joined_extent.h"
#include "scratch.h"
#include "store.h"
#include "store_file.h"
#include "store_mem.h"

#define GRANULE 4096
#define SIZE    (64 * GRANULE)

struct bench {
    struct scratch scratch;
    struct store *store;
};

static int setup_mem(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    assert_non_null(bench);
    assert_int_equal(store_mem_create(SIZE, GRANULE, &bench->store), 0);
    *state = bench;
    return 0;
}

static int setup_file(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct errmsg err;

    assert_non_null(bench);
    scratch_make(&bench->scratch);
    assert_int_equal(store_file_create(scratch_path(&bench->scratch, "store"), SIZE, &bench->store,
                                       &err),
                     0);
    *state = bench;
    return 0;
}

/* Without a name: it is contained in nothing but what is open. */
static int setup_scratch(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct errmsg err;

    assert_non_null(bench);
    scratch_make(&bench->scratch);
    assert_int_equal(store_file_scratch(scratch_path(&bench->scratch, "store"), SIZE, &bench->store,
                                        &err),
                     0);
    assert_int_equal(rmdir(bench->scratch.directory), 0); /* nothing lies there */
    assert_int_equal(mkdir(bench->scratch.directory, 0700), 0);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;

    store_close(bench->store);
    if (bench->scratch.directory[0])
        scratch_remove(&bench->scratch);
    free(bench);
    return 0;
}

static int write_byte(struct store *store, uint64_t offset, size_t length, uint8_t byte)
{
    uint8_t *bytes = malloc(length);
    struct iovec iov = {.iov_base = bytes, .iov_len = length};
    int error;

    assert_non_null(bytes);
    memset(bytes, byte, length);
    error = store_write(store, &iov, 1, offset, false);
    free(bytes);
    return error;
}

static void assert_bytes(struct store *store, uint64_t offset, size_t length, uint8_t byte)
{
    uint8_t *bytes = malloc(length);
    struct iovec iov = {.iov_base = bytes, .iov_len = length};

    assert_non_null(bytes);
    assert_int_equal(store_read(store, &iov, 1, offset), 0);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(bytes[i], byte);
    free(bytes);
}

static struct store *store_of(void **state)
{
    return ((struct bench *)*state)->store;
}

static void a_new_store_is_one_hole_of_zeros(void **state)
{
    struct store *store = store_of(state);
    uint64_t allocated;

    assert_int_equal(store->size_bytes, SIZE);
    assert_joined_extent(store, 0, SIZE, EXTENT_DEALLOCATED);
    assert_bytes(store, 0, SIZE, 0);
    assert_int_equal(store_allocated(store, &allocated), 0);
    assert_int_equal(allocated, 0);
}

static void what_was_written_is_mapped_and_reads_back(void **state)
{
    struct store *store = store_of(state);

    assert_int_equal(write_byte(store, 3 * GRANULE, 2 * GRANULE, 0x41), 0);
    assert_int_equal(write_byte(store, 9 * GRANULE + 100, 50, 0x42), 0);
    assert_joined_extent(store, 0, 3 * GRANULE, EXTENT_DEALLOCATED);
    assert_joined_extent(store, 3 * GRANULE, 2 * GRANULE, EXTENT_MAPPED);
    assert_joined_extent(store, 4 * GRANULE, GRANULE, EXTENT_MAPPED);
    assert_joined_extent(store, 5 * GRANULE, 4 * GRANULE, EXTENT_DEALLOCATED);
    assert_joined_extent(store, 9 * GRANULE, GRANULE, EXTENT_MAPPED);
    assert_bytes(store, 3 * GRANULE, 2 * GRANULE, 0x41);
    assert_bytes(store, 9 * GRANULE, 100, 0);
    assert_bytes(store, 9 * GRANULE + 100, 50, 0x42);
    assert_bytes(store, 9 * GRANULE + 150, GRANULE - 150, 0);
}

static void an_extent_ends_at_the_limit_at_the_latest(void **state)
{
    struct store *store = store_of(state);
    struct extent extent;

    assert_int_equal(write_byte(store, 0, 8 * GRANULE, 1), 0);
    assert_int_equal(store_extent(store, GRANULE, 3 * GRANULE, &extent), 0);
    assert_int_equal(extent.length, 2 * GRANULE);
    assert_int_equal(extent.status, EXTENT_MAPPED);
    assert_int_equal(store_extent(store, 10 * GRANULE, 11 * GRANULE, &extent), 0);
    assert_int_equal(extent.length, GRANULE);
    assert_int_equal(extent.status, EXTENT_DEALLOCATED);
}

/* More elements than one system call takes, of odd lengths. */
static void long_scatter_lists_are_served(void **state)
{
    enum { ELEMENTS = 3000 };
    struct store *store = store_of(state);
    struct iovec *iov = calloc(ELEMENTS, sizeof(*iov));
    size_t total = 0;

    for (int i = 0; i < ELEMENTS; i++) {
        iov[i].iov_len = (size_t)(i * 7) % 61;
        iov[i].iov_base = malloc(iov[i].iov_len + 1);
        memset(iov[i].iov_base, i, iov[i].iov_len);
        total += iov[i].iov_len;
    }
    assert_int_equal(store_write(store, iov, ELEMENTS, 77, false), 0);
    for (int i = 0; i < ELEMENTS; i++)
        memset(iov[i].iov_base, 0xEE, iov[i].iov_len);
    assert_int_equal(store_read(store, iov, ELEMENTS, 77), 0);
    for (int i = 0; i < ELEMENTS; i++) {
        for (size_t at = 0; at < iov[i].iov_len; at++)
            assert_int_equal(((uint8_t *)iov[i].iov_base)[at], i & 0xFF);
        free(iov[i].iov_base);
    }
    assert_bytes(store, 0, 77, 0);
    assert_bytes(store, 77 + total, 100, 0);
    free(iov);
}

static void what_lies_beyond_the_size_is_refused(void **state)
{
    struct store *store = store_of(state);
    struct extent extent;

    assert_int_equal(write_byte(store, SIZE - 1, 2, 1), -ERANGE);
    assert_int_equal(write_byte(store, SIZE, 1, 1), -ERANGE);
    assert_int_equal(write_byte(store, UINT64_MAX, 2, 1), -ERANGE);
    assert_int_equal(store_punch(store, SIZE - 1, 2), -ERANGE);
    assert_int_equal(store_punch(store, 1, UINT64_MAX), -ERANGE);
    assert_int_equal(store_zero(store, SIZE, 1), -ERANGE);
    assert_int_equal(store_extent(store, SIZE, SIZE, &extent), -ERANGE);
    assert_int_equal(store_extent(store, 0, SIZE + 1, &extent), -ERANGE);
    assert_int_equal(store_extent(store, 5, 5, &extent), -ERANGE);
    assert_bytes(store, SIZE - 1, 1, 0);
}

static void nothing_to_do_is_no_error(void **state)
{
    struct store *store = store_of(state);

    assert_int_equal(store_read(store, NULL, 0, 0), 0);
    assert_int_equal(store_write(store, NULL, 0, SIZE, true), 0);
    assert_int_equal(store_punch(store, SIZE, 0), 0);
    assert_int_equal(store_zero(store, 0, 0), 0);
}

static void a_punch_deallocates_whole_granules_and_zeroes_the_rest(void **state)
{
    struct store *store = store_of(state);

    assert_int_equal(write_byte(store, 0, 16 * GRANULE, 0x51), 0);
    assert_int_equal(store_punch(store, 2 * GRANULE + 100, 3 * GRANULE), 0);
    assert_joined_extent(store, 0, 3 * GRANULE, EXTENT_MAPPED);
    assert_joined_extent(store, 3 * GRANULE, 2 * GRANULE, EXTENT_DEALLOCATED);
    assert_joined_extent(store, 5 * GRANULE, 11 * GRANULE, EXTENT_MAPPED);
    assert_bytes(store, 0, 2 * GRANULE + 100, 0x51);
    assert_bytes(store, 2 * GRANULE + 100, 3 * GRANULE, 0);
    assert_bytes(store, 5 * GRANULE + 100, 11 * GRANULE - 100, 0x51);
    assert_int_equal(store_punch(store, 6 * GRANULE + 1, 10), 0);
    assert_bytes(store, 6 * GRANULE, 1, 0x51);
    assert_bytes(store, 6 * GRANULE + 1, 10, 0);
    assert_bytes(store, 6 * GRANULE + 11, 10, 0x51);
}

static void a_punch_gives_the_storage_back(void **state)
{
    struct store *store = store_of(state);
    uint64_t allocated;

    assert_int_equal(write_byte(store, 0, 16 * GRANULE, 0x51), 0);
    assert_int_equal(store_flush(store), 0);
    assert_int_equal(store_allocated(store, &allocated), 0);
    assert_true(allocated >= 16 * GRANULE);
    assert_int_equal(store_punch(store, 0, SIZE), 0);
    assert_int_equal(store_allocated(store, &allocated), 0);
    assert_true(allocated <= GRANULE); /* ext2 keeps a block for its own map */
}

static void what_is_taken_is_missing_from_the_pool(void **state)
{
    struct store *store = store_of(state);
    struct store_space before, after;

    assert_int_equal(store_space(store, &before), 0);
    assert_int_equal(before.used_bytes, 0);
    assert_true(before.pool_available_bytes >= SIZE);
    assert_int_equal(write_byte(store, 0, SIZE, 0x51), 0);
    assert_int_equal(store_flush(store), 0);
    assert_int_equal(store_space(store, &after), 0);
    assert_true(after.used_bytes >= SIZE);
    assert_true(after.pool_used_bytes >= after.used_bytes);
}

static void the_last_granule_may_end_with_the_store(void **state)
{
    struct store *store = store_of(state);
    struct extent extent;

    assert_int_equal(store_resize(store, 4 * GRANULE + 512), 0);
    assert_int_equal(write_byte(store, 4 * GRANULE, 512, 0x61), 0);
    assert_int_equal(store_extent(store, 4 * GRANULE, 4 * GRANULE + 512, &extent), 0);
    assert_int_equal(extent.status, EXTENT_MAPPED);
    assert_int_equal(extent.length, 512);
    assert_int_equal(store_punch(store, 4 * GRANULE, 512), 0);
    assert_int_equal(store_extent(store, 4 * GRANULE, 4 * GRANULE + 512, &extent), 0);
    assert_int_equal(extent.status, EXTENT_DEALLOCATED);
    assert_int_equal(store->size_bytes, 4 * GRANULE + 512);
}

static void zeroed_ranges_have_storage_and_read_as_zeros(void **state)
{
    struct store *store = store_of(state);
    struct extent extent;
    uint64_t allocated;

    assert_int_equal(write_byte(store, 0, 4 * GRANULE, 0x71), 0);
    assert_int_equal(store_zero(store, 2 * GRANULE + 10, 8 * GRANULE), 0);
    assert_bytes(store, 0, 2 * GRANULE + 10, 0x71);
    assert_bytes(store, 2 * GRANULE + 10, 8 * GRANULE, 0);
    for (uint64_t at = 0; at < 11 * GRANULE; at += extent.length) {
        assert_int_equal(store_extent(store, at, SIZE, &extent), 0);
        assert_int_not_equal(extent.status, EXTENT_DEALLOCATED);
    }
    assert_int_equal(store_flush(store), 0);
    assert_int_equal(store_allocated(store, &allocated), 0);
    assert_true(allocated >= 10 * GRANULE);
}

static void a_store_grows_with_holes_and_forgets_what_it_lost(void **state)
{
    struct store *store = store_of(state);
    struct extent extent;

    assert_int_equal(write_byte(store, SIZE - 2 * GRANULE, 2 * GRANULE, 0x11), 0);
    assert_int_equal(store_resize(store, SIZE - GRANULE - 512), 0);
    assert_int_equal(store->size_bytes, SIZE - GRANULE - 512);
    assert_int_equal(write_byte(store, SIZE - GRANULE - 512, 1, 1), -ERANGE);
    assert_int_equal(store_resize(store, 2 * SIZE), 0);
    assert_bytes(store, SIZE - 2 * GRANULE, GRANULE - 512, 0x11);
    assert_bytes(store, SIZE - GRANULE - 512, SIZE, 0);
    assert_int_equal(store_extent(store, SIZE - GRANULE, 2 * SIZE, &extent), 0);
    assert_int_equal(extent.status, EXTENT_DEALLOCATED);
    assert_int_equal(extent.length, SIZE + GRANULE);
    assert_int_equal(store_resize(store, UINT64_MAX), -EFBIG);
}

static void a_write_with_fua_is_a_write(void **state)
{
    struct store *store = store_of(state);
    uint8_t bytes[512];
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};

    memset(bytes, 0x21, sizeof(bytes));
    assert_int_equal(store_write(store, &iov, 1, 1024, true), 0);
    assert_bytes(store, 1024, 512, 0x21);
    assert_int_equal(store_flush(store), 0);
}

#define EACH(test)                                             \
    {"memory: " #test, test, setup_mem, teardown, NULL},       \
        {"file: " #test, test, setup_file, teardown, NULL},    \
    {                                                          \
        "scratch: " #test, test, setup_scratch, teardown, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_new_store_is_one_hole_of_zeros),
        EACH(what_was_written_is_mapped_and_reads_back),
        EACH(an_extent_ends_at_the_limit_at_the_latest),
        EACH(long_scatter_lists_are_served),
        EACH(what_lies_beyond_the_size_is_refused),
        EACH(nothing_to_do_is_no_error),
        EACH(a_punch_deallocates_whole_granules_and_zeroes_the_rest),
        EACH(a_punch_gives_the_storage_back),
        EACH(what_is_taken_is_missing_from_the_pool),
        EACH(the_last_granule_may_end_with_the_store),
        EACH(zeroed_ranges_have_storage_and_read_as_zeros),
        EACH(a_store_grows_with_holes_and_forgets_what_it_lost),
        EACH(a_write_with_fua_is_a_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
