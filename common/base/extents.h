/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_EXTENTS_H
#define THINMIRROR_BASE_EXTENTS_H

/* An ordered list of extents. It enforces order and joins neighbours of the same status.
 * The unit (bytes or logical blocks) is the owner's; a list never mixes units. */

#include <stddef.h>
#include <stdint.h>

/* The values are SBC-4's PROVISIONING STATUS codes for REPORT TYPE 00h (5.9.2.3). */
enum extent_status {
    EXTENT_MAPPED = 0,      /* backed by storage, or not known to be otherwise */
    EXTENT_DEALLOCATED = 1, /* no storage behind it */
    EXTENT_ANCHORED = 2,    /* storage is reserved, nothing is written */
};

struct extent {
    uint64_t start;
    uint64_t length; /* never 0 */
    enum extent_status status;
};

/* Zero-initialise. The list owns items; extent_list_free gives them back. */
struct extent_list {
    struct extent *items;
    size_t count;
    size_t capacity;
};

/* Appends [start, start + length). Length 0 adds nothing. Joined to the last extent when it follows
 * on with the same status. -EINVAL when it begins before the end of the last extent or wraps;
 * -ENOMEM. The list is unchanged on failure. */
int extent_list_append(struct extent_list *list, uint64_t start, uint64_t length,
                       enum extent_status status);

/* The extent that covers position, or NULL. O(log count). */
const struct extent *extent_list_find(const struct extent_list *list, uint64_t position);

/* Where the last extent ends; 0 for an empty list. */
uint64_t extent_list_end(const struct extent_list *list);

/* The summed length of all extents of this status. */
uint64_t extent_list_total(const struct extent_list *list, enum extent_status status);

/* Forgets the extents but keeps the memory. */
void extent_list_clear(struct extent_list *list);

/* For CLEANUP(extent_list_free) too. */
void extent_list_free(struct extent_list *list);

/* "mapped", "deallocated" or "anchored". */
const char *extent_status_name(enum extent_status status);

#endif
