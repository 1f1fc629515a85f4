/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ESTIMATE_H
#define THINMIRROR_ESTIMATE_H

/* How long a sync will take that is not made yet. */

#include <stdint.h>

#include "exit_status.h"
#include "sample.h"
#include "session.h"

/* What the estimate rests on. */
enum estimate_basis {
    ESTIMATE_NONE,   /* there is none: the sample cannot be read, or there is nothing to copy */
    ESTIMATE_SAMPLE, /* how fast a sample was read from both sides */
    ESTIMATE_RATE,   /* the rate that it is limited to */
};

struct estimate {
    enum estimate_basis basis;
    double seconds; /* for copying; emptying takes time besides */
    uint64_t bytes_per_second;
    /* With ESTIMATE_SAMPLE: */
    struct sample_result sample; /* of the slower side */
    uint64_t primary_rate;       /* bytes per second */
    uint64_t secondary_rate;     /* 0: it could not be read */
};

/* of sample: what is to be copied, to_copy_bytes in all. A sample that cannot be read is noted.
 * STATUS_INTERRUPTED when a signal came, else STATUS_DONE. */
enum exit_status estimate_make(struct session *session, struct endpoint *primary,
                               const struct sample *sample, uint64_t to_copy_bytes,
                               struct estimate *ret);

#endif
