/* SPDX-License-Identifier: Apache-2.0 */
#include "allocation.h"

#include <stdbool.h>
#include <stdlib.h>

#include "checked.h"

void allocation_free(struct allocation *allocation)
{
    for (size_t i = 0; i < allocation->area_count; i++)
        free(allocation->areas[i].why);
    free(allocation->areas);
    block_set_free(&allocation->allocated);
    *allocation = (struct allocation){0};
}

const char *allocation_why(const struct allocation *allocation, uint64_t lba, uint64_t *ret_end)
{
    size_t low = 0, high = allocation->area_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (allocation->areas[middle].end <= lba)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_end =
        low < allocation->area_count ? allocation->areas[low].end : allocation->allocated.blocks;
    return low < allocation->area_count ? allocation->areas[low].why : "";
}

/* Walks along two lists that cover the same blocks. */
static int combine(const struct extent_runs *before, const struct extent_runs *after,
                   bool (*is_mapped)(bool before, bool after), struct extent_runs *ret)
{
    uint64_t covered = min_u64(extent_runs_end(before), extent_runs_end(after));

    for (uint64_t at = 0, end; at < covered; at = end) {
        const struct extent old = extent_runs_find(before, at), new = extent_runs_find(after, at);
        bool mapped = is_mapped(old.status == EXTENT_MAPPED, new.status == EXTENT_MAPPED);
        int r;

        end = min_u64(old.start + old.length, new.start + new.length);
        r = extent_runs_append(ret, end - at, mapped ? EXTENT_MAPPED : EXTENT_DEALLOCATED);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool only_after(bool before, bool after)
{
    return after && !before;
}

int allocation_added(const struct extent_runs *before, const struct extent_runs *after,
                     struct extent_runs *ret)
{
    return combine(before, after, only_after, ret);
}

static bool in_both(bool before, bool after)
{
    return before && after;
}

int allocation_common(const struct extent_runs *before, const struct extent_runs *after,
                      struct extent_runs *ret)
{
    return combine(before, after, in_both, ret);
}
