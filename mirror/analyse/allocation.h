/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ALLOCATION_H
#define THINMIRROR_ALLOCATION_H

/* Which blocks of a LUN its own tables of contents call allocated, and why. */

#include <stddef.h>
#include <stdint.h>

#include "block_set.h"
#include "extent_runs.h"

/* A part of the LUN with one reason. */
struct allocation_area {
    uint64_t end; /* the first LBA behind it; it begins where the one before it ends */
    char *why;    /* "partition 1, ext4"; owned */
};

struct allocation {
    struct block_set allocated;    /* all other blocks are free */
    struct allocation_area *areas; /* they cover the LUN in order */
    size_t area_count;
};

/* Also for a zero-initialised one. */
void allocation_free(struct allocation *allocation);

/* Why the block is what it is, owned by the allocation, and up to where that is so; lba lies within
 * the LUN. */
const char *allocation_why(const struct allocation *allocation, uint64_t lba, uint64_t *ret_end);

/* What is mapped in after and was not in before, as EXTENT_MAPPED, the rest EXTENT_DEALLOCATED.
 * Both lists cover the same blocks. ret is zero-initialised and the caller's to free. -ENOMEM. */
int allocation_added(const struct extent_runs *before, const struct extent_runs *after,
                     struct extent_runs *ret);

/* What is mapped in both of them; as above. */
int allocation_common(const struct extent_runs *before, const struct extent_runs *after,
                      struct extent_runs *ret);

#endif
