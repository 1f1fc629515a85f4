/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ASSUMED_ZEROS_H
#define THINMIRROR_ASSUMED_ZEROS_H

/* Blocks of the secondary that have to read as zeros, may well do so already, and of which nothing
 * promises it: of a thin unit without LBPRZ, or of one that was only seen to read as zeros. Writing
 * zeros there would cost storage. But such a unit may allocate more than is written, and then what
 * lies beside it brings up old data. So nothing is done about these blocks while the rest is
 * written; then the secondary is flushed, what this machine has cached of it is dropped, they are
 * read, and where they are not zeros, zeros are written. As that may bring up more, it is done
 * again until nothing is found; and in the end all of them are written, and looked at once more. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block_set.h"
#include "buffers.h"
#include "control.h"
#include "endpoint.h"

struct assumed_slot {
    struct assumed_slot *next;
    struct assumed_zeros *assumed;
    struct endpoint_request request;
    struct iovec iov;
    uint64_t lba, blocks; /* of the piece */
    uint64_t at;          /* blocks of it that are dealt with */
};

enum assumed_phase { ASSUMED_GATHERING, ASSUMED_FLUSHING, ASSUMED_READING, ASSUMED_DONE };

struct assumed_zeros {
    struct endpoint *secondary;
    struct block_set *set; /* the blocks; the caller's */
    enum assumed_phase phase;
    uint64_t chunk_blocks;
    uint64_t next;   /* LBA to go on from */
    unsigned passes; /* how many have found something */
    bool found;      /* this one has */
    struct endpoint_request flush;
    struct buffers buffers;
    struct assumed_slot *slots, *free_slots;
    unsigned in_flight;

    uint64_t looked_blocks; /* of the pass */
    uint64_t zeroed_blocks; /* by writing, in all */
    int error;              /* the first */
    bool flush_failed;
    struct errmsg message;
};

/* set is initialised, of the secondary's blocks or fewer, and stays the caller's until
 * assumed_free; it may have members already. assumed stays at its address. -ENOMEM. */
int assumed_init(struct assumed_zeros *assumed, struct endpoint *secondary,
                 const struct copy_control *control, struct block_set *set);
/* Only with nothing in flight. A zeroed one may be freed. */
void assumed_free(struct assumed_zeros *assumed);

/* These blocks have to read as zeros; or don't, as something else is written to them. -ENOMEM. */
int assumed_add(struct assumed_zeros *assumed, uint64_t lba, uint64_t blocks);
int assumed_remove(struct assumed_zeros *assumed, uint64_t lba, uint64_t blocks);

/* Begins or goes on; once everything else is written, and with nothing else in flight. */
void assumed_pump(struct assumed_zeros *assumed);

/* Nothing is in flight. */
bool assumed_idle(const struct assumed_zeros *assumed);
/* Idle, and all of them read as zeros. */
bool assumed_done(const struct assumed_zeros *assumed);

#endif
