/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SCSI_QUESTION_H
#define THINMIRROR_SCSI_QUESTION_H

/* Commands that find out about a logical unit. Those that do not depend on each other's answers are
 * on their way at the same time, so that they take one round trip together. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi_outcome.h"
#include "transport.h"

#define SCSI_QUESTION_BYTES 1024

enum scsi_question_state { QUESTION_SENT, QUESTION_ANSWERED, QUESTION_WAITING, QUESTION_SETTLED };

struct scsi_question {
    /* cdb and cdb_length are the caller's; a question without a CDB is not asked, and its outcome
     * is that of a command that the target does not know. */
    struct transport_request request;
    void *reply;        /* where the answer goes: own, or the caller's */
    size_t reply_bytes; /* 0: no data are expected */
    uint8_t own[SCSI_QUESTION_BYTES];

    struct outcome outcome; /* of the last time it was sent */
    bool changed;           /* it met a unit attention or a new connection then, and no answer */

    /* scsi_ask's */
    struct iovec iov;
    enum scsi_question_state state;
    uint64_t again_at_ms; /* while waiting */
    unsigned changes;     /* met so far */
};

/* A question with room for reply_bytes (SCSI_QUESTION_BYTES at most) of its own; the CDB, of
 * cdb_length bytes, is in request.cdb. */
void scsi_question_set(struct scsi_question *question, size_t cdb_length, size_t reply_bytes);

/* Sends them in this order, and waits until each has its outcome; while the target is busy a
 * question is sent again, for busy_ms at most, and after unit attentions and on a new connection,
 * a limited number of times. No other request may be in flight. */
void scsi_ask(struct transport *transport, struct scsi_question questions[], size_t count,
              unsigned busy_ms, unsigned changes);

#endif
