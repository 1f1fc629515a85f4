/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SESSION_H
#define THINMIRROR_SESSION_H

/* What the commands share: the endpoints, what is said, and how a run ends. */

#include "auth.h"
#include "control.h"
#include "endpoint.h"
#include "exit_status.h"
#include "messages.h"
#include "options.h"
#include "progress.h"
#include "report.h"
#include "source_map.h"

struct session {
    const struct options *options;
    int64_t started; /* seconds since 1970 */
    struct auth_table *auth;
    struct endpoint *primary;
    struct endpoint *secondary;
    int sole_writer;          /* see sole_writer.h; -1: none */
    bool reserved;            /* the secondary is, by --reserve */
    struct source_map source; /* of the primary */
    struct progress progress;
    uint64_t rate_bytes; /* as --rate=@FILE says now */
    double rate_read;    /* when that was looked at, in seconds of copy_now */
    unsigned rate_lost;  /* so often in a row it could not be read */
    struct notes notes;
    struct errmsg doubt; /* map: what was not told soundly; empty: nothing */
    struct errmsg error; /* why it did not end with STATUS_DONE */
};

/* Opens the endpoints that were named, the secondary writable when asked. STATUS_DONE, or what the
 * program has to end with; session->error says why.
 *
 * SIGINT, SIGTERM and SIGHUP (unless it is ignored) end the program while this is done, with
 * STATUS_INTERRUPTED; from then on they only ask for an end, and another SIGINT or SIGTERM that is
 * no echo of the first kills. SIGUSR1 asks for a line about how far it is. */
enum exit_status session_open(struct session *session, const struct options *options,
                              bool secondary_writable);
void session_close(struct session *session);

/* Gives the report what the session knows: sides, notes and error, which stay the session's. */
void session_fill_report(const struct session *session, struct report *report);

/* Watched by SIGINT and SIGTERM, shown by session->progress. */
struct copy_control session_control(struct session *session);

struct verify_result;

/* Compares the sides by session->source. only_used: what the primary's tables of contents call free
 * is not looked at. STATUS_DONE: they are equal. */
enum exit_status session_verify(struct session *session, bool only_used,
                                struct verify_result *ret_result);

/* Notes what a side's map did not tell soundly; an empty sentence: nothing. */
void session_note_doubt(struct session *session, const struct errmsg *primary,
                        const struct errmsg *secondary);

/* Notes that the secondary is larger, and what becomes of its end: "left as it is", ... */
void session_note_tail(struct session *session, const char *what);

/* An error that came of a target that is away, and a signal that told not to wait for it. */
bool session_gave_up(int error);
/* What the program ends with after an error of a LUN: that another initiator has reserved it
 * (-EBADE), or that it is write-protected (-EROFS), which MODE SENSE need not have told, is a
 * refusal; the others are failures, unless a signal has ended the wait. */
enum exit_status session_status(int error);

#endif
