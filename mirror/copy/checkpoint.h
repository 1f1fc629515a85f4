/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_CHECKPOINT_H
#define THINMIRROR_CHECKPOINT_H

/* Keeps count of what a sync has done, and from time to time makes it safe: what is done by then is
 * flushed, and only after that handed to the ledger (sync_params.checkpoint). So what is
 * remembered is on the secondary's medium, whenever the power goes. */

#include <stdbool.h>

#include "range_set.h"
#include "sync.h"

struct checkpoint {
    const struct sync_params *params;
    struct range_set done;     /* finished, flushed or not */
    struct range_set flushing; /* as done was when the flush in flight was sent */
    struct range_set flushed;  /* as done was when the last flush that went well was sent */
    struct endpoint_request request;
    bool busy;    /* the flush is in flight */
    double began; /* when the flush was sent */
    double due;   /* when the next one may be */
    int error;    /* the first */
    struct errmsg message;
};

/* checkpoint stays at its address until checkpoint_free. -ENOMEM. */
int checkpoint_init(struct checkpoint *checkpoint, const struct sync_params *params);
/* Not while busy. */
void checkpoint_free(struct checkpoint *checkpoint);

/* These blocks read on the secondary as on the primary now. */
void checkpoint_add(struct checkpoint *checkpoint, uint64_t lba, uint64_t blocks);

/* Begins a flush when one is due. */
void checkpoint_pump(struct checkpoint *checkpoint);

/* With nothing in flight: begins a flush of everything that is done, whether one is due or not.
 * When it is not busy any more that was flushed and handed over, unless error says otherwise. */
void checkpoint_finish(struct checkpoint *checkpoint);

#endif
