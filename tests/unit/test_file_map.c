/* SPDX-License-Identifier: Apache-2.0 */

/* The map of a file with unwritten extents: that it is right, whatever the cache holds, and what it
 * costs. The system calls that tell of extents are wrapped by the linker, which counts the
 * unwritten extents that they pass. */

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"
#include "skip.h"
#include "store_file.h"

#define GRANULE 4096

/* Of these every other one is a hole. */
#define STRIPES 2048
#define SIZE    ((uint64_t)STRIPES * GRANULE)

static struct {
    uint64_t passed; /* stripes that SEEK_DATA looked through, extents that were listed */
    int list_error;  /* FIEMAP gives it; 0: it does not */
    unsigned lists;
    bool write_out_fails; /* sync_file_range gives EIO */
    unsigned write_outs;
} seen;

off_t __real_lseek64(int fd, off_t offset, int whence);
off_t __wrap_lseek64(int fd, off_t offset, int whence);
int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);
int __real_sync_file_range(int fd, off_t offset, off_t length, unsigned flags);
int __wrap_sync_file_range(int fd, off_t offset, off_t length, unsigned flags);

off_t __wrap_lseek64(int fd, off_t offset, int whence)
{
    off_t result = __real_lseek64(fd, offset, whence);
    off_t end = result < 0 ? (off_t)SIZE : result;

    if (whence == SEEK_DATA && end > offset)
        seen.passed += (uint64_t)(end - offset) / GRANULE;
    return result;
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    int result;

    seen.lists += request == FS_IOC_FIEMAP;
    if (request == FS_IOC_FIEMAP && seen.list_error) {
        errno = seen.list_error;
        return -1;
    }
    result = __real_ioctl(fd, request, argument);
    if (request == FS_IOC_FIEMAP && result == 0)
        seen.passed += ((const struct fiemap *)argument)->fm_mapped_extents;
    return result;
}

int __wrap_sync_file_range(int fd, off_t offset, off_t length, unsigned flags)
{
    seen.write_outs++;
    if (seen.write_out_fails) {
        errno = EIO;
        return -1;
    }
    return __real_sync_file_range(fd, offset, length, flags);
}

struct bench {
    struct scratch scratch;
    struct store *store;
};

static void open_store(struct bench *bench, const char *directory)
{
    char path[160];
    struct errmsg err;

    snprintf(path, sizeof(path), "%s/store", directory);
    if (store_file_create(path, SIZE, &bench->store, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    assert_non_null(bench);
    scratch_make(&bench->scratch);
    open_store(bench, bench->scratch.directory);
    memset(&seen, 0, sizeof(seen));
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;

    store_close(bench->store);
    scratch_remove(&bench->scratch);
    free(bench);
    return 0;
}

static struct store *store_that_anchors(void **state)
{
    struct store *store = ((struct bench *)*state)->store;

    if (!store->can_anchor)
        skip_because("this file system does not tell reserved storage from written");
    return store;
}

static void write_granule(struct store *store, uint64_t granule)
{
    uint8_t bytes[GRANULE];
    struct iovec iov = {.iov_base = bytes, .iov_len = GRANULE};

    memset(bytes, 0x5A, sizeof(bytes));
    assert_int_equal(store_write(store, &iov, 1, granule * GRANULE, false), 0);
}

static void read_granule(struct store *store, uint64_t granule)
{
    uint8_t bytes[GRANULE];
    struct iovec iov = {.iov_base = bytes, .iov_len = GRANULE};

    assert_int_equal(store_read(store, &iov, 1, granule * GRANULE), 0);
}

static void anchor(struct store *store, uint64_t granule, uint64_t count)
{
    assert_int_equal(store_anchor(store, granule * GRANULE, count * GRANULE), 0);
}

static void anchor_every_other(struct store *store)
{
    for (uint64_t i = 0; i < STRIPES; i += 2)
        anchor(store, i, 1);
}

static void assert_stripe(const struct extent *extent, uint64_t at)
{
    assert_int_equal(extent->start, at);
    assert_int_equal(extent->status, at / GRANULE % 2 == 0 ? EXTENT_ANCHORED : EXTENT_DEALLOCATED);
    assert_true(extent->length <= GRANULE);
}

/* Looks at all of it, room extents a call. */
static void walk_stripes(struct store *store, size_t room)
{
    struct extent extents[512];
    size_t count;

    for (uint64_t at = 0; at < SIZE;) {
        assert_int_equal(store_extents(store, at, SIZE, extents, room, &count), 0);
        assert_in_range(count, 1, room);
        for (size_t i = 0; i < count; i++) {
            assert_stripe(&extents[i], at);
            at += extents[i].length;
        }
    }
}

/* It had been the square of their number. */
static void a_map_passes_each_unwritten_extent_a_few_times(void **state)
{
    struct store *store = store_that_anchors(state);

    anchor_every_other(store);
    seen.passed = 0;
    walk_stripes(store, 512);
    assert_in_range(seen.passed, STRIPES / 2, 4 * STRIPES);
}

static void one_extent_costs_the_same_wherever_it_is_and_whatever_follows(void **state)
{
    struct store *store = store_that_anchors(state);
    struct extent extent;

    anchor_every_other(store);
    for (uint64_t i = 0; i < STRIPES; i += 61) {
        seen.passed = 0;
        assert_int_equal(store_extent(store, i * GRANULE, SIZE, &extent), 0);
        assert_stripe(&extent, i * GRANULE);
        assert_in_range(seen.passed, 1, 64);
    }
}

/* Also where what is asked for ends before the unwritten extents begin. */
static void what_lies_behind_the_limit_costs_nothing(void **state)
{
    struct store *store = store_that_anchors(state);
    struct extent extent;

    anchor_every_other(store);
    assert_int_equal(store_punch(store, 0, 8 * GRANULE), 0);
    seen.passed = 0;
    assert_int_equal(store_extent(store, 0, 4 * GRANULE, &extent), 0);
    assert_int_equal(extent.status, EXTENT_DEALLOCATED);
    assert_int_equal(extent.length, 4 * GRANULE);
    assert_in_range(seen.passed, 0, 64);
}

static void mapped_extents_need_no_writing_out(void **state)
{
    struct store *store = ((struct bench *)*state)->store;
    struct extent extents[STRIPES];
    size_t count;

    for (uint64_t i = 1; i < STRIPES; i += 2)
        write_granule(store, i);
    assert_int_equal(store_flush(store), 0);
    seen.write_outs = 0;
    assert_int_equal(store_extents(store, 0, 128 * GRANULE, extents, STRIPES, &count), 0);
    assert_int_equal(count, 128);
    assert_int_equal(seen.write_outs, 0);
}

static void assert_one(struct store *store, uint64_t granule, enum extent_status status)
{
    struct extent extent;

    assert_int_equal(store_extent(store, granule * GRANULE, (granule + 1) * GRANULE, &extent), 0);
    assert_int_equal(extent.status, status);
}

static void a_page_that_was_read_leaves_an_unwritten_extent_anchored(void **state)
{
    struct store *store = store_that_anchors(state);

    anchor(store, 100, 20);
    for (uint64_t i = 90; i < 130; i++)
        read_granule(store, i);
    assert_one(store, 105, EXTENT_ANCHORED);
    assert_one(store, 95, EXTENT_DEALLOCATED);
    assert_one(store, 125, EXTENT_DEALLOCATED);
}

static void what_the_cache_holds_over_an_unwritten_extent_is_mapped(void **state)
{
    struct store *store = store_that_anchors(state);
    struct extent extents[8];
    size_t count;

    anchor(store, 0, 1024);
    write_granule(store, 600);
    assert_one(store, 600, EXTENT_MAPPED);
    assert_one(store, 0, EXTENT_ANCHORED);
    write_granule(store, 300);
    assert_int_equal(store_extents(store, 0, SIZE, extents, 8, &count), 0);
    assert_int_equal(extents[0].status, EXTENT_ANCHORED);
    assert_int_equal(extents[1].status, EXTENT_MAPPED);
    assert_true(extents[1].start <= 300 * GRANULE);
    assert_true(extents[1].start + extents[1].length > 300 * GRANULE);
}

static void what_cannot_be_written_out_is_mapped(void **state)
{
    struct store *store = store_that_anchors(state);

    anchor(store, 0, 16);
    seen.write_out_fails = true;
    assert_one(store, 3, EXTENT_MAPPED);
    seen.write_out_fails = false;
    assert_one(store, 3, EXTENT_ANCHORED);
}

/* FIEMAP's errors for a file system without it are these (vfs_ioctl, ioctl_fiemap); then SEEK_HOLE
 * says what is a hole, and the rest is mapped. */
static void a_file_system_that_lists_no_extents_is_asked_for_them_once(void **state)
{
    static const int errors[] = {EOPNOTSUPP, ENOTTY, EINVAL};

    (void)state;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        void *own;
        struct store *store;

        assert_int_equal(setup(&own), 0);
        store = ((struct bench *)own)->store;
        write_granule(store, 3);
        seen.list_error = errors[i];
        seen.lists = 0;
        for (int k = 0; k < 5; k++) {
            assert_one(store, 3, EXTENT_MAPPED);
            assert_one(store, 100, EXTENT_DEALLOCATED);
        }
        seen.list_error = 0;
        assert_int_equal(seen.lists, 1);
        assert_int_equal(teardown(&own), 0);
    }
}

/* The listing ends with the last extent; up to the limit it says that there is none. */
static void the_hole_behind_the_last_extent_is_in_the_same_answer(void **state)
{
    struct store *store = store_that_anchors(state);
    struct extent extents[8];
    size_t count;

    anchor(store, 5, 1);
    seen.lists = 0;
    assert_int_equal(store_extents(store, 0, SIZE, extents, 8, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(extents[1].start, 5 * GRANULE);
    assert_int_equal(extents[1].status, EXTENT_ANCHORED);
    assert_int_equal(extents[2].start + extents[2].length, SIZE);
    assert_int_equal(extents[2].status, EXTENT_DEALLOCATED);
}

/* What was done to each granule last. */
enum last { LAST_NOTHING, LAST_ZEROED, LAST_WRITTEN };

static void change_at_random(struct store *store, enum last *last)
{
    uint64_t first = (uint64_t)rand() % (STRIPES - 64), count = 1 + (uint64_t)rand() % 24;
    enum last made = LAST_NOTHING;

    switch (rand() % 8) {
    case 0:
    case 1:
        assert_int_equal(store_zero(store, first * GRANULE, count * GRANULE), 0);
        made = LAST_ZEROED;
        break;
    case 2:
        assert_int_equal(store_punch(store, first * GRANULE, count * GRANULE), 0);
        break;
    case 3:
        assert_int_equal(store_flush(store), 0);
        return;
    case 4:
        for (uint64_t i = 0; i < count; i++)
            read_granule(store, first + i);
        return;
    default:
        count = 1 + count / 8;
        for (uint64_t i = 0; i < count; i++)
            write_granule(store, first + i);
        made = LAST_WRITTEN;
        break;
    }
    for (uint64_t i = 0; i < count; i++)
        last[first + i] = made;
}

static void assert_told(const struct extent *extent, const enum last *last)
{
    assert_int_equal(extent->start % GRANULE, 0);
    for (uint64_t i = extent->start / GRANULE; i * GRANULE < extent->start + extent->length; i++) {
        if (last[i] == LAST_WRITTEN)
            assert_int_equal(extent->status, EXTENT_MAPPED);
        if (last[i] == LAST_NOTHING)
            assert_int_equal(extent->status, EXTENT_DEALLOCATED);
        /* ext4 writes a few zeros rather than split a small unwritten extent. */
        if (last[i] == LAST_ZEROED)
            assert_int_not_equal(extent->status, EXTENT_DEALLOCATED);
    }
}

static void the_map_is_what_was_done_in_any_order(void **state)
{
    struct store *store = ((struct bench *)*state)->store;
    enum last *last = calloc(STRIPES, sizeof(*last));
    struct extent extents[64];
    size_t count;

    assert_non_null(last);
    srand(20);
    for (int round = 0; round < 60; round++) {
        uint64_t at = (uint64_t)rand() % STRIPES, end;

        for (int i = 0; i < 10; i++)
            change_at_random(store, last);
        end = at + 1 + (uint64_t)rand() % (STRIPES - at);
        while (at < end) {
            assert_int_equal(store_extents(store, at * GRANULE, end * GRANULE, extents,
                                           1 + (size_t)rand() % 64, &count),
                             0);
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(extents[i].start, at * GRANULE);
                assert_told(&extents[i], last);
                at += extents[i].length / GRANULE;
            }
        }
    }
    free(last);
}

/* Its descriptors do not write out the cache of the file below. */
static void over_another_file_system_what_the_cache_holds_is_mapped(void **state)
{
    struct bench bench = {0};
    const char *names[] = {"lower", "upper", "work", "merged"};
    struct scratch scratch;
    char options[512];

    (void)state;
    if (!scratch_mount(&scratch, "tmpfs", NULL))
        skip_because("nothing can be mounted here, not even in a namespace");
    scratch_remove(&scratch);
    scratch_make(&bench.scratch);
    for (int i = 0; i < 4; i++)
        assert_int_equal(mkdir(scratch_path(&bench.scratch, names[i]), 0700), 0);
    snprintf(options, sizeof(options), "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
             bench.scratch.directory, bench.scratch.directory, bench.scratch.directory);
    if (mount("none", scratch_path(&bench.scratch, "merged"), "overlay", 0, options) < 0) {
        scratch_remove(&bench.scratch);
        skip_because("overlayfs cannot be mounted here");
    }
    open_store(&bench, scratch_path(&bench.scratch, "merged"));
    assert_int_equal(store_zero(bench.store, 0, 64 * GRANULE), 0);
    write_granule(bench.store, 20);
    assert_one(bench.store, 20, EXTENT_MAPPED);
    store_close(bench.store);
    umount2(scratch_path(&bench.scratch, "merged"), MNT_DETACH);
    scratch_remove(&bench.scratch);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_map_passes_each_unwritten_extent_a_few_times),
        WITH_STORE(one_extent_costs_the_same_wherever_it_is_and_whatever_follows),
        WITH_STORE(what_lies_behind_the_limit_costs_nothing),
        WITH_STORE(mapped_extents_need_no_writing_out),
        WITH_STORE(a_page_that_was_read_leaves_an_unwritten_extent_anchored),
        WITH_STORE(what_the_cache_holds_over_an_unwritten_extent_is_mapped),
        WITH_STORE(what_cannot_be_written_out_is_mapped),
        cmocka_unit_test(a_file_system_that_lists_no_extents_is_asked_for_them_once),
        WITH_STORE(the_hole_behind_the_last_extent_is_in_the_same_answer),
        WITH_STORE(the_map_is_what_was_done_in_any_order),
        cmocka_unit_test(over_another_file_system_what_the_cache_holds_is_mapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
