/* SPDX-License-Identifier: Apache-2.0 */
#include "partitions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "checked.h"

int partition_list_add(struct partition_list *list, uint64_t start, uint64_t length,
                       unsigned number)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 16;
        struct partition *items = reallocarray(list->items, capacity, sizeof(*items));

        if (!items)
            return -ENOMEM;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct partition){start, length, number};
    return 0;
}

void partition_list_free(struct partition_list *list)
{
    free(list->items);
    *list = (struct partition_list){0};
}

static int compare_partitions(const void *a, const void *b)
{
    const struct partition *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

static void sort(struct partition_list *list)
{
    if (list->count > 0)
        qsort(list->items, list->count, sizeof(*list->items), compare_partitions);
}

bool partition_list_check(struct partition_list *list, uint64_t bytes,
                          char ret_why[static PARTITION_WHY_MAX])
{
    uint64_t end = 0;

    sort(list);
    for (size_t i = 0; i < list->count; i++) {
        const struct partition *partition = &list->items[i];

        if (!range_within(partition->start, partition->length, bytes)) {
            snprintf(ret_why, PARTITION_WHY_MAX, "partition %u goes beyond the end",
                     partition->number);
            return false;
        }
        if (partition->start < end) {
            snprintf(ret_why, PARTITION_WHY_MAX, "partitions %u and %u overlap",
                     list->items[i - 1].number, partition->number);
            return false;
        }
        end = partition->start + partition->length;
    }
    return true;
}

static int take_gap(struct region *region, uint64_t start, uint64_t end)
{
    int r = start < end ? region_name(region, start, end - start, "gap between partitions") : 0;

    if (r < 0 || start >= end || !region_skips_gaps(region))
        return r;
    return region_claim_free(region, start, end - start);
}

int partition_list_analyse(struct region *region, struct partition_list *list)
{
    char why[PARTITION_WHY_MAX];
    uint64_t end = 0;
    int r = 0;

    if (!partition_list_check(list, region_bytes(region), why))
        return region_refuse(region, "%s", why);
    for (size_t i = 0; r == 0 && i < list->count; i++) {
        const struct partition *partition = &list->items[i];
        char label[32];

        snprintf(label, sizeof(label), "partition %u", partition->number);
        r = take_gap(region, end, partition->start);
        if (r == 0)
            r = region_descend(region, partition->start, partition->length, label);
        end = partition->start + partition->length;
    }
    return r < 0 ? r : take_gap(region, end, region_bytes(region));
}
