/* SPDX-License-Identifier: Apache-2.0 */
#include "extents.h"

#include <errno.h>
#include <stdlib.h>

#include "checked.h"

uint64_t extent_list_end(const struct extent_list *list)
{
    const struct extent *last;

    if (list->count == 0)
        return 0;
    last = &list->items[list->count - 1];
    return last->start + last->length;
}

static int extent_list_grow(struct extent_list *list)
{
    size_t capacity = list->capacity ? list->capacity * 2 : 16;
    struct extent *items = reallocarray(list->items, capacity, sizeof(*items));

    if (!items)
        return -ENOMEM;
    list->items = items;
    list->capacity = capacity;
    return 0;
}

int extent_list_append(struct extent_list *list, uint64_t start, uint64_t length,
                       enum extent_status status)
{
    uint64_t end;

    if (length == 0)
        return 0;
    if (add_overflows(start, length, &end) || start < extent_list_end(list))
        return -EINVAL;
    if (list->count > 0) {
        struct extent *last = &list->items[list->count - 1];

        if (last->status == status && last->start + last->length == start) {
            last->length += length;
            return 0;
        }
    }
    if (list->count == list->capacity) {
        int r = extent_list_grow(list);

        if (r < 0)
            return r;
    }
    list->items[list->count++] = (struct extent){start, length, status};
    return 0;
}

const struct extent *extent_list_find(const struct extent_list *list, uint64_t position)
{
    size_t low = 0, high = list->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct extent *extent = &list->items[middle];

        if (position < extent->start)
            high = middle;
        else if (position - extent->start >= extent->length)
            low = middle + 1;
        else
            return extent;
    }
    return NULL;
}

uint64_t extent_list_total(const struct extent_list *list, enum extent_status status)
{
    uint64_t total = 0;

    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].status == status)
            total += list->items[i].length;
    return total;
}

void extent_list_clear(struct extent_list *list)
{
    list->count = 0;
}

void extent_list_free(struct extent_list *list)
{
    free(list->items);
    *list = (struct extent_list){0};
}

const char *extent_status_name(enum extent_status status)
{
    switch (status) {
    case EXTENT_DEALLOCATED:
        return "deallocated";
    case EXTENT_ANCHORED:
        return "anchored";
    case EXTENT_MAPPED:
        break;
    }
    return "mapped";
}
