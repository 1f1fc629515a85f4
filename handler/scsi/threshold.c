/* SPDX-License-Identifier: Apache-2.0 */

/* Thresholds on the space that is left, SBC-4 4.7.3.7. Asking the file system costs more than a
 * small write, so it is asked once in a second in which something was written, and after a number
 * of bytes. What others take of the same file system is not reported, so any command has it looked
 * at when that was long ago. A threshold that is reached is told at once, and again every few
 * minutes for as long as it stays so. */

#include <time.h>

#include "checked.h"
#include "cleanup.h"
#include "lun_internal.h"

#define LOOK_EVERY_MS    1000
#define LOOK_AGAIN_MS    10000 /* when nothing is written */
#define LOOK_EVERY_BYTES (UINT64_C(32) << 20)
#define TELL_EVERY_MS    (5 * 60 * 1000)

static uint64_t monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void thresholds_init(struct thresholds *thresholds)
{
    pthread_mutex_init(&thresholds->lock, NULL);
    thresholds->now_ms = monotonic_ms;
}

void thresholds_destroy(struct thresholds *thresholds)
{
    pthread_mutex_destroy(&thresholds->lock);
}

uint64_t lun_now_ms(const struct lun *lun)
{
    return lun->thresholds.now_ms();
}

uint64_t lun_available_bytes(const struct lun *lun, const struct volume_space *space)
{
    uint64_t bytes = volume_bytes(lun->volume);

    return min_u64(bytes - min_u64(space->used_bytes, bytes), space->pool_available_bytes);
}

uint32_t lun_available_percent(const struct volume_space *space)
{
    double available = (double)space->pool_available_bytes;
    double total = available + (double)space->pool_used_bytes;

    return total > 0 ? (uint32_t)(100 * available / total) : 0;
}

/* Whether a threshold is reached. One that was stays so until the value has left the range around
 * it (figures 7 and 8), which is a threshold set or one percent wide: half of that to either side.
 */
static bool is_reached(const struct lun *lun, const struct volume_space *space, int which,
                       const struct mode_threshold *threshold, bool was)
{
    uint64_t margin = was ? LUN_THRESHOLD_SET_BYTES / 2 : 0;
    uint64_t at = (uint64_t)threshold->count * LUN_THRESHOLD_SET_BYTES;

    switch (which) {
    case THRESHOLD_AVAILABLE:
        return lun_available_bytes(lun, space) <= at + margin;
    case THRESHOLD_USED:
        return space->used_bytes + margin >= at;
    default:
        return lun_available_percent(space) <= threshold->count;
    }
}

static void tell(struct lun *lun, const struct volume_space *space,
                 const struct mode_threshold *threshold)
{
    struct thresholds *thresholds = &lun->thresholds;

    atomic_store(&thresholds->told_offset, threshold->offset);
    lun_raise_attention(lun, LUN_ATTENTION_THRESHOLD);
    lun_log(
        lun, LUN_LOG_THRESHOLD, LOG_LEVEL_WARNING,
        "a threshold is reached: it takes %llu MiB, and its file system has %llu MiB (%u %%) left",
        (unsigned long long)(space->used_bytes >> 20),
        (unsigned long long)(space->pool_available_bytes >> 20),
        (unsigned)lun_available_percent(space));
}

/* The caller holds the lock. */
static void look(struct lun *lun, const struct mode_threshold *thresholds)
{
    uint64_t now = lun->thresholds.now_ms();
    struct volume_space space;

    if (volume_space(lun->volume, &space))
        return; /* the next look may tell */
    for (int i = 0; i < THRESHOLDS; i++) {
        struct threshold_state *state = &lun->thresholds.states[i];
        bool was = state->reached;

        state->reached =
            thresholds[i].enabled && is_reached(lun, &space, i, &thresholds[i], state->reached);
        if (state->reached && (!was || now - state->told_ms >= TELL_EVERY_MS)) {
            state->told_ms = now;
            tell(lun, &space, &thresholds[i]);
        }
    }
}

void lun_look_at_thresholds(struct lun *lun)
{
    struct thresholds *thresholds = &lun->thresholds;
    struct mode_threshold wanted[THRESHOLDS];
    bool any = false;
    SCOPED_LOCK(&thresholds->lock);

    mode_get_thresholds(&lun->mode, wanted);
    for (int i = 0; i < THRESHOLDS; i++)
        any |= wanted[i].enabled;
    atomic_store(&thresholds->any, any);
    atomic_store(&thresholds->bytes, 0);
    atomic_store(&thresholds->next_ms, thresholds->now_ms() + LOOK_EVERY_MS);
    look(lun, wanted);
}

static void note_write(struct lun *lun, uint64_t bytes)
{
    struct thresholds *thresholds = &lun->thresholds;

    if (!atomic_load_explicit(&thresholds->any, memory_order_relaxed))
        return;
    if (atomic_fetch_add_explicit(&thresholds->bytes, bytes, memory_order_relaxed) + bytes >=
            LOOK_EVERY_BYTES ||
        thresholds->now_ms() >= atomic_load_explicit(&thresholds->next_ms, memory_order_relaxed))
        lun_look_at_thresholds(lun);
}

void lun_end_other(struct lun *lun)
{
    struct thresholds *thresholds = &lun->thresholds;

    if (atomic_load_explicit(&thresholds->any, memory_order_relaxed) &&
        thresholds->now_ms() >= atomic_load_explicit(&thresholds->next_ms, memory_order_relaxed) +
                                    (LOOK_AGAIN_MS - LOOK_EVERY_MS))
        lun_look_at_thresholds(lun);
}

int lun_end_write(struct lun *lun, int error, bool durable, uint64_t bytes)
{
    if (!error && !durable && lun->mode.write_through)
        error = volume_flush(lun->volume);
    note_write(lun, bytes);
    return error;
}
