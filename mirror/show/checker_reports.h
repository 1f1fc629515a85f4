/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_CHECKER_REPORTS_H
#define THINMIRROR_CHECKER_REPORTS_H

/* What the file systems' own checkers said, for the report; run/checker.h runs them. */

#include <stddef.h>

#define CHECKER_REPORTS_MAX 64 /* what is found on a LUN at most: ANALYSIS_FOUND_MAX */

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
    struct checker_report items[CHECKER_REPORTS_MAX];
    size_t count;
};

#endif
