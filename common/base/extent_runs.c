/* SPDX-License-Identifier: Apache-2.0 */
#include "extent_runs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "checked.h"

uint64_t extent_runs_end(const struct extent_runs *runs)
{
    return runs->last.start + runs->last.length;
}

static bool repeats(const struct extent_run *before, const struct extent_run *run)
{
    return before->lengths[0] == run->lengths[0] && before->lengths[1] == run->lengths[1] &&
           before->statuses[0] == run->statuses[0] && before->statuses[1] == run->statuses[1];
}

/* The last extent will not grow any more: it becomes half of a run. */
static int settle_last(struct extent_runs *runs)
{
    const struct extent *last = &runs->last;
    struct extent_run *run = runs->count ? &runs->items[runs->count - 1] : NULL;

    if (run && run->lengths[1] == 0) {
        run->lengths[1] = last->length;
        run->statuses[1] = last->status;
        if (runs->count > 1 && repeats(run - 1, run)) {
            (run - 1)->count++;
            runs->count--;
        }
        return 0;
    }
    if (runs->count == runs->capacity) {
        size_t capacity = runs->capacity ? runs->capacity * 2 : 16;
        struct extent_run *items = reallocarray(runs->items, capacity, sizeof(*items));

        if (!items)
            return -ENOMEM;
        runs->items = items;
        runs->capacity = capacity;
    }
    runs->items[runs->count++] = (struct extent_run){.start = last->start,
                                                     .lengths = {last->length},
                                                     .count = 1,
                                                     .statuses = {last->status}};
    return 0;
}

int extent_runs_append(struct extent_runs *runs, uint64_t length, enum extent_status status)
{
    uint64_t start = extent_runs_end(runs), end;

    if (length == 0)
        return 0;
    if (add_overflows(start, length, &end))
        return -EINVAL;
    if (runs->last.length > 0 && runs->last.status == status) {
        runs->last.length += length;
        return 0;
    }
    if (runs->last.length > 0) {
        int r = settle_last(runs);

        if (r < 0)
            return r;
    }
    runs->last = (struct extent){start, length, status};
    return 0;
}

/* The run that begins last at or before position, which is behind the begin of the first. */
static const struct extent_run *find_run(const struct extent_runs *runs, uint64_t position)
{
    size_t low = 0, high = runs->count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (runs->items[middle].start <= position)
            low = middle;
        else
            high = middle;
    }
    return &runs->items[low];
}

struct extent extent_runs_find(const struct extent_runs *runs, uint64_t position)
{
    const struct extent_run *run;
    uint64_t pair, within, start;

    if (position >= extent_runs_end(runs))
        return (struct extent){position, 0, EXTENT_MAPPED};
    if (position >= runs->last.start)
        return runs->last;
    run = find_run(runs, position);
    pair = run->lengths[0] + run->lengths[1];
    within = (position - run->start) % pair;
    start = position - within;
    if (within < run->lengths[0])
        return (struct extent){start, run->lengths[0], run->statuses[0]};
    return (struct extent){start + run->lengths[0], run->lengths[1], run->statuses[1]};
}

uint64_t extent_runs_total(const struct extent_runs *runs, enum extent_status status)
{
    uint64_t total = runs->last.status == status ? runs->last.length : 0;

    for (size_t i = 0; i < runs->count; i++)
        for (unsigned half = 0; half < 2; half++)
            if (runs->items[i].statuses[half] == status)
                total += runs->items[i].lengths[half] * runs->items[i].count;
    return total;
}

void extent_runs_free(struct extent_runs *runs)
{
    free(runs->items);
    *runs = (struct extent_runs){0};
}
