/* SPDX-License-Identifier: Apache-2.0 */
#include "range_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

static struct range *item(const struct range_set *set, size_t index)
{
    return &set->items[index < set->before ? index : index + set->capacity - set->count];
}

const struct range *range_set_at(const struct range_set *set, size_t index)
{
    return item(set, index);
}

/* The index of the first range that ends at position or later. */
static size_t first_reaching(const struct range_set *set, uint64_t position)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (item(set, middle)->end < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Has the unused items before the range of this index. */
static void move_unused(struct range_set *set, size_t index)
{
    size_t unused = set->capacity - set->count;
    struct range *items = set->items;

    if (index < set->before)
        memmove(items + index + unused, items + index, (set->before - index) * sizeof(*items));
    else if (index > set->before)
        memmove(items + set->before, items + set->before + unused,
                (index - set->before) * sizeof(*items));
    set->before = index;
}

static int make_room(struct range_set *set)
{
    size_t capacity = set->capacity ? min_u64(set->capacity * 2, RANGE_SET_MAX) : 16;
    struct range *items;

    if (set->count >= RANGE_SET_MAX)
        return -ENOSPC;
    if (set->count < set->capacity)
        return 0;
    items = reallocarray(set->items, capacity, sizeof(*items));
    if (!items)
        return -ENOMEM;
    set->items = items;
    set->before = set->count;
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
    for (; last < set->count && item(set, last)->start <= added.end; last++) {
        const struct range *old = item(set, last);

        known += old->end - old->start;
        added.start = min_u64(added.start, old->start);
        added.end = max_u64(added.end, old->end);
    }
    if (first == last) {
        int r = make_room(set);

        if (r < 0)
            return r;
    }
    /* Those that are joined become unused, and the first of the unused ones is the new one. */
    move_unused(set, first);
    set->count -= last - first;
    set->items[set->before++] = added;
    set->count++;
    set->total += added.end - added.start - known;
    return 0;
}

bool range_set_gap(const struct range_set *set, uint64_t from, uint64_t end, struct range *ret)
{
    size_t at = set ? first_reaching(set, from) : 0;

    /* A range that ends at from says nothing about from itself. */
    while (set && at < set->count && item(set, at)->start <= from) {
        from = max_u64(from, item(set, at)->end);
        at++;
    }
    if (from >= end)
        return false;
    *ret = (struct range){from, set && at < set->count ? min_u64(end, item(set, at)->start) : end};
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
    for (size_t i = 0; i < count; i++)
        to->items[i] = *item(from, i);
    to->count = to->before = count;
    to->total = from ? from->total : 0;
    return 0;
}

void range_set_free(struct range_set *set)
{
    free(set->items);
    *set = (struct range_set){0};
}
