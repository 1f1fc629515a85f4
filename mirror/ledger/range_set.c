/* SPDX-License-Identifier: Apache-2.0 */
#include "range_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

/* The index of the first range that ends at position or later. */
static size_t first_reaching(const struct range_set *set, uint64_t position)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->items[middle].end < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int make_room(struct range_set *set)
{
    size_t capacity = set->capacity ? set->capacity * 2 : 16;
    struct range *items;

    if (set->count < set->capacity)
        return 0;
    if (set->count >= RANGE_SET_MAX)
        return -ENOSPC;
    items = reallocarray(set->items, capacity, sizeof(*items));
    if (!items)
        return -ENOMEM;
    set->items = items;
    set->capacity = capacity;
    return 0;
}

int range_set_add(struct range_set *set, uint64_t start, uint64_t length)
{
    struct range added = {start, start + length};
    size_t first = first_reaching(set, start), last = first;
    uint64_t known = 0;

    if (length == 0)
        return 0;
    if (added.end < start)
        return -EINVAL;
    for (; last < set->count && set->items[last].start <= added.end; last++) {
        known += set->items[last].end - set->items[last].start;
        added.start = min_u64(added.start, set->items[last].start);
        added.end = max_u64(added.end, set->items[last].end);
    }
    if (first == last) {
        int r = make_room(set);

        if (r < 0)
            return r;
        memmove(set->items + first + 1, set->items + first,
                (set->count - first) * sizeof(*set->items));
        set->count++;
    } else {
        memmove(set->items + first + 1, set->items + last,
                (set->count - last) * sizeof(*set->items));
        set->count -= last - first - 1;
    }
    set->items[first] = added;
    set->total += added.end - added.start - known;
    return 0;
}

bool range_set_gap(const struct range_set *set, uint64_t from, uint64_t end, struct range *ret)
{
    size_t at = set ? first_reaching(set, from) : 0;

    /* A range that ends at from says nothing about from itself. */
    while (set && at < set->count && set->items[at].start <= from) {
        from = max_u64(from, set->items[at].end);
        at++;
    }
    if (from >= end)
        return false;
    *ret = (struct range){from, set && at < set->count ? min_u64(end, set->items[at].start) : end};
    return true;
}

int range_set_copy(struct range_set *to, const struct range_set *from)
{
    size_t count = from ? from->count : 0;

    if (count > to->capacity) {
        struct range *items = reallocarray(to->items, count, sizeof(*items));

        if (!items)
            return -ENOMEM;
        to->items = items;
        to->capacity = count;
    }
    if (count > 0)
        memcpy(to->items, from->items, count * sizeof(*to->items));
    to->count = count;
    to->total = from ? from->total : 0;
    return 0;
}

void range_set_free(struct range_set *set)
{
    free(set->items);
    *set = (struct range_set){0};
}
