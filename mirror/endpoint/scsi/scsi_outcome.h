/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SCSI_OUTCOME_H
#define THINMIRROR_SCSI_OUTCOME_H

/* What the end of a command means for its sender. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sense.h"
#include "transport.h"

enum verdict {
    VERDICT_GOOD,
    VERDICT_BUSY,      /* may well work a little later: send it again */
    VERDICT_ATTENTION, /* unit attention: something has changed, the command was not carried out */
    VERDICT_UNSUPPORTED, /* the target does not know this command or field (5/20/00, 5/24/00) */
    VERDICT_FAILED,
};

struct outcome {
    enum verdict verdict;
    int error; /* as in endpoint_request.result; 0 when GOOD */
    bool has_sense;
    struct sense sense;
};

struct outcome scsi_outcome(const struct transport_request *request);

/* "READ(16) of 8 blocks at LBA 4096 failed: key 3/11/00 (unrecovered read error)" or "the
 * connection to the target is lost", in buffer, which is returned. */
const char *scsi_outcome_describe(const struct outcome *outcome,
                                  const struct transport_request *request, char *buffer,
                                  size_t size);

#endif
