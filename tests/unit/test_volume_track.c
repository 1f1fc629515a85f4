/* SPDX-License-Identifier: Apache-2.0 */

/* Every change of a volume is marked in its change record before it happens. */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checked.h"
#include "log.h"
#include "model_medium.h"
#include "record.h"
#include "store_mem.h"
#include "volume.h"
#include "volume_sanitize.h"
#include "volume_track.h"

#define MIB   (UINT64_C(1) << 20)
#define BYTES (64 * MIB)

static unsigned zero(unsigned n)
{
    (void)n;
    return 0;
}

static void nothing(void)
{
}

static void say_nothing(enum log_level level, const char *message)
{
    (void)level;
    (void)message;
}

/* A store that sees whether what is changed in it is marked already. */
struct watched {
    struct store store;
    struct store *inner;
    struct record *record; /* NULL: not looked at */
    uint8_t since[RECORD_ID_BYTES];
    atomic_uint changes;
    atomic_uint unmarked;
};

struct cover {
    uint64_t at;
    uint64_t end;
};

static int find_cover(uint64_t offset, uint64_t length, bool suspect, void *context)
{
    struct cover *cover = context;

    (void)suspect;
    if (offset <= cover->at && cover->at < offset + length)
        cover->at = min_u64(offset + length, cover->end);
    return 0;
}

static struct store *see(struct store *store, uint64_t offset, uint64_t length)
{
    struct watched *watched = (struct watched *)store;
    struct cover cover = {offset, offset + length};

    watched->changes++;
    if (watched->record) {
        assert_int_equal(record_changed(watched->record, watched->since, find_cover, &cover), 0);
        watched->unmarked += cover.at != cover.end;
    }
    return watched->inner;
}

static void watched_close(struct store *store)
{
    store_close(((struct watched *)store)->inner);
    free(store);
}

static int watched_read(struct store *store, const struct iovec *iov, int iov_count,
                        uint64_t offset)
{
    return store_read(((struct watched *)store)->inner, iov, iov_count, offset);
}

static int watched_write(struct store *store, const struct iovec *iov, int iov_count,
                         uint64_t offset, bool fua)
{
    size_t length = 0;

    for (int i = 0; i < iov_count; i++)
        length += iov[i].iov_len;
    return store_write(see(store, offset, length), iov, iov_count, offset, fua);
}

static int watched_flush(struct store *store)
{
    return store_flush(((struct watched *)store)->inner);
}

static int watched_punch(struct store *store, uint64_t offset, uint64_t length)
{
    return store_punch(see(store, offset, length), offset, length);
}

static int watched_zero(struct store *store, uint64_t offset, uint64_t length)
{
    return store_zero(see(store, offset, length), offset, length);
}

static int watched_anchor(struct store *store, uint64_t offset, uint64_t length)
{
    return store_anchor(see(store, offset, length), offset, length);
}

static int watched_extents(struct store *store, uint64_t offset, uint64_t limit, struct extent *ret,
                           size_t room, size_t *ret_count)
{
    return store_extents(((struct watched *)store)->inner, offset, limit, ret, room, ret_count);
}

static int watched_copy(struct store *store, uint64_t offset, struct store *from,
                        uint64_t from_offset, uint64_t length)
{
    (void)from;
    (void)from_offset;
    see(store, offset, length);
    return -EOPNOTSUPP;
}

static int watched_resize(struct store *store, uint64_t bytes)
{
    uint64_t before = store->size_bytes;

    if (bytes < before)
        see(store, bytes, before - bytes);
    return store_resize(((struct watched *)store)->inner, bytes);
}

static int watched_space(struct store *store, struct store_space *ret)
{
    return store_space(((struct watched *)store)->inner, ret);
}

static const struct store_ops watched_ops = {
    .kind = "watched",
    .close = watched_close,
    .read = watched_read,
    .write = watched_write,
    .flush = watched_flush,
    .punch = watched_punch,
    .zero = watched_zero,
    .anchor = watched_anchor,
    .extents = watched_extents,
    .copy = watched_copy,
    .resize = watched_resize,
    .space = watched_space,
};

struct rig {
    struct volume *volume;
    struct watched *watched;
    struct record *record;
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct watched *watched = calloc(1, sizeof(*watched));
    struct record_subject subject = {.bytes = BYTES, .name = "v"};
    struct record_status status;
    struct volume_meta meta;
    struct errmsg err;

    log_set_sink(say_nothing);
    volume_meta_init(&meta, 512);
    assert_int_equal(store_mem_create(BYTES, 4096, &watched->inner), 0);
    watched->store.ops = &watched_ops;
    watched->store.size_bytes = BYTES;
    watched->store.granularity_bytes = 4096;
    watched->store.can_anchor = true;
    assert_int_equal(volume_over_store(&watched->store, &meta, false, &rig->volume, &err), 0);
    assert_int_equal(record_create(model_medium_create(zero, nothing), &subject, &rig->record), 0);
    volume_keep_record(rig->volume, rig->record);
    record_get_status(rig->record, &status);
    memcpy(watched->since, status.points[0].id, RECORD_ID_BYTES);
    watched->record = rig->record;
    rig->watched = watched;
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    rig->watched->record = NULL;
    volume_close(rig->volume);
    free(rig);
    return 0;
}

/* The functions that change something, each over [1 MiB, 2 MiB). The names are read by
 * check_changes, which compares them with the headers. */
static int change_write(struct volume *volume)
{
    static uint8_t bytes[MIB];
    struct iovec iov = {bytes, sizeof(bytes)};

    return volume_write(volume, &iov, 1, MIB, false);
}

static int change_try_write(struct volume *volume)
{
    static uint8_t bytes[MIB];
    struct iovec iov = {bytes, sizeof(bytes)};
    int error = volume_try_write(volume, &iov, 1, MIB);

    assert_int_equal(error, -EAGAIN); /* as it has to be announced first */
    assert_int_equal(volume_write(volume, &(struct iovec){bytes, 512}, 1, MIB, false), 0);
    return volume_try_write(volume, &iov, 1, MIB);
}

static int flip(uint8_t *bytes, size_t length, void *context)
{
    (void)context;
    memset(bytes, 0x55, length);
    return 0;
}

static int change_update(struct volume *volume)
{
    static uint8_t bytes[MIB];

    return volume_update(volume, MIB, bytes, sizeof(bytes), flip, NULL, false);
}

static int change_unmap(struct volume *volume)
{
    return volume_unmap(volume, MIB, MIB);
}

static int change_unmap_all(struct volume *volume)
{
    return volume_unmap_all(volume);
}

static int change_anchor(struct volume *volume)
{
    return volume_anchor(volume, MIB, MIB);
}

static int change_zero(struct volume *volume)
{
    return volume_zero(volume, MIB, MIB);
}

static int change_copy(struct volume *volume)
{
    bool source_failed;
    int error = volume_copy(volume, MIB, volume, 8 * MIB, MIB, &source_failed);

    /* And where the ranges overlap. */
    return error ? error : volume_copy(volume, MIB, volume, MIB + 4096, MIB, &source_failed);
}

static int change_copy_bytes(struct volume *volume)
{
    bool source_failed;

    return volume_copy_bytes(volume, MIB + 5, volume, 8 * MIB + 9, MIB - 10, &source_failed);
}

static int change_resize(struct volume *volume)
{
    struct errmsg err;
    int error = volume_resize(volume, MIB, true, &err);

    return error ? error : volume_resize(volume, BYTES, false, &err);
}

struct changing {
    const char *name;
    int (*run)(struct volume *volume);
};

static const struct changing all[] = {
    {"volume_write", change_write},
    {"volume_try_write", change_try_write},
    {"volume_update", change_update},
    {"volume_unmap", change_unmap},
    {"volume_unmap_all", change_unmap_all},
    {"volume_anchor", change_anchor},
    {"volume_zero", change_zero},
    {"volume_copy", change_copy},
    {"volume_copy_bytes", change_copy_bytes},
    {"volume_resize", change_resize},
};

static void every_change_is_marked_before_it_happens(void **state)
{
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct rig *rig;
        struct cover cover = {MIB, 2 * MIB};

        teardown(state);
        setup(state);
        rig = *state;
        assert_int_equal(all[i].run(rig->volume), 0);
        if (rig->watched->changes == 0 || rig->watched->unmarked > 0)
            fail_msg("%s: %u changes, %u of them not marked", all[i].name, rig->watched->changes,
                     rig->watched->unmarked);
        assert_int_equal(record_changed(rig->record, rig->watched->since, find_cover, &cover), 0);
        assert_int_equal(cover.at, 2 * MIB);
    }
}

static void a_sanitized_volume_has_a_record_that_begins_anew(void **state)
{
    struct rig *rig = *state;
    const struct volume_sanitize_plan plan = {.passes = 1};
    struct volume_track_status status;
    atomic_uint progress = 0;
    atomic_bool stop = false;
    struct errmsg err;

    assert_int_equal(change_write(rig->volume), 0);
    rig->watched->record = NULL;
    assert_int_equal(volume_seal(rig->volume, VOLUME_SEALED_RESTRICTED, &err), 0);
    volume_track_status(rig->volume, &status);
    assert_non_null(status.lost);
    assert_int_equal(volume_changed(rig->volume, rig->watched->since, NULL, NULL, &err), -ESTALE);
    assert_int_equal(volume_sanitize(rig->volume, &plan, &progress, &stop), 0);
    assert_int_equal(volume_unseal(rig->volume, &err), 0);
    volume_track_status(rig->volume, &status);
    assert_null(status.lost);
    assert_int_equal(status.point_count, 1);
    assert_int_equal(volume_changed(rig->volume, rig->watched->since, NULL, NULL, &err), -ENOENT);
}

#define ROUNDS 100

static void *cut_and_forget(void *opaque)
{
    struct volume *volume = opaque;
    uint8_t nonce[RECORD_ID_BYTES] = {0};
    struct volume_point point;
    struct errmsg err;

    for (unsigned i = 0; i < ROUNDS; i++) {
        nonce[0]++;
        if (volume_cut(volume, nonce, &point, &err) || volume_forget(volume, point.id, &err))
            return err.text[0] ? opaque : NULL;
    }
    return NULL;
}

static void *write_and_flush(void *opaque)
{
    struct volume *volume = opaque;
    static const uint8_t bytes[4096];
    struct iovec iov = {(void *)bytes, sizeof(bytes)};

    for (unsigned i = 0; i < 10 * ROUNDS; i++) {
        if (volume_write(volume, &iov, 1, i % 200 * 65536, false))
            return opaque;
        if (i % 16 == 0 && volume_flush(volume))
            return opaque;
    }
    return NULL;
}

static void points_sizes_writes_and_cooling_do_not_wait_for_each_other(void **state)
{
    struct rig *rig = *state;
    pthread_t cutter, writers[2];
    void *failed;
    struct errmsg err;

    rig->watched->record = NULL;
    assert_int_equal(pthread_create(&cutter, NULL, cut_and_forget, rig->volume), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_and_flush, rig->volume), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_int_equal(volume_resize(rig->volume, BYTES / 2, true, &err), 0);
        record_cool(rig->record);
        assert_int_equal(volume_resize(rig->volume, BYTES, false, &err), 0);
    }
    pthread_join(cutter, &failed);
    assert_null(failed);
    for (int i = 0; i < 2; i++) {
        pthread_join(writers[i], &failed);
        assert_null(failed);
    }
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(every_change_is_marked_before_it_happens),
        RIG_TEST(points_sizes_writes_and_cooling_do_not_wait_for_each_other),
        RIG_TEST(a_sanitized_volume_has_a_record_that_begins_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
