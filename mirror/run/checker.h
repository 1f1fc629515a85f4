/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_CHECKER_H
#define THINMIRROR_CHECKER_H

/* Runs the checkers of the file systems that were found on the primary (e2fsck -fn, xfs_repair -n
 * and the like) over the same places of the secondary. None of them writes: they are told not to,
 * and get a read-only loop device wherever one can be made. */

#include "checker_reports.h"
#include "exit_status.h"

struct session;

/* Checks what session->source.analysis found and has a checker. STATUS_DONE also when some were not
 * run, which is noted; STATUS_DIFFERENT when one has found a fault, STATUS_INTERRUPTED; then with
 * session->error. */
enum exit_status checker_run(struct session *session, struct checker_reports *ret);

#endif
