/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_REPORT_H
#define THINMIRROR_REPORT_H

/* What is printed on stdout at the end: a short table, or one JSON object. */

#include <stdbool.h>
#include <stdint.h>

#include "checker_reports.h"
#include "endpoint.h"
#include "estimate_result.h"
#include "exit_status.h"
#include "messages.h"
#include "options.h"
#include "sync.h"
#include "verify.h"

struct report {
    const struct options *options;
    const struct endpoint *primary, *secondary; /* NULL: not opened */
    const struct notes *notes;
    const struct errmsg *error; /* why it did not end with STATUS_DONE */
    int64_t started;            /* seconds since 1970 */
    bool reserved;              /* the secondary was, by --reserve */
    enum exit_status status;
    const char *source_map; /* NULL: it did not get so far */
    bool shown;             /* a map was, or a part of it */
    bool dry_run;
    bool synced; /* sync is filled */
    struct sync_result sync;
    struct estimate estimate; /* with dry_run and synced */
    bool compared;            /* verify is filled: a comparison was begun */
    bool only_used; /* what is not used on the primary was not looked at on the secondary */
    struct verify_result verify;
    bool checked; /* checks is filled */
    struct checker_reports checks;
};

/* The result of a sync, dry run, or verify: one JSON object with --json, a table otherwise. Prints
 * to stdout; a failure to print is found when stdout is closed. */
void report_sync(const struct report *report);
void report_verify(const struct report *report);

/* The first ranges that differ, on stderr. */
void report_differences(const struct report *report);

/* What probe found out about the opened sides, likewise. */
void report_probe(const struct report *report);

#endif
