/* SPDX-License-Identifier: Apache-2.0 */

/* Opening a record: whether what is there can be believed, and how far. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "record_internal.h"

void record_set_size(struct record *record, uint64_t bytes)
{
    record->volume_bytes = bytes;
    record->granule_bytes = record_granule_bytes(bytes);
    record->granule_shift = (unsigned)__builtin_ctzll(record->granule_bytes);
    record->granules = (bytes - 1) / record->granule_bytes + 1;
    record->regions = (record->granules - 1) / RECORD_REGION_GRANULES + 1;
}

static bool same_file(const struct store_identity *a, const struct store_identity *b)
{
    return a->inode == b->inode && a->birth_ns == b->birth_ns;
}

/* Whether what one of them had in the page cache is what the other one reads. */
static bool same_page_cache(const struct store_identity *a, const struct store_identity *b)
{
    static const uint8_t unknown[sizeof(a->boot)];

    return memcmp(a->boot, unknown, sizeof(unknown)) != 0 &&
           memcmp(a->boot, b->boot, sizeof(a->boot)) == 0 && a->mount == b->mount &&
           a->device == b->device && a->disk_sequence == b->disk_sequence;
}

/* 0, 1 or -ENODATA, as record_load. */
static int judge(const struct track_control *control, const struct record_subject *subject,
                 enum record_loss *ret_why)
{
    const struct store_identity *was = &control->identity, *is = &subject->identity;

    *ret_why = RECORD_OF_OTHER;
    if (memcmp(control->volume, subject->volume, RECORD_ID_BYTES) != 0 || !same_file(was, is))
        return -ENODATA;
    *ret_why = control->loss;
    if (control->state == TRACK_LOST)
        return -ENODATA;
    *ret_why = RECORD_RESIZED;
    if (control->volume_bytes != subject->bytes)
        return -ENODATA;
    *ret_why = RECORD_VOLUME_CHANGED;
    if (control->state == TRACK_CLEAN)
        return was->modified_ns == is->modified_ns && was->changed_ns == is->changed_ns ? 0
                                                                                        : -ENODATA;
    *ret_why = RECORD_KEPT;
    return subject->in_use || same_page_cache(was, is) ? 0 : 1;
}

int record_load(struct record *record, const struct record_subject *subject,
                enum record_loss *ret_why)
{
    struct record_medium *medium = record->medium;
    uint8_t bytes[2 * RECORD_CONTROL_BYTES];
    int verdict, error, copy;

    record_set_size(record, subject->bytes);
    *ret_why = RECORD_IO_ERROR;
    if (!record->looks && medium->ops->sync(medium)) /* what was cached and could not be written */
        return -ENODATA;
    if (medium->ops->read(medium, bytes, sizeof(bytes), 0))
        return -ENODATA;
    copy = track_control_choose(bytes, &record->control);
    *ret_why = copy == -ENODATA ? RECORD_BEGUN : RECORD_DAMAGED;
    if (copy < 0)
        return -ENODATA;
    record->copy = copy;
    verdict = judge(&record->control, subject, ret_why);
    if (verdict < 0)
        return verdict;
    atomic_store(&record->flushed, record->control.flushed);
    atomic_store(&record->interval, record->control.interval);
    error = record_load_bits(record);
    if (error == -ENOMEM)
        return error;
    if (error)
        *ret_why = error == -EBADMSG ? RECORD_DAMAGED : RECORD_IO_ERROR;
    return error ? -ENODATA : verdict;
}

/* Bitmaps that a crash left behind are in no one's use. */
static int clear_free_slots(struct record *record)
{
    int error = 0;

    for (unsigned slot = 0; !error && slot < RECORD_SLOTS; slot++)
        if (record->control.slots[slot].from == 0)
            error = record_clear_slot(record, slot);
    return error ? error : record->medium->ops->sync(record->medium);
}

/* The last interval whose bitmap is its own may have begun: it goes on. */
static int go_on(struct record *record)
{
    const struct track_slot *last = NULL;
    uint64_t interval;
    unsigned next;

    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++) {
        const struct track_slot *it = &record->control.slots[slot];

        if (it->from != 0 && !(it->flags & TRACK_SUSPECT) && (!last || it->to > last->to))
            last = it;
    }
    if (!last || last->from != last->to)
        return -EBADMSG;
    interval = last->to;
    next = record_take_slot(record, interval + 1, interval + 1, 0);
    if (next == RECORD_SLOTS)
        return -EBADMSG;
    atomic_store(&record->interval, interval);
    atomic_store(&record->graced, interval - 1);
    atomic_store(&record->slot_of[interval % RECORD_RECENT],
                 (uint32_t)(last - record->control.slots));
    atomic_store(&record->slot_of[(interval + 1) % RECORD_RECENT], next);
    for (unsigned i = 0; i < RECORD_MAX_REGIONS / 64; i++)
        atomic_store(&record->warm[i], record->control.hot[i]);
    return 0;
}

/* All regions a crash has left hot, whole. */
static int mark_hot(struct record *record, unsigned slot)
{
    int error = 0;

    for (uint64_t region = 0; !error && region < record->control.regions; region++)
        if (bit_is_set(record->control.hot, region))
            error = record_mark(record, slot, region * RECORD_REGION_GRANULES,
                                (region + 1) * RECORD_REGION_GRANULES - 1);
    return error;
}

/* The machine crashed: what was not durable in the volume is as it was before, so that it counts as
 * changed again, and anything may have come of the changes in hot regions. Both are written down as
 * changes of an interval of their own. What is in the volume now is durable. */
static int recover(struct record *record)
{
    struct track_control *control = &record->control;
    uint64_t flushed = control->flushed, now = control->interval + 2;
    unsigned changed = record_take_slot(record, now, now, 0);
    unsigned suspect = record_take_slot(record, now, now, TRACK_SUSPECT);
    unsigned next = record_take_slot(record, now + 1, now + 1, 0);
    uint64_t all[RECORD_MAX_REGIONS / 64];
    int error = next == RECORD_SLOTS ? -EBADMSG : mark_hot(record, suspect);

    for (unsigned slot = 0; !error && slot < RECORD_SLOTS; slot++) {
        const struct track_slot *it = &control->slots[slot];

        if (it->from == 0 || it->to <= flushed || it->from >= now)
            continue;
        error = record_merge_bits(record, it->flags & TRACK_SUSPECT ? suspect : changed, slot);
    }
    memset(all, 0xFF, sizeof(all));
    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++)
        control->slots[slot].digest = 0;
    if (!error)
        error = record_sum_regions(record, all);
    if (!error)
        error = record->medium->ops->sync(record->medium);
    if (error)
        return error;
    memset(control->hot, 0, sizeof(control->hot));
    atomic_store(&record->interval, now);
    atomic_store(&record->flushed, now);
    return 0;
}

static int continue_record(struct record *record, const struct record_subject *subject,
                           bool crashed)
{
    int error = clear_free_slots(record);

    if (!error && crashed)
        error = recover(record);
    if (!error)
        error = go_on(record);
    if (error)
        return error;
    record->control.state = TRACK_OPEN;
    record->control.identity = subject->identity;
    atomic_store(&record->lost, false);
    record_lock_take(&record->turn);
    if (record_write_control(record) == 0)
        record_tidy(record);
    record_lock_give(&record->turn);
    return 0;
}

static int begin_new(struct record *record, const struct record_subject *subject,
                     enum record_loss why)
{
    memset(&record->control, 0, sizeof(record->control));
    memcpy(record->control.volume, subject->volume, RECORD_ID_BYTES);
    record->control.identity = subject->identity;
    record_set_size(record, subject->bytes);
    return record_begin_anew(record, why);
}

int record_open(struct record_medium *medium, const struct record_subject *subject,
                struct record **ret)
{
    enum record_loss why;
    struct record *record;
    int error = record_make(medium, subject, &record);
    int verdict;

    if (error)
        return error;
    verdict = record_load(record, subject, &why);
    error = verdict == -ENOMEM ? verdict : 0;
    if (verdict >= 0) {
        error = continue_record(record, subject, verdict == 1);
        if (error && error != -ENOMEM) {
            verdict = -ENODATA;
            why = error == -ENOSPC ? RECORD_NO_SPACE : RECORD_DAMAGED;
        } else if (!error && verdict == 1) {
            log_warning("%s: the machine crashed while the change record was kept; what was being "
                        "written then is suspect",
                        subject->name);
        }
    }
    if (verdict == -ENODATA) {
        log_message(why == RECORD_BEGUN ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
                    "%s: the change record begins anew, as %s; everything counts as changed",
                    subject->name, record_loss_text(why));
        error = begin_new(record, subject, why);
    }
    if (error)
        record_free(record);
    else
        *ret = record;
    return error;
}

int record_create(struct record_medium *medium, const struct record_subject *subject,
                  struct record **ret)
{
    struct record *record;
    int error = record_make(medium, subject, &record);

    if (error)
        return error;
    error = begin_new(record, subject, RECORD_BEGUN);
    if (error)
        record_free(record);
    else
        *ret = record;
    return error;
}

int record_look(struct record_medium *medium, const struct record_subject *subject,
                struct record **ret)
{
    enum record_loss why;
    struct record *record;
    int error = record_make(medium, subject, &record);
    int verdict;

    if (error)
        return error;
    record->looks = true;
    verdict = record_load(record, subject, &why);
    if (verdict == -ENOMEM) {
        record_free(record);
        return verdict;
    }
    record->crashed = verdict == 1;
    if (verdict < 0) {
        record->control.loss = why == RECORD_KEPT ? RECORD_DAMAGED : why;
        record->control.state = TRACK_LOST;
    } else {
        atomic_store(&record->lost, false);
    }
    *ret = record;
    return 0;
}
