/* SPDX-License-Identifier: Apache-2.0 */
#include "pace.h"

/* What one slow command counts for, in quick ones. With a clock that ticks every 4 ms a command of
 * 1 ms seems slow once in four times: on average those of more than a quarter of a millisecond make
 * slowness rise. */
#define SLOW_WEIGHT    16
#define SLOWNESS_LIMIT (3 * SLOW_WEIGHT)

/* What memory alone may need for a large one. */
#define BYTES_PER_MS (256 * 1024)

/* How many commands are watched after a slow one. With a quarter of a millisecond each and that
 * clock, every 16th seems slow. */
#define WATCHED_COMMANDS 64

static int slowness_of(const struct pace *pace)
{
    return atomic_load_explicit(&pace->slowness, memory_order_relaxed);
}

static void set_slowness(struct pace *pace, int slowness)
{
    atomic_store_explicit(&pace->slowness, slowness, memory_order_relaxed);
}

bool pace_try(const struct pace *pace, uint64_t now_ms)
{
    return now_ms >= atomic_load_explicit(&pace->careful_until_ms, memory_order_relaxed);
}

bool pace_watches(const struct pace *pace)
{
    return atomic_load_explicit(&pace->watching, memory_order_relaxed) > 0;
}

static void was_quick(struct pace *pace)
{
    int slowness = slowness_of(pace);

    if (slowness > 0)
        set_slowness(pace, slowness - 1);
}

static void was_slow(struct pace *pace, uint64_t now_ms)
{
    int slowness = slowness_of(pace) + SLOW_WEIGHT;

    if (slowness >= SLOWNESS_LIMIT) {
        slowness = SLOWNESS_LIMIT - SLOW_WEIGHT; /* after the pause one more slow one is enough */
        atomic_store_explicit(&pace->careful_until_ms, now_ms + PACE_CAREFUL_MS,
                              memory_order_relaxed);
    }
    set_slowness(pace, slowness);
}

void pace_tried(struct pace *pace, size_t bytes, uint64_t begun_ms, uint64_t now_ms,
                enum pace_sleep sleep)
{
    bool slow = now_ms - begun_ms > bytes / BYTES_PER_MS;
    int watching = atomic_load_explicit(&pace->watching, memory_order_relaxed);

    if (slow)
        atomic_store_explicit(&pace->watching, WATCHED_COMMANDS, memory_order_relaxed);
    else if (watching > 0)
        atomic_store_explicit(&pace->watching, watching - 1, memory_order_relaxed);
    if (slow && sleep == PACE_SLEPT)
        was_slow(pace, now_ms);
    else if (!slow || sleep == PACE_NEVER_SLEPT)
        was_quick(pace);
}
