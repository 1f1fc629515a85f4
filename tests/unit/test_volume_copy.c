/* SPDX-License-Identifier: Apache-2.0 */

/* volume_copy: between volumes and within one, over files and over memory. */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"
#include "store.h"
#include "store_mem.h"
#include "volume.h"
#include "volume_sanitize.h"

#define BYTES   (1 << 20)
#define GRANULE 4096

struct pair {
    struct scratch scratch;
    struct volume *volumes[2];
    struct store *stores[2]; /* NULL over files */
};

static int open_pair(void **state, bool files)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    struct volume_meta meta;
    struct errmsg err;

    assert_non_null(pair);
    scratch_make(&pair->scratch);
    for (int i = 0; i < 2; i++) {
        if (files) {
            assert_int_equal(volume_create(scratch_path(&pair->scratch, i ? "b" : "a"), 512, BYTES,
                                           &pair->volumes[i], &err),
                             0);
            continue;
        }
        volume_meta_init(&meta, 512);
        assert_int_equal(store_mem_create(BYTES, GRANULE, &pair->stores[i]), 0);
        assert_int_equal(volume_over_store(pair->stores[i], &meta, false, &pair->volumes[i], &err),
                         0);
    }
    *state = pair;
    return 0;
}

static int setup_files(void **state)
{
    return open_pair(state, true);
}

static int setup_memory(void **state)
{
    return open_pair(state, false);
}

static int teardown(void **state)
{
    struct pair *pair = *state;

    for (int i = 0; i < 2; i++)
        assert_int_equal(volume_close(pair->volumes[i]), 0);
    scratch_remove(&pair->scratch);
    free(pair);
    return 0;
}

/* Bytes that tell where they were written. */
static void fill(struct volume *volume, uint64_t offset, size_t length, unsigned seed)
{
    uint8_t *bytes = malloc(length);
    struct iovec iov = {.iov_base = bytes, .iov_len = length};

    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)((offset + i) / 509 + seed) | 1;
    assert_int_equal(volume_write(volume, &iov, 1, offset, false), 0);
    free(bytes);
}

static uint8_t *contents(struct volume *volume)
{
    uint8_t *bytes = malloc(BYTES);
    struct iovec iov = {.iov_base = bytes, .iov_len = BYTES};

    assert_non_null(bytes);
    assert_int_equal(volume_read(volume, &iov, 1, 0), 0);
    return bytes;
}

static void assert_status(struct volume *volume, uint64_t offset, uint64_t length,
                          enum extent_status status)
{
    struct extent extent;

    for (uint64_t end = offset + length; offset < end; offset += extent.length) {
        assert_int_equal(volume_extent(volume, offset, end, &extent), 0);
        assert_int_equal(extent.status, status);
    }
}

/* Data at [0, 64K) and [128K, 192K) of the first volume, old data everywhere in the second. */
static void prepare(struct pair *pair)
{
    fill(pair->volumes[0], 0, 65536, 3);
    fill(pair->volumes[0], 131072, 65536, 5);
    fill(pair->volumes[1], 0, BYTES, 7);
}

static void check_copy(struct volume *to, uint64_t to_offset, struct volume *from,
                       uint64_t from_offset, uint64_t length)
{
    uint8_t *source = contents(from), *expected = contents(to), *found;
    bool source_failed;

    memmove(expected + to_offset, source + from_offset, length);
    assert_int_equal(volume_copy(to, to_offset, from, from_offset, length, &source_failed), 0);
    assert_false(source_failed);
    found = contents(to);
    assert_memory_equal(found, expected, BYTES);
    free(found);
    free(expected);
    free(source);
}

static void data_are_copied_and_holes_stay_holes(void **state)
{
    struct pair *pair = *state;

    prepare(pair);
    check_copy(pair->volumes[1], 65536, pair->volumes[0], 0, 262144);
    assert_status(pair->volumes[1], 65536, 65536, EXTENT_MAPPED);
    assert_status(pair->volumes[1], 131072, 65536, EXTENT_DEALLOCATED);
    assert_status(pair->volumes[1], 196608, 65536, EXTENT_MAPPED);
    assert_status(pair->volumes[1], 262144, 65536, EXTENT_DEALLOCATED);
    assert_status(pair->volumes[1], 327680, 65536, EXTENT_MAPPED);
}

static void ranges_need_no_alignment_beyond_blocks(void **state)
{
    static const struct {
        uint64_t to, from, length;
    } cases[] = {{512, 1024, 512},       {0, 61440 + 512, 8192}, {3584, 512, 200704},
                 {500224, 130560, 1536}, {1048064, 196096, 512}, {0, 0, 0}};
    struct pair *pair = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        prepare(pair);
        check_copy(pair->volumes[1], cases[i].to, pair->volumes[0], cases[i].from, cases[i].length);
    }
}

static void ranges_of_one_volume_may_overlap(void **state)
{
    static const struct {
        uint64_t to, from, length;
    } cases[] = {{0, 512, 524288},    {512, 0, 524288},  {262144, 0, 524288},
                 {0, 262144, 524288}, {4096, 0, 524288}, {0, 524288, 524288},
                 {65536, 0, 65536},   {512, 512, 65536}, {524288, 0, 524288}};
    struct pair *pair = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        prepare(pair);
        check_copy(pair->volumes[0], cases[i].to, pair->volumes[0], cases[i].from, cases[i].length);
    }
    assert_status(pair->volumes[0], BYTES - 4096, 4096, EXTENT_DEALLOCATED);
}

/* Against memmove, over everything that may lie at its ends: blocks, granules, pieces, overlaps. */
static void any_bytes_are_copied_as_memmove_would(void **state)
{
    struct pair *pair = *state;
    unsigned seed = 10;

    for (int i = 0; i < 150; i++) {
        struct volume *from = pair->volumes[rand_r(&seed) % 2];
        struct volume *to = pair->volumes[rand_r(&seed) % 2];
        uint64_t length = (uint64_t)rand_r(&seed) % (i % 3 ? 3000 : BYTES / 2);
        uint64_t from_offset = (uint64_t)rand_r(&seed) % (BYTES - length);
        uint64_t to_offset = (uint64_t)rand_r(&seed) % (BYTES - length);
        uint8_t *source, *expected, *found;
        bool source_failed;

        if (i % 50 == 0)
            prepare(pair);
        source = contents(from), expected = contents(to);
        memmove(expected + to_offset, source + from_offset, length);
        assert_int_equal(volume_copy_bytes(to, to_offset, from, from_offset, length,
                                           &source_failed),
                         0);
        found = contents(to);
        if (memcmp(found, expected, BYTES) != 0)
            fail_msg("%d: %llu bytes from %llu to %llu differ", i, (unsigned long long)length,
                     (unsigned long long)from_offset, (unsigned long long)to_offset);
        free(found);
        free(expected);
        free(source);
    }
}

static void bytes_that_do_not_fit_are_not_copied(void **state)
{
    struct pair *pair = *state;
    struct volume *to = pair->volumes[1], *from = pair->volumes[0];
    uint8_t *before = NULL, *after;
    bool source_failed;

    prepare(pair);
    before = contents(to);
    assert_int_equal(volume_copy_bytes(to, 1, from, BYTES - 99, 100, &source_failed), -ERANGE);
    assert_true(source_failed);
    assert_int_equal(volume_copy_bytes(to, BYTES - 99, from, 1, 100, &source_failed), -ERANGE);
    assert_false(source_failed);
    assert_int_equal(volume_copy_bytes(to, UINT64_MAX, from, 1, 100, &source_failed), -ERANGE);
    after = contents(to);
    assert_memory_equal(after, before, BYTES);
    free(after);
    free(before);
}

#define COUNTS 2000

static int count_up(uint8_t *bytes, size_t length, void *context)
{
    uint32_t count;

    (void)length, (void)context;
    memcpy(&count, bytes + 256, sizeof(count));
    count++;
    memcpy(bytes + 256, &count, sizeof(count));
    return 0;
}

static void *count_in_block(void *context)
{
    uint8_t block[512];

    for (int i = 0; i < COUNTS; i++)
        assert_int_equal(volume_update(context, 1024, block, sizeof(block), count_up, NULL, false),
                         0);
    return NULL;
}

/* Somebody counts in the second half of a block while bytes are copied into its first. */
static void what_others_write_into_the_rest_of_a_block_stays(void **state)
{
    struct pair *pair = *state;
    struct volume *to = pair->volumes[1];
    uint8_t *after;
    uint32_t count;
    pthread_t counter;
    bool source_failed;

    assert_int_equal(volume_unmap(to, 0, BYTES), 0);
    assert_int_equal(pthread_create(&counter, NULL, count_in_block, to), 0);
    for (int i = 0; i < COUNTS; i++)
        assert_int_equal(volume_copy_bytes(to, 1024, pair->volumes[0], 7, 100, &source_failed), 0);
    assert_int_equal(pthread_join(counter, NULL), 0);
    after = contents(to);
    memcpy(&count, after + 1024 + 256, sizeof(count));
    assert_int_equal(count, COUNTS);
    free(after);
}

static void what_does_not_fit_copies_nothing(void **state)
{
    struct pair *pair = *state;
    struct volume *to = pair->volumes[1], *from = pair->volumes[0];
    uint8_t *before, *after;
    bool source_failed;

    prepare(pair);
    before = contents(to);
    assert_int_equal(volume_copy(to, 0, from, BYTES - 512, 1024, &source_failed), -ERANGE);
    assert_true(source_failed);
    assert_int_equal(volume_copy(to, BYTES - 512, from, 0, 1024, &source_failed), -ERANGE);
    assert_false(source_failed);
    assert_int_equal(volume_copy(to, UINT64_MAX - 511, from, 0, 1024, &source_failed), -ERANGE);
    assert_int_equal(volume_copy(to, 0, from, UINT64_MAX - 511, 1024, &source_failed), -ERANGE);
    after = contents(to);
    assert_memory_equal(before, after, BYTES);
    free(after);
    free(before);
}

static void the_side_that_failed_is_told(void **state)
{
    struct pair *pair = *state;
    struct volume *to = pair->volumes[1], *from = pair->volumes[0];
    bool source_failed;

    fill(from, 0, 65536, 1);
    store_mem_set_fault(pair->stores[0], "read", 0, EIO);
    assert_int_equal(volume_copy(to, 0, from, 0, 65536, &source_failed), -EIO);
    assert_true(source_failed);
    store_mem_set_fault(pair->stores[0], "read", 0, 0);
    store_mem_set_fault(pair->stores[0], "extent", 0, EIO);
    assert_int_equal(volume_copy(to, 0, from, 0, 65536, &source_failed), -EIO);
    assert_true(source_failed);
    store_mem_set_fault(pair->stores[0], "extent", 0, 0);
    store_mem_set_fault(pair->stores[1], "write", 0, EIO);
    assert_int_equal(volume_copy(to, 0, from, 0, 65536, &source_failed), -EIO);
    assert_false(source_failed);
    store_mem_set_fault(pair->stores[1], "write", 0, 0);
    store_mem_set_quota(pair->stores[1], 0);
    assert_int_equal(volume_copy(to, 0, from, 0, 65536, &source_failed), -ENOSPC);
    assert_false(source_failed);
    assert_int_equal(volume_copy(to, 0, from, 65536, 65536, &source_failed), 0); /* a hole */
}

static void an_error_ends_a_copy_that_overlaps(void **state)
{
    static const struct {
        uint64_t to, from;
    } ways[] = {{4096, 0}, {0, 4096}}; /* from the end, from the start */
    struct pair *pair = *state;
    struct volume *volume = pair->volumes[0];
    bool source_failed;

    fill(volume, 0, BYTES, 1);
    for (size_t i = 0; i < 2; i++) {
        store_mem_set_fault(pair->stores[0], "read", 1, EIO);
        assert_int_equal(volume_copy(volume, ways[i].to, volume, ways[i].from, BYTES / 2,
                                     &source_failed),
                         -EIO);
        assert_true(source_failed);
        store_mem_set_fault(pair->stores[0], "read", 0, 0);
        store_mem_set_fault(pair->stores[0], "write", 1, EIO);
        assert_int_equal(volume_copy(volume, ways[i].to, volume, ways[i].from, BYTES / 2,
                                     &source_failed),
                         -EIO);
        assert_false(source_failed);
        store_mem_set_fault(pair->stores[0], "write", 0, 0);
    }
}

static void a_sealed_volume_is_told_for_the_side_it_is_on(void **state)
{
    struct pair *pair = *state;
    struct volume *sealed = pair->volumes[0], *whole = pair->volumes[1];
    struct errmsg err;
    bool source_failed;

    assert_int_equal(volume_seal(sealed, VOLUME_SEALED_UNRESTRICTED, &err), 0);
    assert_int_equal(volume_copy(whole, 0, sealed, 0, 4096, &source_failed), -ESHUTDOWN);
    assert_true(source_failed);
    assert_int_equal(volume_copy(sealed, 0, whole, 0, 4096, &source_failed), -ESHUTDOWN);
    assert_false(source_failed);
    assert_int_equal(volume_unseal(sealed, &err), 0);
}

/* A range is copied in pieces: one of which all but the last would fit is refused all the same. */
static void a_range_too_long_for_one_piece_copies_nothing(void **state)
{
    enum { LARGE = 8 << 20 };
    struct pair *pair = *state;
    struct store *store;
    struct volume *large;
    struct volume_meta meta;
    struct extent extent;
    struct errmsg err;
    bool source_failed;

    volume_meta_init(&meta, 512);
    assert_int_equal(store_mem_create(LARGE, GRANULE, &store), 0);
    assert_int_equal(volume_over_store(store, &meta, false, &large, &err), 0);
    fill(large, 0, 65536, 1);
    fill(large, LARGE - 65536, 65536, 1);
    assert_int_equal(volume_copy(large, 0, large, LARGE / 4, 3 * (LARGE / 4) + 512, &source_failed),
                     -ERANGE);
    assert_true(source_failed);
    assert_int_equal(volume_copy(large, LARGE / 2, pair->volumes[0], 0, BYTES + 512,
                                 &source_failed),
                     -ERANGE);
    assert_true(source_failed);
    assert_int_equal(volume_extent(large, 0, LARGE, &extent), 0);
    assert_int_equal(extent.status, EXTENT_MAPPED);
    assert_int_equal(extent.length, 65536);
    assert_int_equal(volume_close(large), 0);
}

/* One thread has bytes to itself, and another copies from there, or to there, in the same volume.
 */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool inside, leave;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int stay_inside(uint8_t *bytes, size_t length, void *context)
{
    (void)length;
    (void)context;
    bytes[0] ^= 0xFF; /* must not be seen before this has ended */
    pthread_mutex_lock(&gate.lock);
    gate.inside = true;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.leave)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    return 0;
}

static void *update_at_0(void *argument)
{
    uint8_t bytes[512];

    return volume_update(argument, 0, bytes, sizeof(bytes), stay_inside, NULL, false) ? argument
                                                                                      : NULL;
}

struct one_copy {
    struct volume *volume;
    uint64_t to, from;
    atomic_bool done;
};

static void *copy_once(void *argument)
{
    struct one_copy *copy = argument;
    bool source_failed;
    int error = volume_copy(copy->volume, copy->to, copy->volume, copy->from, 4096, &source_failed);

    atomic_store(&copy->done, true);
    return error ? argument : NULL;
}

static void a_copy_inside_a_volume_waits_for_who_has_its_bytes_alone(void **state)
{
    struct pair *pair = *state;
    struct one_copy copies[] = {{.volume = pair->volumes[0], .to = BYTES / 2, .from = 0},
                                {.volume = pair->volumes[0], .to = 0, .from = BYTES / 2}};

    fill(pair->volumes[0], 0, BYTES, 1);
    for (size_t i = 0; i < 2; i++) {
        pthread_t owner, copier;
        void *failed;

        gate.inside = gate.leave = false;
        assert_int_equal(pthread_create(&owner, NULL, update_at_0, pair->volumes[0]), 0);
        pthread_mutex_lock(&gate.lock);
        while (!gate.inside)
            pthread_cond_wait(&gate.changed, &gate.lock);
        pthread_mutex_unlock(&gate.lock);
        assert_int_equal(pthread_create(&copier, NULL, copy_once, &copies[i]), 0);
        usleep(50000);
        assert_false(atomic_load(&copies[i].done));
        pthread_mutex_lock(&gate.lock);
        gate.leave = true;
        pthread_cond_broadcast(&gate.changed);
        pthread_mutex_unlock(&gate.lock);
        assert_int_equal(pthread_join(owner, &failed), 0);
        assert_null(failed);
        assert_int_equal(pthread_join(copier, &failed), 0);
        assert_null(failed);
    }
}

/* Copies back and forth, beside updates that have their bytes alone. */
#define ROUNDS 200

struct worker {
    struct volume *to, *from;
};

static void *copies(void *argument)
{
    const struct worker *worker = argument;
    bool source_failed;

    for (int i = 0; i < ROUNDS; i++)
        if (volume_copy(worker->to, 0, worker->from, 0, 524288, &source_failed))
            return argument;
    return NULL;
}

static int leave(uint8_t *bytes, size_t length, void *context)
{
    (void)bytes;
    (void)length;
    (void)context;
    return 0;
}

static void *updates(void *argument)
{
    const struct worker *worker = argument;
    uint8_t bytes[4096];

    for (int i = 0; i < ROUNDS; i++)
        if (volume_update(worker->to, (uint64_t)(i % 32) * 8192, bytes, sizeof(bytes), leave, NULL,
                          false))
            return argument;
    return NULL;
}

static void copies_in_both_directions_do_not_wait_for_each_other_forever(void **state)
{
    struct pair *pair = *state;
    struct worker workers[] = {{pair->volumes[0], pair->volumes[1]},
                               {pair->volumes[1], pair->volumes[0]}};
    void *(*const jobs[])(void *) = {copies, copies, updates, updates};
    pthread_t threads[4];
    void *failed;

    prepare(pair);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, jobs[i], &workers[i % 2]), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
}

#define BOTH(test)                                           \
    {"files: " #test, test, setup_files, teardown, NULL},    \
    {                                                        \
        "memory: " #test, test, setup_memory, teardown, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(data_are_copied_and_holes_stay_holes),
        BOTH(ranges_need_no_alignment_beyond_blocks),
        BOTH(ranges_of_one_volume_may_overlap),
        BOTH(any_bytes_are_copied_as_memmove_would),
        BOTH(bytes_that_do_not_fit_are_not_copied),
        BOTH(what_others_write_into_the_rest_of_a_block_stays),
        BOTH(what_does_not_fit_copies_nothing),
        cmocka_unit_test_setup_teardown(the_side_that_failed_is_told, setup_memory, teardown),
        cmocka_unit_test_setup_teardown(an_error_ends_a_copy_that_overlaps, setup_memory, teardown),
        BOTH(a_sealed_volume_is_told_for_the_side_it_is_on),
        cmocka_unit_test_setup_teardown(a_range_too_long_for_one_piece_copies_nothing, setup_memory,
                                        teardown),
        BOTH(a_copy_inside_a_volume_waits_for_who_has_its_bytes_alone),
        cmocka_unit_test_setup_teardown(
            copies_in_both_directions_do_not_wait_for_each_other_forever, setup_memory, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
