/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_READ_TRACE_H
#define THINMIRROR_READ_TRACE_H

/* What an analysis has read of the disk: a digest of it, which tells whether the tables are still
 * the same, and where it was. In bounded memory: when there are too many places, they become
 * coarser, never fewer. */

#include <stddef.h>
#include <stdint.h>

#include "block_set.h"
#include "claims.h"

#define READ_TRACE_MAX (128 * 1024) /* places */

/* Zero-initialise. */
struct read_trace {
    uint64_t digest; /* depends on what was read and on the order, which the disk decides */
    struct byte_ranges places;
    uint64_t grain_bytes; /* places begin and end at multiples of it; 0: anywhere */
};

/* These bytes were read. -ENOMEM. */
int read_trace_add(struct read_trace *trace, uint64_t offset, const void *bytes, size_t length);

/* The digest with a settled set of blocks added to it. */
uint64_t read_trace_digest(const struct read_trace *trace, const struct block_set *set);

/* The blocks that were read, whole. ret is of the LUN's blocks and empty, and the caller's to free.
 * -ENOMEM. */
int read_trace_build(struct read_trace *trace, uint32_t block_size, struct block_set *ret);

void read_trace_free(struct read_trace *trace);

#endif
