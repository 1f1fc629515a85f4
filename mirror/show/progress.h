/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_PROGRESS_H
#define THINMIRROR_PROGRESS_H

/* Shows on stderr how far a run has come. The bar is one line that is drawn over in place, as wide
 * as the terminal is at that moment; JSON is one object a line, once a second. What is shown here
 * and said here never mixes, whatever threads it comes from. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "control.h"
#include "options.h"

struct progress {
    enum progress_mode mode; /* never PROGRESS_AUTO */
    bool drawn;              /* there is a bar to wipe off */
    enum copy_phase phase;
    double share; /* shown last in this phase; never goes back */
    /* For a rate that forgets: bytes per second, and where it was last looked at. */
    double rate;
    double rate_seconds;
    uint64_t rate_bytes;
    double printed_seconds; /* JSON */
    bool printed_end;
    atomic_bool *line_wanted; /* set: print one line, whatever the mode; may be NULL */
};

void progress_init(struct progress *progress, enum progress_mode wanted);

/* For struct copy_control; opaque is the struct progress. */
void progress_show(void *opaque, const struct copy_status *status);

/* Wipes the bar off, so that the next message has the line to itself. */
void progress_clear(struct progress *progress);

/* "thinmirror: KIND" and a sentence on a line of their own; progress may be NULL. Names in the
 * sentence may hold anything: no control character gets to the terminal. */
void progress_say(struct progress *progress, const char *kind, const char *sentence);

/* What all that is mapped will come to: what was found so far, and as much again per byte for the
 * part of the LUN that no map has told about yet. */
uint64_t progress_expected_bytes(const struct copy_status *status);

/* How wide the terminal at the descriptor is; 80 when it is none. */
size_t terminal_columns(int fd);

#define PROGRESS_TIME_BYTES 32

/* Six characters at most: "0:07", "59:59", "12h34m", "3d04h"; "-:--" for what is not known,
 * below 0. */
void progress_time(double seconds, char to[static PROGRESS_TIME_BYTES]);

#define PROGRESS_LINE_BYTES 512

/* The bar's line for a terminal of this many columns, one column short of it at most. seconds_left
 * below 0: not known. */
void progress_line(const struct copy_status *status, double share, double rate, double seconds_left,
                   size_t columns, char to[static PROGRESS_LINE_BYTES]);

#endif
