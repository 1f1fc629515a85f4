/* SPDX-License-Identifier: Apache-2.0 */

/* Volumes: creating, adopting and opening them, their map in blocks, their size. */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"
#include "store.h"
#include "store_mem.h"
#include "volume.h"
#include "volume_sanitize.h"

#define MIB (1 << 20)

static int setup(void **state)
{
    struct scratch *scratch = malloc(sizeof(*scratch));

    assert_non_null(scratch);
    scratch_make(scratch);
    *state = scratch;
    return 0;
}

static int teardown(void **state)
{
    scratch_remove(*state);
    free(*state);
    return 0;
}

static void write_bytes(struct volume *volume, uint64_t offset, size_t length, uint8_t byte)
{
    uint8_t *bytes = malloc(length);
    struct iovec iov = {.iov_base = bytes, .iov_len = length};

    assert_non_null(bytes);
    memset(bytes, byte, length);
    assert_int_equal(volume_write(volume, &iov, 1, offset, false), 0);
    free(bytes);
}

static void a_volume_keeps_its_identity_and_bytes(void **state)
{
    const char *path = scratch_path(*state, "v");
    struct volume *volume;
    struct errmsg err;
    uint8_t byte = 0;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    uuid_t uuid;

    assert_int_equal(volume_create(path, 4096, MIB, &volume, &err), 0);
    assert_int_equal(volume_block_size(volume), 4096);
    assert_int_equal(volume_blocks(volume), 256);
    uuid_copy(uuid, volume_get_meta(volume)->uuid);
    write_bytes(volume, 8192, 4096, 0x5A);
    assert_int_equal(volume_close(volume), 0);
    assert_int_equal(volume_open(path, false, &volume, &err), 0);
    assert_int_equal(volume_block_size(volume), 4096);
    assert_int_equal(uuid_compare(uuid, volume_get_meta(volume)->uuid), 0);
    assert_int_equal(volume_read(volume, &iov, 1, 8192), 0);
    assert_int_equal(byte, 0x5A);
    assert_int_equal(volume_close(volume), 0);
    assert_int_equal(scratch_count(*state), 2);
}

static void saved_mode_pages_are_there_at_the_next_open(void **state)
{
    const char *path = scratch_path(*state, "v");
    const uint8_t pages[] = {0x88, 0x01, 0x04};
    struct volume *volume;
    struct errmsg err;

    assert_int_equal(volume_create(path, 512, 1 << 20, &volume, &err), 0);
    assert_true(volume_can_save(volume));
    assert_int_equal(volume_save_mode_pages(volume, pages, sizeof(pages), &err), 0);
    assert_int_equal(volume_close(volume), 0);
    for (int i = 0; i < 2; i++) { /* the second time for reading only */
        const struct volume_meta *meta;

        assert_int_equal(volume_open(path, i == 1, &volume, &err), 0);
        meta = volume_get_meta(volume);
        assert_int_equal(meta->mode_pages_bytes, sizeof(pages));
        assert_memory_equal(meta->mode_pages, pages, sizeof(pages));
        assert_int_equal(volume_can_save(volume), i == 0);
        if (i == 1)
            assert_int_equal(volume_save_mode_pages(volume, pages, 1, &err), -EROFS);
        assert_int_equal(volume_close(volume), 0);
    }
}

static void two_volumes_differ(void **state)
{
    struct volume *first, *second;
    struct errmsg err;

    assert_int_equal(volume_create(scratch_path(*state, "a"), 512, MIB, &first, &err), 0);
    assert_int_equal(volume_create(scratch_path(*state, "b"), 512, MIB, &second, &err), 0);
    assert_int_not_equal(uuid_compare(volume_get_meta(first)->uuid, volume_get_meta(second)->uuid),
                         0);
    volume_close(first);
    volume_close(second);
}

static void creating_over_anything_is_refused_and_changes_nothing(void **state)
{
    const char *path = scratch_path(*state, "v");
    const char *description = scratch_path(*state, "v.thin");
    struct volume *volume;
    struct errmsg err;

    scratch_file(path, 100, 7);
    assert_int_equal(volume_create(path, 512, MIB, &volume, &err), -EEXIST);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(scratch_count(*state), 1);
    unlink(path);
    scratch_text(description, "mine");
    assert_int_equal(volume_create(path, 512, MIB, &volume, &err), -EEXIST);
    assert_non_null(strstr(err.text, description));
    assert_false(scratch_exists(path));
    assert_int_equal(scratch_count(*state), 1);
}

static void a_failed_creation_leaves_nothing_behind(void **state)
{
    struct volume *volume;
    struct errmsg err;
    char name[260];

    assert_int_equal(volume_create(scratch_path(*state, "v"), 512, 513, &volume, &err), -EINVAL);
    assert_int_equal(volume_create(scratch_path(*state, "v"), 512, 0, &volume, &err), -EINVAL);
    assert_int_equal(volume_create(scratch_path(*state, "v"), 4096, 4096 + 512, &volume, &err),
                     -EINVAL);
    /* a name that is just short enough for the file, and too long for its description */
    memset(name, 'x', 255);
    name[255] = '\0';
    assert_int_equal(chdir(((struct scratch *)*state)->directory), 0);
    assert_int_equal(volume_create(name, 512, MIB, &volume, &err), -ENAMETOOLONG);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(scratch_count(*state), 0);
}

static void a_raw_file_is_adopted_with_its_bytes(void **state)
{
    const char *path = scratch_path(*state, "raw");
    struct volume *volume;
    struct errmsg err;
    uint8_t byte = 0;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};

    scratch_file(path, 8192, 0x3B);
    assert_int_equal(volume_open(path, false, &volume, &err), -ENOENT);
    assert_non_null(strstr(err.text, "thinvol create --adopt"));
    assert_int_equal(volume_adopt(path, 4096, &volume, &err), 0);
    assert_int_equal(volume_read(volume, &iov, 1, 8191), 0);
    assert_int_equal(byte, 0x3B);
    assert_int_equal(volume_close(volume), 0);
    assert_int_equal(volume_adopt(path, 4096, &volume, &err), -EEXIST);
    scratch_file(scratch_path(*state, "odd"), 8191, 1);
    assert_int_equal(volume_adopt(scratch_path(*state, "odd"), 512, &volume, &err), -EINVAL);
    assert_false(scratch_exists(scratch_path(*state, "odd.thin")));
    assert_int_equal(volume_adopt(scratch_path(*state, "none"), 512, &volume, &err), -ENOENT);
}

static void opening_says_what_is_missing_and_how_to_make_it(void **state)
{
    struct volume *volume;
    struct errmsg err;

    assert_int_equal(volume_open(scratch_path(*state, "none"), false, &volume, &err), -ENOENT);
    assert_non_null(strstr(err.text, "thinvol create"));
    assert_int_equal(volume_open(((struct scratch *)*state)->directory, false, &volume, &err),
                     -EISDIR);
}

static void a_size_of_no_whole_blocks_is_refused(void **state)
{
    const char *path = scratch_path(*state, "v");
    struct volume *volume;
    struct errmsg err;

    assert_int_equal(volume_create(path, 4096, MIB, &volume, &err), 0);
    volume_close(volume);
    assert_int_equal(truncate(path, MIB - 512), 0);
    assert_int_equal(volume_open(path, false, &volume, &err), -EINVAL);
    assert_non_null(strstr(err.text, "4096"));
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(volume_open(path, false, &volume, &err), -EINVAL);
}

static void a_volume_has_one_user(void **state)
{
    const char *path = scratch_path(*state, "v");
    struct volume *volume, *second;
    struct errmsg err;

    assert_int_equal(volume_create(path, 512, MIB, &volume, &err), 0);
    assert_int_equal(volume_open(path, false, &second, &err), -EBUSY);
    assert_int_equal(volume_open(path, true, &second, &err), -EBUSY);
    volume_close(volume);
    assert_int_equal(volume_open(path, true, &volume, &err), 0);
    assert_int_equal(volume_open(path, true, &second, &err), 0);
    volume_close(second);
    volume_close(volume);
}

static void a_read_only_volume_changes_nothing(void **state)
{
    const char *path = scratch_path(*state, "v");
    struct volume *volume;
    struct errmsg err;
    uint8_t block[512] = {1};
    struct iovec iov = {.iov_base = block, .iov_len = sizeof(block)};

    assert_int_equal(volume_create(path, 512, MIB, &volume, &err), 0);
    volume_close(volume);
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(volume_open(path, true, &volume, &err), 0);
    assert_true(volume_read_only(volume));
    assert_int_equal(volume_write(volume, &iov, 1, 0, false), -EROFS);
    assert_int_equal(volume_unmap(volume, 0, 512), -EROFS);
    assert_int_equal(volume_zero(volume, 0, 512), -EROFS);
    assert_int_equal(volume_resize(volume, 2 * MIB, true, &err), -EROFS);
    assert_int_equal(volume_flush(volume), 0);
    assert_int_equal(volume_read(volume, &iov, 1, 0), 0);
    assert_int_equal(block[0], 0);
    assert_int_equal(volume_close(volume), 0);
}

/* A volume of 4096-byte blocks over a store that maps 512 bytes at a time. */
static struct volume *open_splintered(struct store **ret_store)
{
    struct volume_meta meta;
    struct volume *volume;
    struct errmsg err;

    volume_meta_init(&meta, 4096);
    assert_int_equal(store_mem_create(MIB, 512, ret_store), 0);
    assert_int_equal(volume_over_store(*ret_store, &meta, false, &volume, &err), 0);
    assert_int_equal(volume_granularity(volume), 4096);
    return volume;
}

static void assert_extent(struct volume *volume, uint64_t offset, uint64_t length,
                          enum extent_status status)
{
    struct extent extent;

    assert_int_equal(volume_extent(volume, offset, volume_bytes(volume), &extent), 0);
    assert_int_equal(extent.start, offset);
    assert_int_equal(extent.length, length);
    assert_int_equal(extent.status, status);
}

static void the_map_has_whole_blocks_only(void **state)
{
    uint8_t bytes[512] = {1};
    struct iovec iov = {.iov_base = bytes, .iov_len = 512};
    struct store *store;
    struct volume *volume = open_splintered(&store);

    (void)state;
    assert_extent(volume, 0, MIB, EXTENT_DEALLOCATED);
    assert_int_equal(store_write(store, &iov, 1, 5 * 4096 + 1024, false), 0);
    assert_int_equal(store_write(store, &iov, 1, 7 * 4096 - 512, false), 0);
    assert_int_equal(store_write(store, &iov, 1, 9 * 4096, false), 0);
    assert_extent(volume, 0, 5 * 4096, EXTENT_DEALLOCATED);
    assert_extent(volume, 5 * 4096, 2 * 4096, EXTENT_MAPPED);
    assert_extent(volume, 6 * 4096, 4096, EXTENT_MAPPED);
    assert_extent(volume, 7 * 4096, 2 * 4096, EXTENT_DEALLOCATED);
    assert_extent(volume, 9 * 4096, 4096, EXTENT_MAPPED);
    assert_extent(volume, 10 * 4096, MIB - 10 * 4096, EXTENT_DEALLOCATED);
    volume_close(volume);
}

/* A store that only has a map, of 8 pieces of 512 bytes that come again and again. */
struct map_store {
    struct store store;
    const enum extent_status *pieces;
};

static void map_close(struct store *store)
{
    (void)store;
}

static int map_flush(struct store *store)
{
    (void)store;
    return 0;
}

static int map_extents(struct store *store, uint64_t offset, uint64_t limit, struct extent *ret,
                       size_t room, size_t *ret_count)
{
    (void)limit;
    (void)room;
    *ret_count = 1;
    *ret = (struct extent){.start = offset,
                           .length = 512,
                           .status = ((struct map_store *)store)->pieces[offset / 512 % 8]};
    return 0;
}

static void a_block_has_the_status_of_its_parts_if_they_agree_and_is_mapped_if_not(void **state)
{
    const enum extent_status M = EXTENT_MAPPED, D = EXTENT_DEALLOCATED, A = EXTENT_ANCHORED;
    const struct {
        enum extent_status pieces[8];
        enum extent_status expected;
    } cases[] = {
        {{D, D, D, D, D, D, D, D}, D}, {{A, A, A, A, A, A, A, A}, A}, {{M, M, M, M, M, M, M, M}, M},
        {{D, D, D, D, D, D, D, A}, M}, {{A, D, D, D, D, D, D, D}, M}, {{A, A, D, D, D, D, A, A}, M},
        {{D, D, D, D, D, D, D, M}, M}, {{M, D, D, D, D, D, D, D}, M}, {{A, A, A, M, A, A, A, A}, M},
    };
    static const struct store_ops ops = {.kind = "map",
                                         .close = map_close,
                                         .flush = map_flush,
                                         .extents = map_extents};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct map_store store = {.store = {.ops = &ops,
                                            .size_bytes = 16 * 4096,
                                            .granularity_bytes = 512},
                                  .pieces = cases[i].pieces};
        struct volume_meta meta;
        struct volume *volume;
        struct errmsg err;

        volume_meta_init(&meta, 4096);
        assert_int_equal(volume_over_store(&store.store, &meta, false, &volume, &err), 0);
        assert_extent(volume, 4096, 15 * 4096, cases[i].expected);
        volume_close(volume);
    }
}

static void a_splintered_map_is_told_in_bounded_time(void **state)
{
    uint8_t bytes[512] = {1};
    struct iovec iov = {.iov_base = bytes, .iov_len = 512};
    struct store *store;
    struct volume *volume = open_splintered(&store);
    struct extent extent;
    uint64_t at = 0;

    (void)state;
    for (uint64_t offset = 0; offset < MIB; offset += 1024)
        assert_int_equal(store_write(store, &iov, 1, offset, false), 0);
    store_mem_set_fault(store, "extent", 1000, EIO); /* there are 2048 pieces */
    assert_int_equal(volume_extent(volume, 0, MIB, &extent), 0);
    assert_int_equal(extent.status, EXTENT_MAPPED);
    store_mem_set_fault(store, "extent", 0, 0);
    for (; at < MIB; at += extent.length) {
        assert_int_equal(volume_extent(volume, at, MIB, &extent), 0);
        assert_int_equal(extent.status, EXTENT_MAPPED);
        assert_int_equal(extent.length % 4096, 0);
    }
    assert_int_equal(at, MIB);
    volume_close(volume);
}

static void resizing_keeps_whole_blocks_and_mapped_ones(void **state)
{
    const char *path = scratch_path(*state, "v");
    struct volume *volume;
    struct errmsg err;

    assert_int_equal(volume_create(path, 512, MIB, &volume, &err), 0);
    assert_int_equal(volume_resize(volume, 2 * MIB, false, &err), 0);
    assert_int_equal(volume_bytes(volume), 2 * MIB);
    write_bytes(volume, MIB + 8192, 4096, 1);
    assert_int_equal(volume_resize(volume, MIB + 513, false, &err), -EINVAL);
    assert_int_equal(volume_resize(volume, 0, true, &err), -EINVAL);
    assert_int_equal(volume_resize(volume, MIB, false, &err), -EBUSY);
    assert_non_null(strstr(err.text, "LBA 2064"));
    assert_int_equal(volume_bytes(volume), 2 * MIB);
    assert_int_equal(volume_resize(volume, MIB + 12288, false, &err), 0);
    assert_int_equal(volume_resize(volume, MIB, true, &err), 0);
    assert_int_equal(volume_resize(volume, 2 * MIB, false, &err), 0);
    assert_extent(volume, 0, 2 * MIB, EXTENT_DEALLOCATED);
    assert_int_equal(volume_resize(volume, UINT64_MAX - 511, false, &err), -EFBIG);
    assert_int_equal(volume_close(volume), 0);
    assert_int_equal(volume_open(path, false, &volume, &err), 0);
    assert_int_equal(volume_bytes(volume), 2 * MIB);
    volume_close(volume);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

struct counting {
    struct volume *volume;
    uint64_t offset; /* of bytes of its own, beside the counter's */
    const char *trouble;
};

#define COUNTS        300
#define COUNTER_BYTES 8192
#define COUNTERS      (COUNTER_BYTES / sizeof(uint32_t))

static int count_up(uint8_t *bytes, size_t length, void *context)
{
    uint32_t counters[COUNTERS];

    (void)context;
    memcpy(counters, bytes, length);
    for (size_t i = 0; i < COUNTERS; i++)
        counters[i]++;
    memcpy(bytes, counters, length);
    return 0;
}

static void *count_and_write(void *argument)
{
    struct counting *counting = argument;
    uint32_t counters[COUNTERS];
    struct iovec iov = {.iov_base = counters, .iov_len = COUNTER_BYTES};
    bool source_failed;

    for (int i = 0; i < COUNTS && !counting->trouble; i++) {
        if (volume_update(counting->volume, MIB, counters, COUNTER_BYTES, count_up, NULL, false))
            counting->trouble = "the update failed";
        if (volume_write(counting->volume, &iov, 1, counting->offset, false) ||
            volume_unmap(counting->volume, counting->offset, COUNTER_BYTES) ||
            volume_copy(counting->volume, counting->offset, counting->volume, MIB, COUNTER_BYTES,
                        &source_failed) ||
            volume_read(counting->volume, &iov, 1, i % 2 ? MIB : counting->offset))
            counting->trouble = "an operation beside it failed";
        for (size_t c = 1; c < COUNTERS; c++)
            if (counters[c] != counters[0])
                counting->trouble = "half an update was read or copied";
    }
    return NULL;
}

static void an_update_is_one_step_for_everybody(void **state)
{
    struct counting counting[4];
    pthread_t threads[4];
    uint32_t counters[COUNTERS];
    struct iovec iov = {.iov_base = counters, .iov_len = COUNTER_BYTES};
    struct volume *volume;
    struct errmsg err;

    assert_int_equal(volume_create(scratch_path(*state, "v"), 512, 4 * MIB, &volume, &err), 0);
    for (unsigned i = 0; i < 4; i++) {
        counting[i] = (struct counting){volume, MIB + (i + 1) * COUNTER_BYTES, NULL};
        assert_int_equal(pthread_create(&threads[i], NULL, count_and_write, &counting[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (counting[i].trouble)
            fail_msg("thread %u: %s", i, counting[i].trouble);
    }
    assert_int_equal(volume_read(volume, &iov, 1, MIB), 0);
    for (size_t i = 0; i < COUNTERS; i++)
        assert_int_equal(counters[i], 4 * COUNTS);
    assert_int_equal(volume_close(volume), 0);
}

struct neighbour {
    struct volume *volume;
    int write_error;
    int read_error;
};

/* As another thread would, for the bytes that are being updated. */
static int try_both(uint8_t *bytes, size_t length, void *context)
{
    struct neighbour *neighbour = context;
    struct iovec iov = {.iov_base = bytes, .iov_len = length};

    neighbour->write_error = volume_try_write(neighbour->volume, &iov, 1, 512);
    neighbour->read_error = volume_read_cached(neighbour->volume, &iov, 1, 512);
    return 1;
}

static void who_will_not_wait_for_an_update_is_told(void **state)
{
    struct neighbour neighbour = {0};
    struct errmsg err;
    uint8_t bytes[512];
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};

    assert_int_equal(volume_create(scratch_path(*state, "v"), 512, MIB, &neighbour.volume, &err),
                     0);
    assert_int_equal(volume_update(neighbour.volume, 512, bytes, 512, try_both, &neighbour, false),
                     1);
    assert_int_equal(neighbour.write_error, -EAGAIN);
    assert_int_equal(neighbour.read_error, -EAGAIN);
    assert_int_equal(volume_try_write(neighbour.volume, &iov, 1, 512), 0);
    assert_int_equal(volume_close(neighbour.volume), 0);
}

static int leave_it(uint8_t *bytes, size_t length, void *context)
{
    memset(bytes, 0xEE, length);
    return *(int *)context;
}

static void an_update_that_is_not_wanted_changes_nothing(void **state)
{
    uint8_t bytes[512];
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct volume *volume;
    struct errmsg err;

    assert_int_equal(volume_create(scratch_path(*state, "v"), 512, MIB, &volume, &err), 0);
    write_bytes(volume, 512, 512, 0x11);
    for (int answer = -1; answer <= 1; answer += 2) {
        assert_int_equal(volume_update(volume, 512, bytes, 512, leave_it, &answer, false), answer);
        assert_int_equal(volume_read(volume, &iov, 1, 512), 0);
        for (size_t i = 0; i < sizeof(bytes); i++)
            assert_int_equal(bytes[i], 0x11);
    }
    assert_int_equal(volume_update(volume, MIB, bytes, 512, leave_it, NULL, false), -ERANGE);
    assert_int_equal(volume_close(volume), 0);
}

/* Where a description cannot be written for a while. */
static void a_seal_that_cannot_be_written_down_is_not_there(void **state)
{
    char folder[256], aside[256], path[300];
    struct volume *volume;
    struct errmsg err;
    uint8_t byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};

    snprintf(folder, sizeof(folder), "%s", scratch_path(*state, "folder"));
    snprintf(aside, sizeof(aside), "%s", scratch_path(*state, "aside"));
    snprintf(path, sizeof(path), "%s/v", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(volume_create(path, 512, MIB, &volume, &err), 0);
    assert_int_equal(rename(folder, aside), 0);
    assert_int_equal(volume_seal(volume, VOLUME_SEALED_RESTRICTED, &err), -ENOENT);
    assert_int_equal(volume_read(volume, &iov, 1, 0), 0);
    assert_int_equal(rename(aside, folder), 0);
    assert_int_equal(volume_seal(volume, VOLUME_SEALED_RESTRICTED, &err), 0);
    assert_int_equal(rename(folder, aside), 0);
    assert_int_equal(volume_unseal(volume, &err), -ENOENT);
    assert_int_equal(volume_read(volume, &iov, 1, 0), -ESHUTDOWN);
    assert_int_equal(rename(aside, folder), 0);
    assert_int_equal(volume_close(volume), 0);
    assert_int_equal(volume_open(path, false, &volume, &err), 0);
    assert_int_equal(volume_get_meta(volume)->seal, VOLUME_SEALED_RESTRICTED);
    assert_int_equal(volume_close(volume), 0);
    snprintf(aside, sizeof(aside), "%s.thin", path);
    assert_int_equal(unlink(aside) | unlink(path) | rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(a_volume_keeps_its_identity_and_bytes),
        IN_SCRATCH(saved_mode_pages_are_there_at_the_next_open),
        IN_SCRATCH(two_volumes_differ),
        IN_SCRATCH(creating_over_anything_is_refused_and_changes_nothing),
        IN_SCRATCH(a_failed_creation_leaves_nothing_behind),
        IN_SCRATCH(a_raw_file_is_adopted_with_its_bytes),
        IN_SCRATCH(opening_says_what_is_missing_and_how_to_make_it),
        IN_SCRATCH(a_size_of_no_whole_blocks_is_refused),
        IN_SCRATCH(a_volume_has_one_user),
        IN_SCRATCH(a_read_only_volume_changes_nothing),
        cmocka_unit_test(the_map_has_whole_blocks_only),
        cmocka_unit_test(a_block_has_the_status_of_its_parts_if_they_agree_and_is_mapped_if_not),
        cmocka_unit_test(a_splintered_map_is_told_in_bounded_time),
        IN_SCRATCH(resizing_keeps_whole_blocks_and_mapped_ones),
        IN_SCRATCH(an_update_is_one_step_for_everybody),
        IN_SCRATCH(who_will_not_wait_for_an_update_is_told),
        IN_SCRATCH(an_update_that_is_not_wanted_changes_nothing),
        IN_SCRATCH(a_seal_that_cannot_be_written_down_is_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
