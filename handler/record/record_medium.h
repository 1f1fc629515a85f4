/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RECORD_MEDIUM_H
#define THINMIRROR_RECORD_MEDIUM_H

/* Where a change record lives: a file that is mapped into memory (record_file.h), or memory that
 * forgets what was not made durable, in tests. Sizes and offsets are bytes; results 0 or -errno. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_medium;

struct record_medium_ops {
    int (*read)(struct record_medium *medium, void *bytes, size_t length, uint64_t offset);
    /* Seen in the mapping, and by every other process, when it returns. */
    int (*write)(struct record_medium *medium, const void *bytes, size_t length, uint64_t offset);
    /* Makes all that was written, and all that was stored through the mapping, durable. */
    int (*sync)(struct record_medium *medium);
    /* Gives these pages of RECORD_PAGE_BYTES storage, if they have none, so that storing to them
     * through the mapping cannot fail, and keeps them in memory. What they hold does not change. */
    int (*hold)(struct record_medium *medium, uint64_t offset, uint64_t length, bool has_storage);
    /* Undoes that: the range reads as zeros. */
    int (*give_back)(struct record_medium *medium, uint64_t offset, uint64_t length);
    /* The next range from offset on, within limit, that may hold something else than zeros.
     * *ret_start is limit when there is none. */
    int (*next_data)(struct record_medium *medium, uint64_t offset, uint64_t limit,
                     uint64_t *ret_start, uint64_t *ret_end);
    /* Makes the record vanish, durably: the last resort where it cannot even be declared lost. */
    int (*remove)(struct record_medium *medium);
    void (*close)(struct record_medium *medium);
};

#define RECORD_PAGE_BYTES 4096

/* First member of every implementation. */
struct record_medium {
    const struct record_medium_ops *ops;
    uint8_t *mapping; /* all of the medium; only to be stored to where it is held */
};

#endif
