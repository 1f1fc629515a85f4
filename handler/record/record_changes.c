/* SPDX-License-Identifier: Apache-2.0 */

/* Changes under way: each says which granules, and to which interval it belongs. */

#include <errno.h>

#include "checked.h"
#include "record_internal.h"
#include "record_view_internal.h"

/* Where this thread found a free place last. */
static _Thread_local unsigned last_place;

/* A place of one's own; RECORD_CHANGES when there is none now. */
static unsigned claim(struct record *record)
{
    for (unsigned i = 0; i < RECORD_CHANGES; i++) {
        unsigned at = (last_place + i) % RECORD_CHANGES;
        uint64_t none = 0;

        if (atomic_load_explicit(&record->running[at].interval, memory_order_relaxed) != 0)
            continue;
        if (atomic_compare_exchange_strong(&record->running[at].interval, &none, RECORD_CLAIMED)) {
            atomic_fetch_add_explicit(&record->running[at].turns, 1, memory_order_relaxed);
            last_place = at;
            return at;
        }
    }
    last_place += 7; /* not all where the others are */
    return RECORD_CHANGES;
}

/* Joins the interval that runs. Whoever ends it either sees this change, or is seen here. */
static uint64_t publish(struct record *record, struct record_running *mine)
{
    uint64_t interval = atomic_load(&record->interval);

    for (;;) {
        uint64_t now;

        record_step();
        atomic_store(&mine->interval, interval);
        record_step();
        now = atomic_load(&record->interval);
        if (now == interval)
            return interval;
        interval = now;
    }
}

/* Whether a change of an older interval has any of the granules. */
static bool overtakes(struct record *record, const struct record_running *mine, uint64_t interval)
{
    uint64_t first = atomic_load(&mine->first), last = atomic_load(&mine->last);

    for (unsigned i = 0; i < RECORD_CHANGES; i++) {
        const struct record_running *other = &record->running[i];
        uint64_t its = atomic_load(&other->interval);

        if (its != 0 && its < interval && atomic_load(&other->first) <= last &&
            first <= atomic_load(&other->last))
            return true;
    }
    return false;
}

static int wait_for_older(struct record *record, const struct record_running *mine,
                          uint64_t interval, bool may_wait)
{
    unsigned tries = 0;

    if (record_fault(RECORD_FAULT_NO_OVERLAP_WAIT))
        return 0;
    while (atomic_load(&record->ending) && overtakes(record, mine, interval)) {
        if (!may_wait)
            return -EAGAIN;
        record_wait(&tries);
    }
    return 0;
}

static int warm_up(struct record *record, uint64_t first_region, uint64_t last_region,
                   bool may_wait)
{
    for (uint64_t region = first_region; region <= last_region; region++)
        if (!atomic_load_explicit(&record->touched[region], memory_order_relaxed))
            atomic_store_explicit(&record->touched[region], 1, memory_order_relaxed);
    while (!record_is_warm(record, first_region, last_region)) {
        int error;

        if (!may_wait)
            return -EAGAIN;
        error = record_announce(record, first_region, last_region);
        if (error) /* it is lost, which is durable */
            return error;
    }
    return 0;
}

static void lose(struct record *record, int error)
{
    RECORD_LOCKED(&record->turn);

    record_lose(record, error == -ENOSPC ? RECORD_NO_SPACE : RECORD_IO_ERROR);
}

static int mark(struct record *record, uint64_t interval, uint64_t first, uint64_t last,
                bool may_wait)
{
    unsigned slot = atomic_load(&record->slot_of[interval % RECORD_RECENT]);
    int error = record_mark(record, slot, first, last);

    if (!error)
        return 0;
    if (!may_wait)
        return -EAGAIN;
    lose(record, error);
    return 0;
}

static int begin(struct record *record, struct record_running *mine, bool may_wait)
{
    uint64_t first = atomic_load_explicit(&mine->first, memory_order_relaxed);
    uint64_t last = atomic_load_explicit(&mine->last, memory_order_relaxed);
    uint64_t interval = publish(record, mine);
    int error = wait_for_older(record, mine, interval, may_wait);

    if (!error)
        error = warm_up(record, first / RECORD_REGION_GRANULES, last / RECORD_REGION_GRANULES,
                        may_wait);
    record_step();
    if (!error && !record_fault(RECORD_FAULT_DATA_FIRST))
        error = mark(record, interval, first, last, may_wait);
    if (!error)
        error = record_save_for_views(record, interval, first, last, may_wait);
    return error == -EAGAIN ? error : 0;
}

int record_begin(struct record *record, uint64_t offset, uint64_t length, bool may_wait,
                 struct record_change *ret)
{
    struct record_running *mine;
    unsigned place, tries = 0;
    uint64_t end;
    int error;

    ret->record = NULL;
    /* What does not fit is refused by the volume, and what has no length changes nothing. */
    if (length == 0 || offset >= record->volume_bytes || add_overflows(offset, length, &end) ||
        atomic_load_explicit(&record->lost, memory_order_acquire))
        return 0;
    end = min_u64(end, record->volume_bytes);
    while ((place = claim(record)) == RECORD_CHANGES) {
        if (!may_wait)
            return -EAGAIN;
        record_wait(&tries);
    }
    mine = &record->running[place];
    atomic_store_explicit(&mine->first, offset >> record->granule_shift, memory_order_relaxed);
    atomic_store_explicit(&mine->last, (end - 1) >> record->granule_shift, memory_order_relaxed);
    error = begin(record, mine, may_wait);
    if (error) {
        atomic_store(&mine->interval, 0);
        return error;
    }
    *ret = (struct record_change){.record = record, .slot = place};
    return 0;
}

void record_end(struct record_change *change)
{
    struct record *record = change->record;

    if (!record)
        return;
    if (record_fault(RECORD_FAULT_DATA_FIRST)) {
        const struct record_running *mine = &record->running[change->slot];

        mark(record, mine->interval, mine->first, mine->last, true);
    }
    change->record = NULL;
    atomic_store_explicit(&record->running[change->slot].interval, 0, memory_order_release);
}

uint64_t record_flush_begins(struct record *record)
{
    if (record_fault(RECORD_FAULT_FLUSH_RUNNING))
        return atomic_load(&record->interval);
    return atomic_load(&record->graced);
}

void record_flushed(struct record *record, uint64_t graced)
{
    uint64_t before = atomic_load(&record->flushed);

    while (before < graced && !atomic_compare_exchange_weak(&record->flushed, &before, graced))
        ;
}
