/* SPDX-License-Identifier: Apache-2.0 */

/* Views: their begin and end, and what changes save for them. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"
#include "log.h"
#include "record_view_internal.h"

/* What one change may save for a view: it must have ended before its initiator gives it up. */
#define SAVE_MAX_BYTES (UINT64_C(256) << 20)
#define BUFFER_BYTES   (UINT64_C(64) << 10)

static _Atomic uint64_t *make_bits(uint64_t granules)
{
    return calloc((size_t)(granules + 63) / 64, sizeof(uint64_t));
}

void record_view_free(struct record_view *view)
{
    store_close(view->saved);
    free(view->has);
    free(view->is_saved);
    for (unsigned i = 0; i < RECORD_VIEW_LOCKS; i++)
        record_lock_destroy(&view->locks[i]);
    free(view);
}

/* The interval that the point ends; 0: there is no such point. */
static uint64_t interval_of(struct record *record, const uint8_t *id)
{
    RECORD_LOCKED(&record->turn);

    for (unsigned i = 0; i < RECORD_POINTS; i++)
        if (record->control.points[i].interval != 0 &&
            memcmp(record->control.points[i].id, id, RECORD_ID_BYTES) == 0)
            return record->control.points[i].interval;
    return 0;
}

int record_view_make(struct record *record, const struct record_view_parts *parts,
                     struct record_view **ret)
{
    struct record_view *view = calloc(1, sizeof(*view));
    int error = 0;

    if (!view) {
        store_close(parts->saved);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < RECORD_VIEW_LOCKS; i++)
        record_lock_init(&view->locks[i]);
    view->record = record;
    view->live = parts->live;
    view->saved = parts->saved;
    view->limit = parts->limit;
    view->everything = !parts->since;
    view->bytes = record->volume_bytes;
    view->granules = record->granules;
    view->is_saved = make_bits(view->granules);
    if (!view->everything) {
        view->since = interval_of(record, parts->since);
        view->has = make_bits(view->granules);
    }
    if (!view->is_saved || (!view->everything && !view->has))
        error = -ENOMEM;
    else if (!view->everything && view->since == 0)
        error = -ENOENT;
    if (error)
        record_view_free(view);
    else
        *ret = view;
    return error;
}

/* The bitmap's bits become ones that the view has. */
static void add_bits(struct record_view *view, unsigned slot)
{
    const uint64_t words_a_page = RECORD_PAGE_BYTES / 8;
    uint64_t words = (view->granules + 63) / 64;

    for (uint64_t page = 0; page * words_a_page < words; page++) {
        if (!record_page_held(view->record, slot, page))
            continue;
        for (uint64_t at = page * words_a_page; at < min_u64((page + 1) * words_a_page, words);
             at++) {
            uint64_t bits = record_word(view->record, slot, at);

            if (bits)
                atomic_fetch_or(&view->has[at], bits);
        }
    }
}

int record_view_arm(struct record_view *view)
{
    struct record *record = view->record;

    view->interval = atomic_load(&record->interval);
    view->last_slot = atomic_load(&record->slot_of[view->interval % RECORD_RECENT]);
    for (unsigned slot = 0; !view->everything && slot < RECORD_SLOTS; slot++)
        if (record->control.slots[slot].from != 0 &&
            record->control.slots[slot].from <= view->interval &&
            record->control.slots[slot].to > view->since)
            add_bits(view, slot);
    for (unsigned i = 0; i < RECORD_VIEWS; i++) {
        struct record_view *none = NULL;

        if (atomic_compare_exchange_strong(&record->views[i], &none, view))
            return 0;
    }
    return -EMFILE;
}

void record_view_settle(struct record_view *view)
{
    if (!view->everything && !record_fault(RECORD_FAULT_VIEW_ONCE))
        add_bits(view, view->last_slot);
}

void record_view_withdraw(struct record_view *view)
{
    struct record *record = view->record;

    for (unsigned i = 0; i < RECORD_VIEWS; i++) {
        struct record_view *mine = view;

        atomic_compare_exchange_strong(&record->views[i], &mine, NULL);
    }
    record_wait_for_changes(record);
}

void record_view_close(struct record_view *view)
{
    struct record *record;

    if (!view)
        return;
    record = view->record;
    record_lock_take(&record->cut_lock);
    record_view_withdraw(view);
    record_view_free(view);
    record_lock_give(&record->cut_lock);
}

static void lose_view(struct record_view *view, int why)
{
    int kept = 0;

    if (atomic_compare_exchange_strong(&view->lost, &kept, why))
        log_warning("%s: a view of it was given up: %s", view->record->name,
                    why == -ENOSPC  ? "what it has to keep takes more than its limit, or there is "
                                      "no room"
                    : why == -EFBIG ? "too much of it was changed at once"
                    : why == -ESTALE
                        ? "the volume has another size, was sanitized, or has lost its record"
                        : "what it has to keep cannot be read or written");
}

void record_lose_views(struct record *record, int why)
{
    for (unsigned i = 0; i < RECORD_VIEWS; i++) {
        struct record_view *view = atomic_load(&record->views[i]);

        if (view)
            lose_view(view, why);
    }
}

void record_free_views(struct record *record)
{
    for (unsigned i = 0; i < RECORD_VIEWS; i++) {
        struct record_view *view = atomic_load(&record->views[i]);

        atomic_store(&record->views[i], NULL);
        if (view)
            record_view_free(view);
    }
}

uint64_t record_view_word(const struct record_view *view, uint64_t word)
{
    return view->everything ? UINT64_MAX : atomic_load(&view->has[word]);
}

/* As long as the interval of its point is ending, also what its changes are marking. That bitmap
 * may have been given up since, but not before the bits were written down (V2): so it is first. */
static uint64_t has_now(const struct record_view *view, uint64_t word)
{
    uint64_t marked = 0;

    if (!view->everything && !record_fault(RECORD_FAULT_VIEW_ONCE))
        marked = record_word(view->record, view->last_slot, word);
    record_step();
    return marked | record_view_word(view, word);
}

static int copy_mapped(struct record_view *view, uint64_t offset, uint64_t length)
{
    CLEANUP_FREE uint8_t *buffer = NULL;
    int error = 0;

    if (atomic_fetch_add(&view->saved_bytes, length) + length > view->limit)
        return -ENOSPC;
    if (store_copy(view->saved, offset, view->live, offset, length) == 0)
        return 0;
    buffer = malloc(min_u64(length, BUFFER_BYTES));
    if (!buffer)
        return -ENOMEM;
    while (!error && length > 0) {
        struct iovec iov = {.iov_base = buffer, .iov_len = (size_t)min_u64(length, BUFFER_BYTES)};

        error = store_read(view->live, &iov, 1, offset);
        record_step();
        if (!error)
            error = store_write(view->saved, &iov, 1, offset, false);
        offset += iov.iov_len;
        length -= iov.iov_len;
    }
    return error;
}

/* What has no storage needs none there either. */
static int copy_granules(struct record_view *view, uint64_t first, uint64_t count)
{
    unsigned shift = view->record->granule_shift;
    uint64_t at = first << shift, end = min_u64((first + count) << shift, view->bytes);
    int error = 0;

    while (!error && at < end) {
        struct extent extent;

        error = store_extent(view->live, at, end, &extent);
        if (error)
            return error;
        if (extent.status == EXTENT_MAPPED)
            error = copy_mapped(view, at, extent.length);
        at += extent.length;
    }
    return error;
}

/* The granules of one word whose bits are set. */
static int save_word(struct record_view *view, uint64_t word, uint64_t bits)
{
    RECORD_LOCKED(&view->locks[word % RECORD_VIEW_LOCKS]);
    uint64_t todo = bits & ~atomic_load(&view->is_saved[word]);

    if (record_fault(RECORD_FAULT_VIEW_MARK_FIRST))
        atomic_fetch_or(&view->is_saved[word], todo);
    while (todo) {
        unsigned first = (unsigned)__builtin_ctzll(todo);
        uint64_t rest = ~(todo >> first);
        unsigned count = rest ? (unsigned)__builtin_ctzll(rest) : 64;
        uint64_t run = UINT64_MAX >> (64 - min_u64(count, 64 - first)) << first;
        int error = copy_granules(view, word * 64 + first, min_u64(count, 64 - first));

        record_step();
        if (error)
            return error;
        atomic_fetch_or(&view->is_saved[word], run);
        todo &= ~run;
    }
    return 0;
}

static int save_for_view(struct record_view *view, uint64_t first, uint64_t last, bool may_wait)
{
    uint64_t granule_bytes = view->record->granule_bytes, saved = 0;
    int error = 0;

    first = max_u64(first, atomic_load(&view->acknowledged));
    for (uint64_t at = first; !error && at <= last && at < view->granules;) {
        uint64_t word = at / 64, end = min_u64(align_down(at, 64) + 64, last + 1);
        uint64_t bits = UINT64_MAX >> (64 - (end - at)) << at % 64;

        bits &= has_now(view, word) & ~atomic_load(&view->is_saved[word]);
        if (bits && !may_wait)
            return -EAGAIN;
        saved += (uint64_t)__builtin_popcountll(bits) * granule_bytes;
        if (saved > SAVE_MAX_BYTES)
            error = -EFBIG;
        else if (bits)
            error = save_word(view, word, bits);
        at = end;
    }
    if (error)
        lose_view(view, error == -ENOSPC || error == -EFBIG ? error : -EIO);
    return 0;
}

int record_save_for_views(struct record *record, uint64_t interval, uint64_t first, uint64_t last,
                          bool may_wait)
{
    for (unsigned i = 0; i < RECORD_VIEWS; i++) {
        struct record_view *view = atomic_load_explicit(&record->views[i], memory_order_acquire);
        int error;

        if (!view || interval <= view->interval || atomic_load(&view->lost) ||
            record_fault(RECORD_FAULT_VIEW_NOT_SAVED))
            continue;
        error = save_for_view(view, first, last, may_wait);
        if (error)
            return error;
    }
    return 0;
}
