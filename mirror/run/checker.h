/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_CHECKER_H
#define THINMIRROR_CHECKER_H

/* Runs the checkers of the file systems that were found on the primary (e2fsck -fn, xfs_repair -n
 * and the like) over the same places of the secondary. None of them writes: they are told not to,
 * and get a read-only loop device wherever one can be made. */

#include <stddef.h>

#include "analyse.h"
#include "exit_status.h"

struct session;

enum checker_result {
    CHECKER_CLEAN,
    CHECKER_FAULTY,
    CHECKER_NOT_RUN,
};

struct checker_report {
    const char *what;    /* "partition 1, ext4"; the analysis' */
    const char *checker; /* "e2fsck -fn" */
    enum checker_result result;
    char says[256]; /* its last line, or why it was not run */
};

struct checker_reports {
    struct checker_report items[ANALYSIS_FOUND_MAX];
    size_t count;
};

/* "clean", "faulty" or "not run". */
const char *checker_result_name(enum checker_result result);

/* Checks what session->source.analysis found and has a checker. STATUS_DONE also when some were not
 * run, which is noted; STATUS_DIFFERENT when one has found a fault, STATUS_INTERRUPTED; then with
 * session->error. */
enum exit_status checker_run(struct session *session, struct checker_reports *ret);

#endif
