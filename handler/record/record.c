/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uuid/uuid.h>

#include "log.h"
#include "record_internal.h"
#include "record_view_internal.h"

/* The first incarnation's point; its interval has no changes. */
#define FIRST_INTERVAL 1

const char *record_loss_text(enum record_loss loss)
{
    static const char *const texts[RECORD_LOSS_COUNT] = {
        [RECORD_KEPT] = "it is not",
        [RECORD_BEGUN] = "it was switched on",
        [RECORD_OF_OTHER] = "the record there is belongs to another file",
        [RECORD_VOLUME_CHANGED] = "the volume was changed while nothing kept the record",
        [RECORD_DAMAGED] = "its file is damaged",
        [RECORD_RESIZED] = "the volume has another size",
        [RECORD_SANITIZED] = "the volume was sanitized",
        [RECORD_NO_SPACE] = "its file system is full",
        [RECORD_IO_ERROR] = "its file cannot be read or written",
    };

    return texts[loss];
}

int record_make(struct record_medium *medium, const struct record_subject *subject,
                struct record **ret)
{
    struct record *record = aligned_alloc(_Alignof(struct record), sizeof(*record));

    if (!record) {
        medium->ops->close(medium);
        return -ENOMEM;
    }
    memset(record, 0, sizeof(*record));
    record->medium = medium;
    record->name = subject->name;
    record->announced = 1;
    record->lost = true;
    record_lock_init(&record->cut_lock);
    record_lock_init(&record->turn);
    record_lock_init(&record->pages_lock);
    pthread_mutex_init(&record->cooler_lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&record->cooler_wakes, &attributes);
    pthread_condattr_destroy(&attributes);
    *ret = record;
    return 0;
}

void record_free(struct record *record)
{
    record_free_views(record);
    record->medium->ops->close(record->medium);
    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++)
        free(record->checksums[slot]);
    record_lock_destroy(&record->cut_lock);
    record_lock_destroy(&record->turn);
    record_lock_destroy(&record->pages_lock);
    pthread_mutex_destroy(&record->cooler_lock);
    pthread_cond_destroy(&record->cooler_wakes);
    free(record);
}

static int put_control(struct record *record)
{
    struct record_medium *medium = record->medium;
    struct track_control *control = &record->control;
    uint8_t bytes[RECORD_CONTROL_BYTES];
    int copy = !record->copy;
    uuid_t random;
    uint32_t mark;
    int error;

    control->sequence++;
    control->interval = atomic_load(&record->interval);
    control->flushed = atomic_load(&record->flushed);
    uuid_generate_random(random);
    memcpy(&mark, random, sizeof(mark));
    track_control_encode(control, mark, bytes);
    error = medium->ops->write(medium, bytes, sizeof(bytes), (uint64_t)copy * sizeof(bytes));
    record_step();
    if (!error)
        error = medium->ops->sync(medium);
    record_step();
    if (error)
        control->sequence--; /* so that the next one takes its place */
    else
        record->copy = copy;
    return error;
}

void record_lose(struct record *record, enum record_loss why)
{
    int error;

    if (atomic_load(&record->lost))
        return;
    record->control.state = TRACK_LOST;
    record->control.loss = why;
    error = put_control(record);
    if (error) /* what cannot be declared lost must not be there */
        error = record->medium->ops->remove(record->medium);
    record_lose_views(record, -ESTALE); /* nothing is saved for them from now on */
    atomic_store(&record->lost, true);
    log_error("%s: the change record is lost: %s; everything counts as changed%s", record->name,
              record_loss_text(why),
              error ? ", and as its file cannot be removed either, remove it before the volume is "
                      "opened again"
                    : "");
}

int record_write_control(struct record *record)
{
    int error = put_control(record);

    if (error)
        record_lose(record, error == -ENOSPC ? RECORD_NO_SPACE : RECORD_IO_ERROR);
    return error;
}

unsigned record_take_slot(struct record *record, uint64_t from, uint64_t to, uint32_t flags)
{
    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++) {
        if (record->control.slots[slot].from != 0)
            continue;
        record->control.slots[slot] = (struct track_slot){.from = from, .to = to, .flags = flags};
        return slot;
    }
    return RECORD_SLOTS;
}

/* Nothing that was there can be taken for a record any more, and then nothing is there. */
static int wipe(struct record *record)
{
    struct record_medium *medium = record->medium;
    static const uint8_t zeros[2 * RECORD_CONTROL_BYTES];
    int error = medium->ops->write(medium, zeros, sizeof(zeros), 0);

    if (!error)
        error = medium->ops->sync(medium);
    for (unsigned slot = 0; !error && slot < RECORD_SLOTS; slot++)
        error = record_clear_slot(record, slot);
    return error ? error : medium->ops->sync(medium);
}

static void forget_all(struct record *record)
{
    struct track_control *control = &record->control;

    memset(control->slots, 0, sizeof(control->slots));
    memset(control->points, 0, sizeof(control->points));
    memset(control->hot, 0, sizeof(control->hot));
    memset(record->cooling, 0, sizeof(record->cooling));
    for (unsigned i = 0; i < RECORD_MAX_REGIONS / 64; i++)
        atomic_store(&record->warm[i], 0);
    record->announced = 1;
}

static void begin_intervals(struct record *record)
{
    uint64_t interval = FIRST_INTERVAL + 1;

    for (uint64_t i = interval; i <= interval + 1; i++)
        atomic_store(&record->slot_of[i % RECORD_RECENT], record_take_slot(record, i, i, 0));
    atomic_store(&record->interval, interval);
    atomic_store(&record->graced, FIRST_INTERVAL);
    atomic_store(&record->flushed, FIRST_INTERVAL);
}

int record_begin_anew(struct record *record, enum record_loss why)
{
    struct track_control *control = &record->control;
    uint64_t now = (uint64_t)time(NULL);
    int error;

    atomic_store(&record->lost, true);
    error = wipe(record);
    forget_all(record);
    control->sequence = 0;
    control->state = TRACK_OPEN;
    control->loss = why;
    control->since = now;
    control->volume_bytes = record->volume_bytes;
    control->granule_bytes = (uint32_t)record->granule_bytes;
    control->regions = (uint32_t)record->regions;
    uuid_generate_random(control->incarnation);
    begin_intervals(record);
    control->points[0] = (struct record_point){.interval = FIRST_INTERVAL,
                                               .bytes = record->volume_bytes,
                                               .mapped_bytes = UINT64_MAX,
                                               .time = now};
    uuid_generate_random(control->points[0].id);
    record->copy = 1;
    for (int i = 0; !error && i < 2; i++)
        error = put_control(record);
    if (error)
        return error;
    atomic_store(&record->lost, false);
    return 0;
}

/* Where that fails while no change is marked, nothing may be left that could be believed. */
static int begin_anew_or_remove(struct record *record, enum record_loss why)
{
    int error = record_begin_anew(record, why);

    if (error)
        record->medium->ops->remove(record->medium);
    return error;
}

void record_finish(struct record *record, const struct store_identity *identity)
{
    struct track_control *control = &record->control;

    record_stop_cooler(record);
    if (!identity || record->looks || atomic_load(&record->lost))
        return;
    /* Whatever fails here leaves a record that looks as if the process had been killed. */
    if (record_sum_regions(record, control->hot) || record->medium->ops->sync(record->medium))
        return;
    memset(control->hot, 0, sizeof(control->hot));
    control->state = TRACK_CLEAN;
    control->identity = *identity;
    record_flushed(record, atomic_load(&record->interval));
    put_control(record);
}

void record_close(struct record *record, const struct store_identity *identity)
{
    if (!record)
        return;
    record_finish(record, identity);
    record_free(record);
}

/* The new bytes are marked before the size is the new one on the medium: until then it is not that
 * of the volume, and the record would not be believed. */
static void mark_new_bytes(struct record *record, uint64_t before)
{
    struct record_change change;

    if (record->volume_bytes <= before)
        return;
    record_begin(record, before, record->volume_bytes - before, true, &change);
    record_end(&change);
}

static void change_size(struct record *record)
{
    struct track_control *control = &record->control;

    if (record->granule_bytes != control->granule_bytes) {
        record_lose(record, RECORD_RESIZED);
        if (begin_anew_or_remove(record, RECORD_RESIZED) == 0)
            log_warning("%s: the change record has begun anew", record->name);
        return;
    }
    control->volume_bytes = record->volume_bytes;
    record_write_control(record);
}

void record_resized(struct record *record, uint64_t bytes)
{
    RECORD_LOCKED(&record->cut_lock);
    uint64_t before = record->volume_bytes;

    if (bytes < before)
        record_lose_views(record, -ESTALE);
    record_lock_take(&record->turn);
    record_set_size(record, bytes);
    if (record->regions > record->control.regions)
        record->control.regions = (uint32_t)record->regions;
    record_lock_give(&record->turn);
    if (!atomic_load(&record->lost) && record->granule_bytes == record->control.granule_bytes)
        mark_new_bytes(record, before);
    record_lock_take(&record->turn);
    if (!atomic_load(&record->lost))
        change_size(record);
    record_lock_give(&record->turn);
}

void record_sanitize(struct record *record)
{
    RECORD_LOCKED(&record->cut_lock);

    record_lock_take(&record->turn);
    record_lose(record, RECORD_SANITIZED);
    if (wipe(record))
        record->medium->ops->remove(record->medium);
    forget_all(record);
    record_lock_give(&record->turn);
}

int record_restart(struct record *record, enum record_loss why)
{
    RECORD_LOCKED(&record->cut_lock);
    int error;

    record_lock_take(&record->turn);
    error = begin_anew_or_remove(record, why);
    record_lock_give(&record->turn);
    return error;
}
