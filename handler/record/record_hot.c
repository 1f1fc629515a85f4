/* SPDX-License-Identifier: Apache-2.0 */

/* Hot regions: those in which anything may have changed when the machine crashes. They are
 * announced on the medium before they are changed, twice as many each time, and made cool again
 * when no one writes there. */

#include <errno.h>
#include <string.h>

#include "checked.h"
#include "quiet_thread.h"
#include "record_internal.h"

#define COOLER_SECONDS 30

bool record_is_warm(struct record *record, uint64_t first_region, uint64_t last_region)
{
    for (uint64_t at = first_region; at <= last_region; at++)
        if (!(atomic_load(&record->warm[at / 64]) >> at % 64 & 1))
            return false;
    return true;
}

static void warm_up(struct record *record, const uint64_t *regions)
{
    for (uint64_t i = 0; i < RECORD_MAX_REGIONS / 64; i++) {
        if (!regions[i])
            continue;
        record->cooling[i] &= ~regions[i];
        atomic_fetch_or(&record->warm[i], regions[i]);
    }
}

/* Those of the run that are not hot yet; false when there are none. */
static bool find_cold(const struct record *record, uint64_t first, uint64_t last, uint64_t *ret)
{
    bool any = false;

    for (uint64_t region = first; region <= last; region++) {
        if (bit_is_set(record->control.hot, region))
            continue;
        ret[region / 64] |= UINT64_C(1) << region % 64;
        any = true;
    }
    return any;
}

#ifndef RECORD_MODEL
static void *keep_cooling(void *opaque)
{
    struct record *record = opaque;
    struct timespec until;

    pthread_mutex_lock(&record->cooler_lock);
    while (!record->stopping) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += COOLER_SECONDS;
        if (pthread_cond_timedwait(&record->cooler_wakes, &record->cooler_lock, &until) == 0)
            continue;
        pthread_mutex_unlock(&record->cooler_lock);
        record_cool(record);
        pthread_mutex_lock(&record->cooler_lock);
    }
    pthread_mutex_unlock(&record->cooler_lock);
    return NULL;
}
#endif

/* Without a thread all that is lost is that more is suspect after a crash. */
static void start_cooler(struct record *record)
{
#ifndef RECORD_MODEL
    if (!record->has_cooler)
        record->has_cooler = quiet_thread_start(&record->cooler, keep_cooling, record) == 0;
#else
    (void)record;
#endif
}

void record_stop_cooler(struct record *record)
{
    if (!record->has_cooler)
        return;
    pthread_mutex_lock(&record->cooler_lock);
    record->stopping = true;
    pthread_cond_signal(&record->cooler_wakes);
    pthread_mutex_unlock(&record->cooler_lock);
    pthread_join(record->cooler, NULL);
    record->has_cooler = false;
}

int record_announce(struct record *record, uint64_t first_region, uint64_t last_region)
{
    uint64_t wanted[RECORD_MAX_REGIONS / 64] = {0};
    uint64_t first, last;
    RECORD_LOCKED(&record->turn);
    int error = 0;

    if (atomic_load(&record->lost))
        return -ESTALE;
    for (uint64_t region = first_region; region <= last_region; region++)
        wanted[region / 64] |= UINT64_C(1) << region % 64;
    if (record_fault(RECORD_FAULT_MEMORY_FIRST)) {
        warm_up(record, wanted);
        record_step();
    }
    first = align_down(first_region, record->announced);
    last = min_u64(align_up(last_region + 1, record->announced), record->regions) - 1;
    memset(wanted, 0, sizeof(wanted));
    if (find_cold(record, first, last, wanted)) {
        record_unsum_regions(record, wanted);
        for (uint64_t i = 0; i < RECORD_MAX_REGIONS / 64; i++)
            record->control.hot[i] |= wanted[i];
        error = record_write_control(record);
        if (error)
            return error;
        record->announced = min_u64(record->announced * 2, RECORD_MAX_REGIONS);
        start_cooler(record);
    }
    for (uint64_t region = first_region; region <= last_region; region++)
        wanted[region / 64] |= UINT64_C(1) << region % 64;
    warm_up(record, wanted);
    return 0;
}

void record_wait_for_changes(struct record *record)
{
    for (unsigned i = 0; i < RECORD_CHANGES; i++) {
        struct record_running *running = &record->running[i];
        uint64_t turns = atomic_load(&running->turns);
        unsigned tries = 0;

        while (atomic_load(&running->interval) != 0 && atomic_load(&running->turns) == turns)
            record_wait(&tries);
    }
}

/* The hot regions that no one has touched are cooling from now on; false when there are none. */
static bool begin_cooling(struct record *record)
{
    RECORD_LOCKED(&record->turn);
    bool any = false;

    memset(record->cooling, 0, sizeof(record->cooling));
    if (atomic_load(&record->lost))
        return false;
    for (uint64_t region = 0; region < record->control.regions; region++) {
        uint64_t bit = UINT64_C(1) << region % 64;

        if (!bit_is_set(record->control.hot, region))
            continue;
        if (atomic_exchange_explicit(&record->touched[region], 0, memory_order_relaxed))
            continue;
        record->cooling[region / 64] |= bit;
        atomic_fetch_and(&record->warm[region / 64], ~bit);
        any = true;
    }
    return any;
}

static void end_cooling(struct record *record)
{
    RECORD_LOCKED(&record->turn);
    int error;

    if (atomic_load(&record->lost))
        return;
    error = record_sum_regions(record, record->cooling);
    if (!error && !record_fault(RECORD_FAULT_COOL_WITHOUT_BITS))
        error = record->medium->ops->sync(record->medium);
    if (error) {
        record_lose(record, error == -ENOSPC ? RECORD_NO_SPACE : RECORD_IO_ERROR);
        return;
    }
    for (uint64_t i = 0; i < RECORD_MAX_REGIONS / 64; i++)
        record->control.hot[i] &= ~record->cooling[i];
    memset(record->cooling, 0, sizeof(record->cooling));
    record->announced = record->announced > 1 ? record->announced / 2 : 1;
    record_write_control(record);
}

void record_cool(struct record *record)
{
    RECORD_LOCKED(&record->cut_lock);

    if (!begin_cooling(record))
        return;
    record_step();
    if (!record_fault(RECORD_FAULT_COOL_NO_GRACE))
        record_wait_for_changes(record);
    end_cooling(record);
}
