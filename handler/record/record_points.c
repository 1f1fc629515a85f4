/* SPDX-License-Identifier: Apache-2.0 */

/* Consistency points, and what changed since one. */

#include <errno.h>
#include <string.h>
#include <time.h>
#include <uuid/uuid.h>

#include "byteorder.h"
#include "checked.h"
#include "record_internal.h"
#include "record_view_internal.h"

/* Bitmaps that are kept free for what a crash needs. */
#define SLOTS_IN_RESERVE 6

unsigned record_free_slots(const struct record *record)
{
    unsigned count = 0;

    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++)
        count += record->control.slots[slot].from == 0;
    return count;
}

/* The last interval that neither a point nor the volume's durability needs a bitmap of. */
static uint64_t last_needless(const struct record *record)
{
    uint64_t last = atomic_load(&record->graced);

    if (!record_fault(RECORD_FAULT_FORGET_UNFLUSHED))
        last = min_u64(last, atomic_load(&record->flushed));
    for (unsigned i = 0; i < RECORD_POINTS; i++)
        if (record->control.points[i].interval != 0)
            last = min_u64(last, record->control.points[i].interval);
    return last;
}

/* They are no one's on the medium before they are made empty. */
static int free_slots(struct record *record, const bool *needless)
{
    struct track_slot *slots = record->control.slots;
    bool any = false;
    int error = 0;

    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++) {
        if (!needless[slot])
            continue;
        slots[slot] = (struct track_slot){0};
        any = true;
        if (record_fault(RECORD_FAULT_FREE_FIRST))
            record_clear_slot(record, slot);
    }
    if (any)
        error = record_write_control(record);
    for (unsigned slot = 0; !error && slot < RECORD_SLOTS; slot++)
        if (needless[slot])
            error = record_clear_slot(record, slot);
    if (any && !error && !record_fault(RECORD_FAULT_REUSE_FIRST))
        error = record->medium->ops->sync(record->medium); /* before it is in use again */
    if (error)
        record_lose(record, RECORD_IO_ERROR);
    return error;
}

/* Whether a point tells the changes of one of the slots from those of the other. */
static bool point_between(const struct record *record, const struct track_slot *a,
                          const struct track_slot *b)
{
    for (unsigned i = 0; i < RECORD_POINTS; i++) {
        uint64_t interval = record->control.points[i].interval;

        if (interval != 0 && interval >= a->to && interval < b->from)
            return true;
    }
    return false;
}

/* Two that can be one, a before b; of suspects any two, where it has to be. */
static bool find_pair(const struct record *record, uint32_t flags, bool any, unsigned *ret_a,
                      unsigned *ret_b)
{
    const struct track_slot *slots = record->control.slots;
    uint64_t graced = atomic_load(&record->graced);

    for (unsigned a = 0; a < RECORD_SLOTS; a++) {
        if (slots[a].from == 0 || slots[a].flags != flags || slots[a].to > graced)
            continue;
        for (unsigned b = 0; b < RECORD_SLOTS; b++) {
            if (b == a || slots[b].from <= slots[a].to || slots[b].flags != flags ||
                slots[b].to > graced || (!any && point_between(record, &slots[a], &slots[b])))
                continue;
            *ret_a = a;
            *ret_b = b;
            return true;
        }
    }
    return false;
}

/* The two go on in a third, which is whole before it takes their place. */
static int join_slots(struct record *record, unsigned a, unsigned b)
{
    struct track_slot *slots = record->control.slots;
    bool needless[RECORD_SLOTS] = {false};
    uint64_t cool[RECORD_MAX_REGIONS / 64];
    unsigned joined = record_take_slot(record, slots[a].from, slots[b].to, slots[a].flags);
    int error;

    if (joined == RECORD_SLOTS)
        return -ENOSPC;
    for (unsigned i = 0; i < RECORD_MAX_REGIONS / 64; i++)
        cool[i] = ~record->control.hot[i];
    error = record_merge_bits(record, joined, a);
    if (!error)
        error = record_merge_bits(record, joined, b);
    if (!error)
        error = record_sum_slot(record, joined, cool);
    if (!error)
        error = record->medium->ops->sync(record->medium);
    if (error) {
        record_lose(record, error == -ENOSPC ? RECORD_NO_SPACE : RECORD_IO_ERROR);
        return error;
    }
    needless[a] = needless[b] = true;
    return free_slots(record, needless);
}

int record_tidy(struct record *record)
{
    uint64_t last = last_needless(record);
    bool needless[RECORD_SLOTS] = {false};
    unsigned a, b;
    int error;

    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++)
        needless[slot] =
            record->control.slots[slot].from != 0 && record->control.slots[slot].to <= last;
    error = free_slots(record, needless);
    while (!error && record_free_slots(record) < SLOTS_IN_RESERVE + 1) {
        if (!find_pair(record, 0, false, &a, &b) && !find_pair(record, TRACK_SUSPECT, true, &a, &b))
            break;
        error = join_slots(record, a, b);
    }
    return error;
}

static struct record_point *find_point(struct record *record, const uint8_t id[RECORD_ID_BYTES])
{
    for (unsigned i = 0; i < RECORD_POINTS; i++) {
        struct record_point *point = &record->control.points[i];

        if (point->interval != 0 && memcmp(point->id, id, RECORD_ID_BYTES) == 0)
            return point;
    }
    return NULL;
}

/* The point that was cut for this consumer with this nonce, or a place for one. */
static int place_for_point(struct record *record, const uint8_t *consumer, const uint8_t *nonce,
                           struct record_point **ret)
{
    *ret = NULL;
    if (atomic_load(&record->lost))
        return -ESTALE;
    for (unsigned i = 0; i < RECORD_POINTS; i++) {
        struct record_point *point = &record->control.points[i];

        if (point->interval == 0) {
            *ret = *ret ? *ret : point;
        } else if (memcmp(point->consumer, consumer, RECORD_ID_BYTES) == 0 &&
                   memcmp(point->nonce, nonce, RECORD_ID_BYTES) == 0) {
            *ret = point;
            return -EEXIST;
        }
    }
    if (!*ret)
        return -ENOSPC;
    if (record_free_slots(record) <= SLOTS_IN_RESERVE && record_tidy(record))
        return -ESTALE;
    return record_free_slots(record) > 0 ? 0 : -ENOSPC;
}

/* Ends the interval that runs: by a number, so that no change waits. Those under way end first. */
static uint64_t end_interval(struct record *record)
{
    uint64_t ended = atomic_load(&record->interval);
    unsigned tries = 0;

    atomic_store(&record->ending, true);
    record_step();
    atomic_store(&record->interval, ended + 1);
    record_step();
    for (unsigned i = 0; i < RECORD_CHANGES && !record_fault(RECORD_FAULT_NO_GRACE); i++) {
        uint64_t its = atomic_load(&record->running[i].interval);

        while (its != 0 && its <= ended) {
            record_wait(&tries);
            its = atomic_load(&record->running[i].interval);
        }
    }
    atomic_store(&record->graced, ended);
    atomic_store(&record->ending, false);
    return ended;
}

/* The bitmap of the interval after the one that runs. */
static int prepare_next(struct record *record)
{
    uint64_t next = atomic_load(&record->interval) + 1;
    unsigned slot = record_take_slot(record, next, next, 0);

    if (slot == RECORD_SLOTS)
        return -ENOSPC;
    atomic_store(&record->slot_of[next % RECORD_RECENT], slot);
    return 0;
}

static int keep_point(struct record *record, struct record_point *place,
                      const struct record_point *point)
{
    RECORD_LOCKED(&record->turn);
    int error;

    if (atomic_load(&record->lost))
        return -ESTALE;
    *place = *point;
    if (record_fault(RECORD_FAULT_NEXT_UNKNOWN)) {
        error = record_write_control(record);
        return prepare_next(record) || error ? -ESTALE : 0;
    }
    error = prepare_next(record);
    if (error)
        record_lose(record, RECORD_IO_ERROR);
    else
        error = record_write_control(record);
    return error ? -ESTALE : 0;
}

/* Of its first bytes alone the point can be told. */
static void name_point(const struct record *record, uint8_t id[RECORD_ID_BYTES])
{
    bool taken = true;

    while (taken) {
        uuid_generate_random(id);
        taken = false;
        for (unsigned i = 0; i < RECORD_POINTS; i++)
            taken |= record->control.points[i].interval != 0 &&
                     memcmp(record->control.points[i].id, id, 4) == 0;
    }
}

/* The interval ends, and becomes the point's. cut_lock is held, and place is free. */
static int end_with_point(struct record *record, struct record_view *view,
                          struct record_point *place, struct record_point *point)
{
    int error = 0;

    if (view && !record_fault(RECORD_FAULT_VIEW_LATE))
        error = record_view_arm(view);
    if (error)
        return error;
    point->interval = end_interval(record);
    if (view && record_fault(RECORD_FAULT_VIEW_LATE)) {
        record_view_arm(view);
        view->interval = point->interval;
    }
    if (view)
        record_view_settle(view);
    return keep_point(record, place, point);
}

/* cut_lock is held. -EEXIST: *ret is there already. */
static int cut(struct record *record, const uint8_t consumer[RECORD_ID_BYTES],
               const uint8_t nonce[RECORD_ID_BYTES], uint64_t mapped_bytes,
               struct record_view *view, struct record_point *ret)
{
    struct record_point *place;
    int error;

    record_lock_take(&record->turn);
    error = place_for_point(record, consumer, nonce, &place);
    record_lock_give(&record->turn);
    if (error == -EEXIST)
        *ret = *place;
    if (error)
        return error;
    *ret = (struct record_point){.bytes = record->volume_bytes,
                                 .mapped_bytes = mapped_bytes,
                                 .time = (uint64_t)time(NULL)};
    name_point(record, ret->id);
    memcpy(ret->consumer, consumer, RECORD_ID_BYTES);
    memcpy(ret->nonce, nonce, RECORD_ID_BYTES);
    return end_with_point(record, view, place, ret);
}

int record_cut(struct record *record, const uint8_t consumer[RECORD_ID_BYTES],
               const uint8_t nonce[RECORD_ID_BYTES], uint64_t mapped_bytes,
               struct record_point *ret)
{
    RECORD_LOCKED(&record->cut_lock);
    int error = cut(record, consumer, nonce, mapped_bytes, NULL, ret);

    return error == -EEXIST ? 0 : error;
}

int record_cut_view(struct record *record, const uint8_t consumer[RECORD_ID_BYTES],
                    const uint8_t nonce[RECORD_ID_BYTES], uint64_t mapped_bytes,
                    const struct record_view_parts *parts, struct record_point *ret,
                    struct record_view **ret_view)
{
    RECORD_LOCKED(&record->cut_lock);
    struct record_view *view;
    int error;

    *ret_view = NULL;
    error = record_view_make(record, parts, &view);
    if (error)
        return error;
    error = cut(record, consumer, nonce, mapped_bytes, view, ret);
    if (error) {
        record_view_withdraw(view);
        record_view_free(view);
        return error == -EEXIST ? 0 : error;
    }
    *ret_view = view;
    return 0;
}

int record_forget(struct record *record, const uint8_t id[RECORD_ID_BYTES])
{
    RECORD_LOCKED(&record->cut_lock);
    struct record_point *point;
    int error = 0;

    record_lock_take(&record->turn);
    point = find_point(record, id);
    if (atomic_load(&record->lost)) {
        error = -ESTALE;
    } else if (!point) {
        error = -ENOENT;
    } else {
        *point = (struct record_point){0};
        error = record_write_control(record);
        if (!error)
            error = record_tidy(record);
    }
    record_lock_give(&record->turn);
    return error;
}

int record_release(struct record *record, const uint8_t id[RECORD_ID_BYTES])
{
    RECORD_LOCKED(&record->cut_lock);
    const struct record_point *kept;
    bool any = false;
    int error = 0;

    record_lock_take(&record->turn);
    kept = find_point(record, id);
    if (atomic_load(&record->lost))
        error = -ESTALE;
    else if (!kept)
        error = -ENOENT;
    for (unsigned i = 0; !error && i < RECORD_POINTS; i++) {
        struct record_point *point = &record->control.points[i];

        if (point->interval == 0 || point->interval >= kept->interval ||
            memcmp(point->consumer, kept->consumer, RECORD_ID_BYTES) != 0)
            continue;
        *point = (struct record_point){0};
        any = true;
    }
    if (any)
        error = record_write_control(record);
    if (any && !error)
        error = record_tidy(record);
    record_lock_give(&record->turn);
    return error;
}
