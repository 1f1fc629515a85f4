/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_CONTROL_H
#define THINMIRROR_CONTROL_H

/* How a long run is limited, watched and stopped. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum copy_phase {
    PHASE_TABLES, /* reading the primary's tables of contents; how much there is is not known */
    PHASE_LOOK,   /* reading a secondary that cannot tell whether it holds data */
    PHASE_PLAN,   /* asking what would be copied (a dry run) */
    PHASE_SYNC,   /* copying and emptying */
    PHASE_VERIFY, /* comparing */
};

/* Where a run is. Bytes of the LUN unless said otherwise. */
struct copy_status {
    enum copy_phase phase;
    uint64_t lun_bytes;
    uint64_t scanned_bytes; /* what the maps have told about so far, from LBA 0 on */
    uint64_t mapped_bytes;  /* of those, what is mapped on the primary */
    uint64_t todo_bytes;    /* of those, what has to be read (copied, compared) */
    uint64_t done_bytes;    /* of those, what is read, and written where that is the task */
    double seconds;         /* since the phase began */
};

/* All optional: zero-initialised means default depth, no limit, no observer. */
struct copy_control {
    unsigned queue_depth;     /* requests in flight on each side; 0: as many as are of use */
    uint64_t rate_bytes;      /* bytes read from the primary per second at most; 0: no limit */
    const uint64_t *rate_now; /* not NULL: the rate instead, which progress() may change */
    uint64_t skip_bad;  /* how many blocks of the primary that cannot be read are passed over */
    bool detect_zeroes; /* what reads as zeros is emptied instead of written */
    const atomic_bool *stop; /* set: begin nothing new, finish what is in flight */
    void (*progress)(void *opaque, const struct copy_status *status); /* about ten times a second */
    void *opaque;
};

/* Without a queue_depth, at most; and how many of them may be as large as requests get. */
#define COPY_QUEUE_DEPTH     128
#define COPY_FULL_PIECES     32
#define COPY_QUEUE_DEPTH_MAX 1024

/* Seconds on a clock that only goes forward. */
double copy_now(void);

static inline int copy_stopped(const struct copy_control *control)
{
    return control->stop && *control->stop;
}

static inline uint64_t copy_rate(const struct copy_control *control)
{
    return control->rate_now ? *control->rate_now : control->rate_bytes;
}

/* Calls progress when it is due: a tenth of a second after *last, or at once when force. */
void copy_report(const struct copy_control *control, const struct copy_status *status, int force,
                 double *last);

#endif
