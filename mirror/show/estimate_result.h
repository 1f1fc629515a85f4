/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ESTIMATE_RESULT_H
#define THINMIRROR_ESTIMATE_RESULT_H

/* What the estimate of a dry run says, for the report; run/estimate.h makes it. */

#include <stdint.h>

#include "sample.h"

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

#endif
