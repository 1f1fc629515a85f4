/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SYNC_H
#define THINMIRROR_SYNC_H

/* Makes the secondary read as the primary reads: mapped blocks are copied, the rest is emptied. */

#include <stdbool.h>
#include <stdint.h>

#include "comparer.h"
#include "control.h"
#include "endpoint.h"

struct block_set;
struct range_set;
struct sample;

struct sync_params {
    struct endpoint *primary;
    /* Of the same block size, at least as large, writable unless dry_run. What it has beyond the
     * primary's end is left alone. */
    struct endpoint *secondary;
    bool copy_all; /* don't ask the primary for its map: every block is copied */
    /* What is not in this settled set of the primary's blocks is not copied, whatever the primary's
     * map says. NULL: no such limit. */
    const struct block_set *allocated;
    /* What is not in allocated is left alone on the secondary, not emptied. What is in it and not
     * mapped reads as zeros on the primary, and is emptied all the same. Without allocated: no
     * block is known to be free, and this changes nothing. */
    bool keep_free;
    /* A primary's map that is not sound, or breaks off, is an error of the sync. Otherwise what it
     * does not tell is copied as if it were mapped. */
    bool need_map;
    bool secondary_is_zero; /* it was read, and there was nothing but zeros on it */
    /* What was taken to be zeros on the secondary (assumed_zeros.h) by a sync before this one, and
     * gets what this one takes for such: of the primary's blocks; at the end all of it is looked
     * at. NULL: there was none. */
    struct block_set *assumed;
    bool dry_run;          /* plan only; nothing is read or written */
    bool read_back;        /* what is written is read from the secondary, and compared */
    struct sample *sample; /* is told what is planned to be copied; or NULL */
    /* What an earlier run did and flushed: nothing is done about it any more, but for what is to be
     * copied and is not mapped on the secondary by its own map. NULL: nothing. */
    const struct range_set *done;
    /* Called about every checkpoint_seconds, and at the end, however that comes about: everything
     * in done, the earlier run's included, reads on the secondary as on the primary, durably.
     * -errno with a sentence ends the sync. NULL: not wanted. */
    int (*checkpoint)(void *opaque, const struct range_set *done, struct errmsg *err);
    void *checkpoint_opaque;
    double checkpoint_seconds;
    struct copy_control control;
};

struct sync_result {
    bool interrupted; /* control.stop was seen before the end */
    bool complete;    /* nothing is left to do; bad_blocks of it could not be copied */
    bool settled;     /* all that was written is flushed, and checkpoint() was told */
    uint64_t lun_bytes;
    uint64_t mapped_bytes; /* on the primary; of what was scanned, when it did not get to the end */
    uint64_t extents;      /* mapped ones on the primary */
    uint64_t read_bytes;   /* of mapped blocks, to be copied */
    uint64_t gap_bytes;    /* read between them, to have them by fewer commands, and dropped */
    uint64_t written_bytes;   /* copied to the secondary */
    uint64_t unmapped_bytes;  /* deallocated on the secondary */
    uint64_t zeroed_bytes;    /* written with zeros on the secondary, which could not deallocate */
    uint64_t read_back_bytes; /* that were found as they were written */
    struct differences differences; /* what was found otherwise, with -EBADMSG */
    uint64_t resumed_bytes;         /* what the earlier run had done of it, copied or emptied */
    uint64_t to_copy_bytes;         /* planned */
    uint64_t to_empty_bytes;        /* planned */
    uint64_t detected_bytes; /* of the two above: read from the primary and found to be zeros */
    bool unreadable;         /* the error is that of a medium that does not give a block */
    uint64_t bad_blocks;     /* that the primary could not read; they are zeros on the secondary */
    uint64_t first_bad;      /* the lowest of them */
    unsigned rollbacks;      /* so often some of what was written was lost and written again */
    /* What was taken as mapped as its map was not sound or broke off, and why; empty: nothing. */
    struct errmsg primary_doubt, secondary_doubt;
    double seconds;
};

/* Copies, and flushes the secondary. When the secondary's target was restarted under the copy, what
 * it had not flushed is copied again. 0 also when interrupted: what was written is durable then.
 * -EBADMSG: with read_back, something was not found as it was written, see differences.
 * -errno with a sentence that names the LUN: nothing but what checkpoint() was told may be taken as
 * copied. */
int sync_run(const struct sync_params *params, struct sync_result *ret, struct errmsg *err);

#endif
