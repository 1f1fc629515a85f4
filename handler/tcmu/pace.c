/* SPDX-License-Identifier: Apache-2.0 */
#include "pace.h"

/* What one slow command counts for, in quick ones. With a clock that ticks every 4 ms a command of
 * 1 ms seems slow once in four times: on average those of more than a quarter of a millisecond make
 * slowness rise. */
#define SLOW_WEIGHT    16
#define SLOWNESS_LIMIT (3 * SLOW_WEIGHT)

/* What memory alone may need for a large one. */
#define BYTES_PER_MS (256 * 1024)

bool pace_try(const struct pace *pace, uint64_t now_ms)
{
    return now_ms >= pace->careful_until_ms;
}

void pace_tried(struct pace *pace, size_t bytes, uint64_t begun_ms, uint64_t now_ms)
{
    if (now_ms - begun_ms <= bytes / BYTES_PER_MS) {
        if (pace->slowness > 0)
            pace->slowness--;
        return;
    }
    pace->slowness += SLOW_WEIGHT;
    if (pace->slowness < SLOWNESS_LIMIT)
        return;
    pace->slowness = SLOWNESS_LIMIT - SLOW_WEIGHT; /* after the pause one more slow one is enough */
    pace->careful_until_ms = now_ms + PACE_CAREFUL_MS;
}
