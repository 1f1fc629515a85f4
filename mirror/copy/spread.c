/* SPDX-License-Identifier: Apache-2.0 */
#include "spread.h"

#include "checked.h"

void spread_init(struct spread *spread, uint64_t seed, uint64_t spot_blocks)
{
    spread->seed = seed;
    spread->spot_blocks = spot_blocks;
    spread->distance = 1;
    spread->total = 0;
    spread->count = 0;
}

/* Every other spot goes. */
static void thin_out(struct spread *spread)
{
    size_t kept = 0;

    spread->distance *= 2;
    for (size_t i = 0; i < spread->count; i++)
        if (spread->spots[i].position % spread->distance == spread->seed % spread->distance)
            spread->spots[kept++] = spread->spots[i];
    spread->count = kept;
}

void spread_add(struct spread *spread, uint64_t start, uint64_t end)
{
    uint64_t count = start < end ? (end - start - 1) / spread->spot_blocks + 1 : 0, at = 0;

    while (at < count) {
        uint64_t position = spread->total + at;
        /* Of a power of two, the remainder of what wraps around is right. */
        uint64_t ahead = (spread->seed - position) % spread->distance;

        if (ahead > 0) {
            at += min_u64(ahead, count - at);
        } else if (spread->count == SPREAD_SPOTS) {
            thin_out(spread);
        } else {
            uint64_t lba = start + at++ * spread->spot_blocks;

            spread->spots[spread->count++] =
                (struct spread_spot){position, lba, min_u64(spread->spot_blocks, end - lba)};
        }
    }
    spread->total += count;
}
