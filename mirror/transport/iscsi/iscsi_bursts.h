/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ISCSI_BURSTS_H
#define THINMIRROR_ISCSI_BURSTS_H

/* What a session has agreed on about the data of its commands. libiscsi keeps that to itself; but
 * of a login it tells a log function the keys of the target's replies, one at a time. */

#include <stdbool.h>
#include <stdint.h>

struct iscsi_context;
struct iscsi_proof;

struct iscsi_bursts {
    uint32_t
        max_bytes; /* MaxBurstLength (RFC 7143 13.13), the most one R2T asks for; 0: not told */
    uint32_t first_bytes; /* FirstBurstLength (13.14), the most that goes before it; 0: not told */
    /* InitialR2T=No (13.10): a WRITE of up to first_bytes needs no R2T at all. */
    bool unsolicited;
    bool data_digest; /* DataDigest (13.2) other than None, the one that was offered */
    /* MaxRecvDataSegmentLength of the target's (13.12), the most that one PDU to it may carry; 0:
     * not told, or not allowed */
    uint32_t segment_bytes;
    bool forbidden_segment; /* it was told, and is not allowed: libiscsi would go by it */
};

/* What one PDU to the target carries at most, by the standard when that was not told; 0: nothing of
 * the login was heard. */
uint32_t iscsi_bursts_segment(const struct iscsi_bursts *bursts);

/* Forgets what bursts and proof held, and notes there what this thread hears of the context's login
 * until iscsi_bursts_unlisten. What the user wants to see of libiscsi's log (LIBISCSI_DEBUG) still
 * goes to stderr. */
void iscsi_bursts_listen(struct iscsi_bursts *bursts, struct iscsi_proof *proof,
                         struct iscsi_context *context);
void iscsi_bursts_unlisten(struct iscsi_context *context);

/* Notes one line of the log, which may be any text. Values that RFC 7143 does not allow are as
 * good as not told. */
void iscsi_bursts_hear(struct iscsi_bursts *bursts, const char *line);

#endif
