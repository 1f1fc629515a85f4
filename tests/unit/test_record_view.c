/* SPDX-License-Identifier: Apache-2.0 */

/* Views of a volume that threads write to as fast as they can: every granule of every view is what
 * was there at its point. tests/model has the orders. */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "log.h"
#include "model_medium.h"
#include "record_internal.h"
#include "record_view.h"
#include "store_mem.h"

#define GRANULE  4096
#define GRANULES 512
#define BYTES    (GRANULES * (uint64_t)GRANULE)
#define WRITERS  3
#define WRITES   (1 << 16) /* of each at most */

struct written {
    uint64_t interval;
    uint64_t sequence; /* 0: unmapped */
};

/* What was written to one granule, which belongs to one writer, in order. */
struct history {
    pthread_mutex_t lock;
    struct written *all;
    size_t count, room;
};

struct rig {
    struct record *record;
    struct store *live;
    struct history histories[GRANULES];
    atomic_bool stop;
    uint8_t nonce;
};

struct writer {
    struct rig *rig;
    unsigned number;
    pthread_t thread;
};

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

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct record_subject subject = {.bytes = BYTES, .name = "v"};

    assert_non_null(rig);
    log_set_sink(say_nothing);
    assert_int_equal(store_mem_create(BYTES, GRANULE, &rig->live), 0);
    assert_int_equal(record_create(model_medium_create(zero, nothing), &subject, &rig->record), 0);
    for (size_t i = 0; i < GRANULES; i++)
        pthread_mutex_init(&rig->histories[i].lock, NULL);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    record_close(rig->record, NULL);
    store_close(rig->live);
    for (size_t i = 0; i < GRANULES; i++)
        free(rig->histories[i].all);
    free(rig);
    return 0;
}

static void remember(struct history *history, uint64_t interval, uint64_t sequence)
{
    pthread_mutex_lock(&history->lock);
    if (history->count == history->room) {
        history->room = history->room ? 2 * history->room : 16;
        history->all = realloc(history->all, history->room * sizeof(*history->all));
        if (!history->all)
            abort();
    }
    history->all[history->count++] = (struct written){interval, sequence};
    pthread_mutex_unlock(&history->lock);
}

/* What was in the granule when the interval ended. */
static uint64_t sequence_at(struct history *history, uint64_t interval)
{
    uint64_t sequence = 0;

    pthread_mutex_lock(&history->lock);
    for (size_t i = 0; i < history->count && history->all[i].interval <= interval; i++)
        sequence = history->all[i].sequence;
    pthread_mutex_unlock(&history->lock);
    return sequence;
}

/* Says in each 8 bytes which granule it is and what was written, so that torn ones are seen. */
static void fill(uint64_t *words, uint64_t granule, uint64_t sequence)
{
    for (size_t i = 0; i < GRANULE / 8; i++)
        words[i] = sequence << 16 | granule;
}

static void change_one(struct rig *rig, uint64_t granule, uint64_t sequence, bool may_wait)
{
    uint64_t words[GRANULE / 8];
    struct iovec iov = {.iov_base = words, .iov_len = sizeof(words)};
    struct record_change change;
    bool unmaps = sequence % 7 == 0;
    int error;

    while (record_begin(rig->record, granule * GRANULE, GRANULE, may_wait, &change) == -EAGAIN)
        may_wait = true;
    if (!change.record)
        abort();
    fill(words, granule, sequence);
    error = unmaps ? store_punch(rig->live, granule * GRANULE, GRANULE)
                   : store_write(rig->live, &iov, 1, granule * GRANULE, false);
    if (error)
        abort();
    remember(&rig->histories[granule], rig->record->running[change.slot].interval,
             unmaps ? 0 : sequence);
    record_end(&change);
}

static void *write_on(void *opaque)
{
    struct writer *writer = opaque;
    unsigned seed = writer->number;

    for (uint64_t sequence = 1; sequence < WRITES && !atomic_load(&writer->rig->stop); sequence++) {
        unsigned any = (unsigned)rand_r(&seed);
        uint64_t granule = any / 8 % (any % 4 ? GRANULES / WRITERS : 8);

        change_one(writer->rig, granule * WRITERS + writer->number, sequence, any & 4);
    }
    return NULL;
}

static int cut(struct rig *rig, const uint8_t *since, uint64_t limit, struct record_point *ret,
               struct record_view **ret_view)
{
    uint8_t consumer[RECORD_ID_BYTES] = {1}, nonce[RECORD_ID_BYTES] = {rig->nonce++};
    struct record_view_parts parts = {.live = rig->live, .limit = limit, .since = since};

    assert_int_equal(store_mem_create(BYTES, GRANULE, &parts.saved), 0);
    return record_cut_view(rig->record, consumer, nonce, 0, &parts, ret, ret_view);
}

/* In extents, as somebody reads who sends it on. Returns how many granules the view had. */
static unsigned check_view(struct rig *rig, struct record_view *view,
                           const struct record_point *point, uint64_t since_interval)
{
    uint8_t *bytes = malloc(BYTES);
    struct record_view_extent extent;
    unsigned had = 0;

    assert_non_null(bytes);
    for (uint64_t at = 0; at < BYTES; at += extent.length) {
        assert_int_equal(record_view_extent(view, at, BYTES, &extent), 0);
        assert_int_equal(extent.offset, at);
        assert_int_equal(extent.length % GRANULE, 0);
        memset(bytes, 0xEE, extent.length);
        if (extent.kind != RECORD_VIEW_SAME)
            assert_int_equal(record_view_read(view, bytes, extent.length, at), 0);
        for (uint64_t done = 0; done < extent.length; done += GRANULE) {
            uint64_t granule = (at + done) / GRANULE;
            struct history *history = &rig->histories[granule];
            uint64_t sequence = sequence_at(history, point->interval), words[GRANULE / 8];

            if (extent.kind == RECORD_VIEW_SAME) {
                assert_int_equal(sequence_at(history, since_interval), sequence);
                continue;
            }
            had++;
            assert_int_equal(extent.kind == RECORD_VIEW_DATA, sequence != 0);
            fill(words, sequence ? granule : 0, sequence);
            assert_memory_equal(bytes + done, words, GRANULE);
        }
        if (at % (3 * GRANULE) == 0)
            record_view_acknowledge(view, at + extent.length);
    }
    free(bytes);
    return had;
}

static void run_beside_writers(struct rig *rig, void (*run)(struct rig *rig))
{
    struct writer writers[WRITERS];

    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.rig = rig, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    run(rig);
    atomic_store(&rig->stop, true);
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
}

static void look_at_views(struct rig *rig)
{
    struct record_point base, point;
    struct record_view *view;

    assert_int_equal(cut(rig, NULL, UINT64_MAX, &base, &view), 0);
    assert_int_equal(check_view(rig, view, &base, 0), GRANULES);
    record_view_close(view);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(cut(rig, i % 5 ? base.id : NULL, UINT64_MAX, &point, &view), 0);
        assert_non_null(view);
        check_view(rig, view, &point, base.interval);
        record_view_close(view);
        assert_int_equal(record_forget(rig->record, base.id), 0);
        base = point;
    }
}

static void a_view_is_what_was_there(void **state)
{
    run_beside_writers(*state, look_at_views);
}

static void look_at_several(struct rig *rig)
{
    struct record_point points[RECORD_VIEWS + 1];
    struct record_view *views[RECORD_VIEWS + 1];

    for (unsigned i = 0; i < RECORD_VIEWS; i++)
        assert_int_equal(cut(rig, NULL, UINT64_MAX, &points[i], &views[i]), 0);
    assert_int_equal(cut(rig, NULL, UINT64_MAX, &points[RECORD_VIEWS], &views[RECORD_VIEWS]),
                     -EMFILE);
    for (unsigned i = 0; i < RECORD_VIEWS; i++) {
        check_view(rig, views[i], &points[i], 0);
        record_view_close(views[i]);
    }
    assert_int_equal(cut(rig, NULL, UINT64_MAX, &points[0], &views[0]), 0);
    record_view_close(views[0]);
}

static void several_views_are_each_right(void **state)
{
    run_beside_writers(*state, look_at_several);
}

static void a_view_that_is_full_is_given_up_and_changes_go_on(void **state)
{
    struct rig *rig = *state;
    struct record_point point;
    struct record_view_status status;
    struct record_view_extent extent;
    struct record_view *view;
    uint8_t byte;

    for (uint64_t i = 0; i < 8; i++)
        change_one(rig, i, 1, true);
    assert_int_equal(cut(rig, NULL, 3 * GRANULE, &point, &view), 0);
    for (uint64_t i = 0; i < 3; i++)
        change_one(rig, i, 2, true);
    assert_int_equal(record_view_read(view, &byte, 1, 0), 0);
    record_view_get_status(view, &status);
    assert_int_equal(status.lost, 0);
    assert_int_equal(status.saved_bytes, 3 * GRANULE);
    change_one(rig, 3, 2, true);
    assert_int_equal(record_view_read(view, &byte, 1, 0), -ESTALE);
    assert_int_equal(record_view_extent(view, 0, BYTES, &extent), -ESTALE);
    record_view_get_status(view, &status);
    assert_int_equal(status.lost, -ENOSPC);
    record_view_close(view);
}

static void what_was_acknowledged_is_not_saved(void **state)
{
    struct rig *rig = *state;
    struct record_point point;
    struct record_view_status status;
    struct record_view *view;
    uint8_t byte;

    for (uint64_t i = 0; i < 8; i++)
        change_one(rig, i, 1, true);
    assert_int_equal(cut(rig, NULL, UINT64_MAX, &point, &view), 0);
    record_view_acknowledge(view, 4 * GRANULE + 1);
    for (uint64_t i = 0; i < 8; i++)
        change_one(rig, i, 2, true);
    record_view_get_status(view, &status);
    assert_int_equal(status.saved_bytes, 4 * GRANULE);
    assert_int_equal(status.acknowledged, 4 * GRANULE);
    assert_int_equal(record_view_read(view, &byte, 1, 4 * GRANULE - 1), -ERANGE);
    assert_int_equal(record_view_read(view, &byte, 1, 4 * GRANULE), 0);
    record_view_close(view);
}

static void only_what_changed_since_is_saved(void **state)
{
    struct rig *rig = *state;
    struct record_point base, point;
    struct record_view_status status;
    struct record_view_extent extent;
    struct record_view *view;

    change_one(rig, 1, 1, true);
    assert_int_equal(cut(rig, NULL, UINT64_MAX, &base, &view), 0);
    record_view_close(view);
    change_one(rig, 5, 1, true);
    assert_int_equal(cut(rig, base.id, UINT64_MAX, &point, &view), 0);
    change_one(rig, 1, 2, true);
    change_one(rig, 5, 2, true);
    record_view_get_status(view, &status);
    assert_int_equal(status.saved_bytes, GRANULE);
    assert_int_equal(record_view_extent(view, 0, BYTES, &extent), 0);
    assert_int_equal(extent.kind, RECORD_VIEW_SAME);
    assert_int_equal(extent.length, 5 * GRANULE);
    assert_int_equal(record_view_extent(view, 5 * GRANULE, BYTES, &extent), 0);
    assert_int_equal(extent.kind, RECORD_VIEW_DATA);
    assert_int_equal(extent.length, GRANULE);
    record_view_close(view);
    base.id[0] ^= 1;
    assert_int_equal(cut(rig, base.id, UINT64_MAX, &point, &view), -ENOENT);
}

static void a_smaller_volume_has_no_views(void **state)
{
    struct rig *rig = *state;
    struct record_point point;
    struct record_view *view;
    uint8_t byte;

    assert_int_equal(cut(rig, NULL, UINT64_MAX, &point, &view), 0);
    record_resized(rig->record, BYTES + GRANULE);
    assert_int_equal(record_view_read(view, &byte, 1, 0), 0);
    assert_int_equal(record_view_bytes(view), BYTES);
    assert_int_equal(record_view_read(view, &byte, 1, BYTES), -ERANGE);
    record_resized(rig->record, BYTES);
    assert_int_equal(record_view_read(view, &byte, 1, 0), -ESTALE);
    record_view_close(view);
}

static void a_sanitized_volume_has_no_views(void **state)
{
    struct rig *rig = *state;
    struct record_point point;
    struct record_view *view;
    uint8_t byte;

    assert_int_equal(cut(rig, NULL, UINT64_MAX, &point, &view), 0);
    record_sanitize(rig->record);
    assert_int_equal(record_view_read(view, &byte, 1, 0), -ESTALE);
    record_view_close(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_view_is_what_was_there, setup, teardown),
        cmocka_unit_test_setup_teardown(several_views_are_each_right, setup, teardown),
        cmocka_unit_test_setup_teardown(a_view_that_is_full_is_given_up_and_changes_go_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_acknowledged_is_not_saved, setup, teardown),
        cmocka_unit_test_setup_teardown(only_what_changed_since_is_saved, setup, teardown),
        cmocka_unit_test_setup_teardown(a_smaller_volume_has_no_views, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sanitized_volume_has_no_views, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
