/* SPDX-License-Identifier: Apache-2.0 */

/* Watches: what counts as a change, and that none is missed. */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store_mem.h"
#include "volume.h"
#include "volume_watch.h"

#define BYTES (1 << 20)

static int setup(void **state)
{
    struct volume_meta meta;
    struct volume *volume;
    struct store *store;
    struct errmsg err;

    volume_meta_init(&meta, 512);
    assert_int_equal(store_mem_create(BYTES, 4096, &store), 0);
    assert_int_equal(volume_over_store(store, &meta, false, &volume, &err), 0);
    *state = volume;
    return 0;
}

static int teardown(void **state)
{
    return volume_close(*state);
}

static void write_byte(struct volume *volume, uint64_t offset, uint8_t byte)
{
    uint8_t bytes[512];
    struct iovec iov = {bytes, sizeof(bytes)};

    memset(bytes, byte, sizeof(bytes));
    assert_int_equal(volume_write(volume, &iov, 1, offset, false), 0);
}

static struct volume_watch *watch(struct volume *volume)
{
    const struct volume_range ranges[] = {{4096, 4096}, {65536, 512}};
    struct volume_watch *made;

    assert_int_equal(volume_watch_set(volume, ranges, 2, &made), 0);
    return made;
}

static void reading_and_changes_beside_are_no_changes(void **state)
{
    struct volume *volume = *state;
    struct volume_watch *made = watch(volume);
    struct extent extent;
    bool source_failed;
    uint8_t bytes[512];
    struct iovec iov = {bytes, sizeof(bytes)};

    write_byte(volume, 3584, 1);
    write_byte(volume, 8192, 1);
    write_byte(volume, 65024, 1);
    write_byte(volume, 66048, 1);
    assert_int_equal(volume_read(volume, &iov, 1, 4096), 0);
    assert_int_equal(volume_extent(volume, 4096, 8192, &extent), 0);
    assert_int_equal(volume_copy(volume, 131072, volume, 0, 131072, &source_failed), 0);
    assert_int_equal(volume_unmap(volume, 8192, 4096), 0);
    assert_int_equal(volume_flush(volume), 0);
    assert_false(volume_watch_changed(made));
    volume_watch_end(made);
}

static int leave(uint8_t *bytes, size_t length, void *context)
{
    (void)bytes;
    (void)length;
    (void)context;
    return 0;
}

static void each_kind_of_change_is_noticed(void **state)
{
    struct volume *volume = *state;

    for (int how = 0; how < 8; how++) {
        struct volume_watch *made = watch(volume), *other = watch(volume);
        uint8_t bytes[1024];
        bool source_failed;
        struct errmsg err;

        switch (how) {
        case 0:
            write_byte(volume, 7680, 2);
            break;
        case 1:
            assert_int_equal(volume_unmap(volume, 0, 4608), 0);
            break;
        case 2:
            assert_int_equal(volume_zero(volume, 65536, 512), 0);
            break;
        case 3:
            assert_int_equal(volume_unmap_all(volume), 0);
            break;
        case 4:
            assert_int_equal(volume_update(volume, 65024, bytes, 1024, leave, NULL, false), 0);
            break;
        case 5:
            assert_int_equal(volume_copy(volume, 4096, volume, 524288, 512, &source_failed), 0);
            break;
        case 6:
            assert_int_equal(volume_copy(volume, 2048, volume, 0, 4096, &source_failed), 0);
            break;
        default:
            assert_int_equal(volume_resize(volume, BYTES / 2, true, &err), 0);
            assert_int_equal(volume_resize(volume, BYTES, true, &err), 0);
            break;
        }
        assert_true(volume_watch_changed(made));
        assert_true(volume_watch_changed(other));
        volume_watch_end(other);
        volume_watch_end(made);
    }
}

static void a_watch_beyond_the_end_is_refused(void **state)
{
    const struct volume_range beyond = {BYTES - 512, 1024}, wraps = {UINT64_MAX - 511, 1024};
    struct volume_watch *made;

    assert_int_equal(volume_watch_set(*state, &beyond, 1, &made), -ERANGE);
    assert_int_equal(volume_watch_set(*state, &wraps, 1, &made), -ERANGE);
    volume_watch_end(NULL);
}

struct writer {
    struct volume *volume;
    atomic_bool stop;
};

static void *write_on(void *argument)
{
    struct writer *writer = argument;

    for (unsigned i = 0; !writer->stop; i++) {
        write_byte(writer->volume, 4096 + 512 * (i % 8), (uint8_t)i);
        sched_yield();
    }
    return NULL;
}

#define ENOUGH 50
#define MOST   1000000

/* Rounds in which nothing changed and rounds in which something did, until there are enough of
 * both. */
static void what_is_read_before_a_change_is_noticed_is_what_was_there(void **state)
{
    struct writer writer = {.volume = *state};
    const struct volume_range range = {4096, 4096};
    uint8_t first[4096], again[4096];
    struct iovec first_iov = {first, sizeof(first)}, again_iov = {again, sizeof(again)};
    unsigned changed = 0, unchanged = 0;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, write_on, &writer), 0);
    for (int i = 0; i < MOST && (changed < ENOUGH || unchanged < ENOUGH); i++) {
        struct volume_watch *made;

        assert_int_equal(volume_watch_set(*state, &range, 1, &made), 0);
        if (i % 2)
            sched_yield();
        assert_int_equal(volume_read(*state, &first_iov, 1, 4096), 0);
        assert_int_equal(volume_read(*state, &again_iov, 1, 4096), 0);
        if (volume_watch_changed(made)) {
            changed++;
        } else {
            unchanged++;
            assert_memory_equal(first, again, sizeof(first));
        }
        volume_watch_end(made);
    }
    writer.stop = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(changed > 0);
    assert_true(unchanged > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reading_and_changes_beside_are_no_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(each_kind_of_change_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_watch_beyond_the_end_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_read_before_a_change_is_noticed_is_what_was_there,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
