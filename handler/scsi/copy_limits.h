/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LUN_COPY_LIMITS_H
#define THINMIRROR_LUN_COPY_LIMITS_H

/* What VPD 8Fh and RECEIVE COPY OPERATING PARAMETERS state of copies; no more is served. A command
 * must be done long before the kernel target's time limit of 30 s, also where every byte is read
 * and written: after it the initiator has been told that the command failed, and what it writes
 * then must not be overwritten by a copy that still goes on. */

#include "copy_list.h"
#include "copy_record.h"

#define COPY_MAX_CSCDS    16
#define COPY_MAX_SEGMENTS 16
/* As many of both, whichever kind of segments. */
#define COPY_MAX_DESCRIPTOR_BYTES \
    (COPY_MAX_CSCDS * COPY_CSCD_BYTES + COPY_MAX_SEGMENTS * COPY_SEGMENT_MAX_BYTES)
#define COPY_MAX_LIST_BYTES               (COPY_LIST_HEADER_BYTES + COPY_MAX_DESCRIPTOR_BYTES)
#define COPY_MAX_SEGMENT_BYTES            (UINT32_C(16) << 20)
#define COPY_SEGMENT_GRANULARITY_EXPONENT 9 /* blocks of 512 bytes */
#define COPY_MAX_CONCURRENT               COPY_RECORDS

/* After this time a copy begins no further piece, which is of COPY_MAX_SEGMENT_BYTES at most: the
 * one under way has as much time again, and more. */
#define COPY_MAX_MS 10000

#endif
