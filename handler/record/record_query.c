/* SPDX-License-Identifier: Apache-2.0 */

/* What the record tells. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "record_internal.h"

#define WORDS_A_PAGE (RECORD_PAGE_BYTES / 8)

/* A run of granules of one kind on its way out. */
enum kind { KIND_SAME, KIND_SUSPECT, KIND_CHANGED };
struct runs {
    const struct record *record;
    record_range *each;
    void *context;
    uint64_t from; /* bytes */
    enum kind kind;
    uint64_t start; /* granules */
};

static int end_run(struct runs *runs, uint64_t end, enum kind next)
{
    uint64_t shift = runs->record->granule_shift;
    uint64_t from = max_u64(runs->start << shift, runs->from);
    uint64_t to = min_u64(end << shift, runs->record->volume_bytes);
    int result = 0;

    if (runs->kind != KIND_SAME && from < to)
        result = runs->each(from, to - from, runs->kind == KIND_SUSPECT, runs->context);
    runs->kind = next;
    runs->start = end;
    return result;
}

static int add_word(struct runs *runs, uint64_t first, uint64_t changed, uint64_t suspect)
{
    int result = 0;

    if (changed == 0 && suspect == 0)
        return runs->kind == KIND_SAME ? 0 : end_run(runs, first, KIND_SAME);
    for (unsigned i = 0; i < 64 && !result;) {
        uint64_t is_changed = changed >> i, is_suspect = suspect >> i & ~is_changed;
        enum kind kind = is_changed & 1 ? KIND_CHANGED : is_suspect & 1 ? KIND_SUSPECT : KIND_SAME;
        uint64_t others = kind == KIND_CHANGED   ? ~is_changed
                          : kind == KIND_SUSPECT ? ~is_suspect
                                                 : is_changed | is_suspect;

        if (kind != runs->kind)
            result = end_run(runs, first + i, kind);
        i += others ? (unsigned)__builtin_ctzll(others) : 64;
    }
    return result;
}

/* Which of the slots tell of changes after the interval. */
static void choose_slots(const struct record *record, uint64_t since, bool *ret)
{
    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++)
        ret[slot] = record->control.slots[slot].from != 0 && record->control.slots[slot].to > since;
}

/* Whether granules of the page may differ since the machine crashed. */
static bool hot_in_page(const struct record *record, uint64_t page)
{
    for (uint64_t i = 0; record->crashed && i < RECORD_PAGE_REGIONS; i++)
        if (bit_is_set(record->control.hot, page * RECORD_PAGE_REGIONS + i))
            return true;
    return false;
}

/* The slots that were chosen and say something of the page. */
static unsigned slots_of_page(const struct record *record, const bool *chosen, uint64_t page,
                              unsigned ret[RECORD_SLOTS])
{
    unsigned count = 0;

    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++)
        if (chosen[slot] && record_page_held(record, slot, page))
            ret[count++] = slot;
    return count;
}

static int add_page(const struct record *record, const bool *chosen, uint64_t page,
                    struct runs *runs)
{
    unsigned slots[RECORD_SLOTS];
    unsigned count = slots_of_page(record, chosen, page, slots);
    int result = 0;

    if (count == 0 && !hot_in_page(record, page))
        return add_word(runs, page * RECORD_PAGE_GRANULES, 0, 0);
    for (uint64_t word = page * WORDS_A_PAGE; !result && word < (page + 1) * WORDS_A_PAGE; word++) {
        uint64_t changed = 0, suspect = 0;

        for (unsigned i = 0; i < count; i++) {
            if (record->control.slots[slots[i]].flags & TRACK_SUSPECT)
                suspect |= record_word(record, slots[i], word);
            else
                changed |= record_word(record, slots[i], word);
        }
        if (record->crashed && bit_is_set(record->control.hot, word * 64 / RECORD_REGION_GRANULES))
            suspect = UINT64_MAX;
        result = add_word(runs, word * 64, changed, suspect);
    }
    return result;
}

/* Whether the bitmaps that a look has read still mean what they meant. */
static int look_again(const struct record *record, const bool *chosen)
{
    struct record_medium *medium = record->medium;
    uint8_t bytes[2 * RECORD_CONTROL_BYTES];
    struct track_control now;

    if (medium->ops->read(medium, bytes, sizeof(bytes), 0) ||
        track_control_choose(bytes, &now) < 0 || now.state == TRACK_LOST ||
        memcmp(now.incarnation, record->control.incarnation, RECORD_ID_BYTES) != 0)
        return -ESTALE;
    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++)
        if (chosen[slot] && (now.slots[slot].from != record->control.slots[slot].from ||
                             now.slots[slot].to != record->control.slots[slot].to))
            return -ESTALE;
    return 0;
}

static int find_since(struct record *record, const uint8_t id[RECORD_ID_BYTES], bool *chosen)
{
    RECORD_LOCKED(&record->turn);

    if (atomic_load(&record->lost))
        return -ESTALE;
    for (unsigned i = 0; i < RECORD_POINTS; i++) {
        const struct record_point *point = &record->control.points[i];
        uint64_t since = point->interval;

        if (since == 0 || memcmp(point->id, id, RECORD_ID_BYTES) != 0)
            continue;
        if (record->crashed)
            since = min_u64(since, record->control.flushed);
        choose_slots(record, since, chosen);
        return 0;
    }
    return -ENOENT;
}

int record_changed_from(struct record *record, const uint8_t since[RECORD_ID_BYTES], uint64_t from,
                        record_range *each, void *context)
{
    RECORD_LOCKED(&record->cut_lock); /* so that no bitmap is given up meanwhile */
    uint64_t first_page = (from >> record->granule_shift) / RECORD_PAGE_GRANULES;
    struct runs runs = {.record = record,
                        .each = each,
                        .context = context,
                        .from = from,
                        .start = first_page * RECORD_PAGE_GRANULES};
    uint64_t pages = (record->granules - 1) / RECORD_PAGE_GRANULES + 1;
    bool chosen[RECORD_SLOTS] = {false};
    int error = find_since(record, since, chosen);

    for (uint64_t page = first_page; !error && page < pages; page++)
        error = add_page(record, chosen, page, &runs);
    if (!error)
        error = end_run(&runs, record->granules, KIND_SAME);
    if (!error && record->looks)
        error = look_again(record, chosen);
    return error;
}

int record_changed(struct record *record, const uint8_t since[RECORD_ID_BYTES], record_range *each,
                   void *context)
{
    return record_changed_from(record, since, 0, each, context);
}

static int by_interval(const void *a, const void *b)
{
    const struct record_point *x = a, *y = b;

    return x->interval < y->interval ? -1 : x->interval > y->interval;
}

void record_get_status(struct record *record, struct record_status *ret)
{
    RECORD_LOCKED(&record->turn);
    const struct track_control *control = &record->control;
    bool lost = atomic_load(&record->lost);

    *ret = (struct record_status){.lost = lost ? control->loss : RECORD_KEPT,
                                  .begun = control->loss,
                                  .crashed = record->crashed,
                                  .since = control->since,
                                  .granule_bytes = record->granule_bytes,
                                  .interval = atomic_load(&record->interval)};
    memcpy(ret->incarnation, control->incarnation, RECORD_ID_BYTES);
    if (lost)
        return;
    for (unsigned i = 0; i < RECORD_MAX_REGIONS / 64; i++)
        ret->hot_bytes += (uint64_t)__builtin_popcountll(control->hot[i]) * RECORD_REGION_GRANULES *
                          record->granule_bytes;
    ret->hot_bytes = min_u64(ret->hot_bytes, record->volume_bytes);
    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++)
        for (unsigned i = 0; i < RECORD_MAX_PAGES / 64; i++)
            ret->bitmap_bytes += RECORD_PAGE_BYTES * (uint64_t)__builtin_popcountll(
                                                         atomic_load(&record->held[slot][i]));
    for (unsigned i = 0; i < RECORD_POINTS; i++)
        if (control->points[i].interval != 0)
            ret->points[ret->point_count++] = control->points[i];
    qsort(ret->points, ret->point_count, sizeof(ret->points[0]), by_interval);
}
