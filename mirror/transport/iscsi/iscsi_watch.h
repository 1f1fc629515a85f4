/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ISCSI_WATCH_H
#define THINMIRROR_ISCSI_WATCH_H

/* A way out of libiscsi. It cuts what an R2T asks for into PDUs whatever length that has, and takes
 * longer with each: of an R2T for 4 GiB it does not come back, and nothing can be done about the
 * session from without. So a thread of its own looks how much of the processor's time a call has
 * taken (not how long it has lasted: the machine may be slow), and after WATCH_SECONDS of it says
 * so and ends the process with WATCH_STATUS: what was flushed is in the ledger. */

#define WATCH_SECONDS 5
#define WATCH_STATUS  1 /* as after any other error of a target */

/* Around a call of libiscsi's, of any number of threads at a time. shown stays the caller's until
 * watch_end. */
struct iscsi_watched;
void watch_begin(struct iscsi_watched *watched, const char *shown);
void watch_end(struct iscsi_watched *watched);

#include <time.h>

struct iscsi_watched {
    struct iscsi_watched *next;
    const char *shown;
    clockid_t clock; /* the thread's */
    double began;    /* on it, in seconds */
};

#endif
