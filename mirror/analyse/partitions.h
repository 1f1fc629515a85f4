/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_PARTITIONS_H
#define THINMIRROR_PARTITIONS_H

/* What partition tables of any kind have in common. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region.h"

struct partition {
    uint64_t start; /* bytes in the region */
    uint64_t length;
    unsigned number; /* from 1, as people count them */
};

struct partition_list {
    struct partition *items;
    size_t count;
    size_t capacity;
};

/* -ENOMEM. */
int partition_list_add(struct partition_list *list, uint64_t start, uint64_t length,
                       unsigned number);
void partition_list_free(struct partition_list *list);

/* Whether none is beyond bytes bytes and no two overlap; sorts them. False: why, "partition 1
 * goes beyond the end". */
#define PARTITION_WHY_MAX 80
bool partition_list_check(struct partition_list *list, uint64_t bytes,
                          char ret_why[static PARTITION_WHY_MAX]);

/* Descends into each. What lies between them may hold boot loaders: allocated, unless gaps are to
 * be skipped; the table itself is for the format to keep. Refuses when two overlap or one is beyond
 * the end. */
int partition_list_analyse(struct region *region, struct partition_list *list);

/* For formats that begin with a boot sector: partitioning programs leave all of it but the table as
 * it was. Refuses when there is a partition table in it, since it cannot be told then which of the
 * two is the later one. */
int partitions_refuse_table(struct region *region, const uint8_t boot[static 512]);

#endif
