/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checked.h"
#include "cleanup.h"
#include "commands.h"
#include "estimate.h"
#include "report.h"
#include "safety.h"
#include "session.h"
#include "size.h"
#include "sole_writer.h"
#include "sync.h"
#include "sync_ledger.h"

/* How often the tables of contents are read again at most, when they change all the time. */
#define REREADS_MAX 4

/* Whom the reservation is for: a copy of this pair from this machine, where no other sync to that
 * secondary is running. Another machine may copy the same pair, and even see this one's ledgers. */
static uint64_t reservation_owner(const struct session *session)
{
    char host[HOST_NAME_MAX + 1] = "", text[sizeof(host) + 2 * ENDPOINT_IDENTITY_BYTES];

    gethostname(host, sizeof(host) - 1);
    snprintf(text, sizeof(text), "%s\n%s\n%s", host, session->primary->info.identity,
             session->secondary->info.identity);
    return ENDPOINT_OWNER_MARK | (ledger_hash(text) & UINT32_MAX) << 16;
}

/* Before the secondary is looked at, so that it stays as it is seen. What the user wants to be sure
 * of and cannot be had is a refusal, also by a target whose reservations do not work. */
static enum exit_status reserve(struct session *session)
{
    int r = endpoint_reserve(session->secondary, reservation_owner(session),
                             session->options->resume, &session->error);

    if (r == -EOPNOTSUPP || r == -EIO)
        return STATUS_REFUSED;
    session->reserved = r == 0;
    return r < 0 ? session_status(r) : STATUS_DONE;
}

/* Everything that may speak against writing to the secondary. */
static enum exit_status check(struct session *session, struct ledger_keeper *keeper,
                              struct safety_data *ret_data)
{
    struct endpoint *primary = session->primary, *secondary = session->secondary;
    enum exit_status status;

    *ret_data = (struct safety_data){0};
    if (safety_check_pair(primary, secondary, &session->error) != SAFETY_OK ||
        safety_check_writable(primary, secondary, &session->error) != SAFETY_OK)
        return STATUS_REFUSED;
    if (sole_writer_take(secondary->info.identity, secondary->info.name, &session->sole_writer,
                         &session->error) < 0)
        return STATUS_REFUSED;
    status = sync_ledger_open(session, keeper);
    if (status == STATUS_DONE && session->options->reserve && !session->options->dry_run)
        status = reserve(session);
    return status == STATUS_DONE ? sync_ledger_check_data(session, keeper, ret_data) : status;
}

/* How an interrupted copy goes on; without a ledger it is not known whose data the secondary has.
 */
static const char *way_on(const struct session *session, const struct ledger_keeper *keeper,
                          const char *from_where)
{
    if (keeper->resumable)
        return from_where;
    return session->options->overwrite ? "can be run again" : "can be run again with --overwrite";
}

/* What an interrupted copy ends with: what there is of it, and how it goes on. */
static void tell_interrupted(struct session *session, const struct ledger_keeper *keeper)
{
    if (session->options->dry_run) {
        errmsg_set(&session->error, 0, "interrupted: the dry run is not complete");
        return;
    }
    errmsg_set(&session->error, 0,
               "interrupted: %s holds a part of %s; what was written is flushed, and the same "
               "sync %s",
               session->secondary->info.name, session->primary->info.name,
               way_on(session, keeper, "with --resume goes on from there"));
}

/* The same while a target is away: nothing could be flushed. */
static void tell_gave_up(struct session *session, const struct ledger_keeper *keeper)
{
    struct errmsg why = session->error;

    errmsg_set(&session->error, 0, "interrupted while a LUN was away (%s); the same sync %s",
               why.text, way_on(session, keeper, "with --resume goes on from the last checkpoint"));
}

/* Everything was copied and flushed, but the primary's tables could not be looked at again. */
static void tell_unsure(struct session *session, const struct ledger_keeper *keeper,
                        struct sync_result *ret)
{
    ret->interrupted = true;
    errmsg_set(&session->error, 0,
               "interrupted: whether %s has changed while it was copied to %s is not known; the "
               "same sync %s",
               session->primary->info.name, session->secondary->info.name,
               way_on(session, keeper, "with --resume goes on from there"));
}

static enum exit_status judge_bad(struct session *session, const struct sync_result *result)
{
    if (result->bad_blocks == 0)
        return STATUS_DONE;
    errmsg_set(&session->error, 0,
               "%" PRIu64 " block%s of %s could not be read, first block %" PRIu64
               "; there are zeros in their place on %s",
               result->bad_blocks, result->bad_blocks == 1 ? "" : "s", session->primary->info.name,
               result->first_bad, session->secondary->info.name);
    return STATUS_FAILED;
}

static void __attribute__((format(printf, 2, 3)))
add_words(struct errmsg *err, const char *format, ...)
{
    size_t used = strlen(err->text);
    va_list args;

    va_start(args, format);
    vsnprintf(err->text + used, sizeof(err->text) - used, format, args);
    va_end(args);
}

/* What to do about a copy that failed, behind the sentence that says why. */
static void add_advice(struct session *session, const struct sync_params *params,
                       const struct ledger_keeper *keeper, const struct sync_result *result,
                       int error)
{
    bool resumable = keeper->resumable;

    if (error == -ENOSPC)
        add_words(&session->error, "; make room there and run the sync again%s",
                  resumable ? " with --resume" : "");
    if (error == -EBADE && params->done && !session->options->reserve)
        add_words(&session->error, "; if that is left of a sync --reserve that was killed, "
                                   "--resume --reserve takes it over");
    if (result->unreadable && session->options->skip_bad > 0)
        add_words(&session->error, "; that is one more than --skip-bad=%" PRIu64 " passes over",
                  session->options->skip_bad);
    else if (result->unreadable)
        add_words(&session->error, "; --skip-bad=N passes over up to N such blocks");
    if (resumable &&
        (error == -EIO || error == -ENOTCONN || error == -ECONNRESET || error == -ETIMEDOUT))
        add_words(&session->error,
                  "; with --resume the same sync goes on from the last checkpoint");
}

static enum exit_status copy(struct session *session, const struct sync_params *params,
                             const struct ledger_keeper *keeper, struct sync_result *ret)
{
    int r = sync_run(params, ret, &session->error);

    if (r == -EBADMSG && ret->differences.blocks > 0)
        return STATUS_DIFFERENT;
    if (r == 0)
        session_note_doubt(session, &ret->primary_doubt, &ret->secondary_doubt);
    if (session_gave_up(r)) {
        ret->interrupted = true;
        tell_gave_up(session, keeper);
        return STATUS_INTERRUPTED;
    }
    if (r < 0)
        add_advice(session, params, keeper, ret, r);
    if (r < 0)
        return session_status(r);
    if (!ret->interrupted)
        return judge_bad(session, ret);
    tell_interrupted(session, keeper);
    return STATUS_INTERRUPTED;
}

static void add_result(struct sync_result *sum, const struct sync_result *more)
{
    sum->read_bytes += more->read_bytes;
    sum->gap_bytes += more->gap_bytes;
    sum->written_bytes += more->written_bytes;
    sum->unmapped_bytes += more->unmapped_bytes;
    sum->zeroed_bytes += more->zeroed_bytes;
    sum->detected_bytes += more->detected_bytes;
    sum->to_copy_bytes += more->to_copy_bytes;
    sum->rollbacks += more->rollbacks;
    sum->read_back_bytes += more->read_back_bytes;
    sum->differences = more->differences;
    if (more->bad_blocks > 0)
        sum->first_bad =
            sum->bad_blocks > 0 ? min_u64(sum->first_bad, more->first_bad) : more->first_bad;
    sum->bad_blocks += more->bad_blocks;
    sum->seconds += more->seconds;
    sum->interrupted = more->interrupted;
    sum->complete = sum->complete && more->complete;
    sum->settled = more->settled;
}

static void note_in_use(struct session *session, uint64_t added_blocks)
{
    char text[SIZE_TEXT_BYTES];

    message_note(&session->notes,
                 "%s was in use: %s more became allocated while it was copied and are copied too, "
                 "with its tables of contents; only a snapshot is exact",
                 session->primary->info.name,
                 size_text(added_blocks * session->primary->info.block_size, text, sizeof(text)));
}

/* What the primary's tables have come to call allocated meanwhile is copied too, and after it the
 * tables themselves, until they stay as they are: a block that is used on the secondary must not be
 * free by its tables. */
static enum exit_status copy_changed(struct session *session, const struct sync_params *params,
                                     const struct ledger_keeper *keeper, struct sync_result *ret)
{
    for (unsigned round = 0; round < REREADS_MAX; round++) {
        CLEANUP(block_set_free) struct block_set changed = {0};
        struct sync_params again = *params;
        struct sync_result more = {0};
        uint64_t added_blocks = 0;
        bool is_changed;
        enum exit_status status = source_map_reread(session, &changed, &added_blocks, &is_changed);

        if (status == STATUS_INTERRUPTED)
            tell_unsure(session, keeper, ret);
        if (status != STATUS_DONE || !is_changed)
            return status;
        note_in_use(session, added_blocks);
        again.allocated = &changed;
        again.keep_free = true;
        /* These blocks were done with before. */
        again.done = NULL;
        again.checkpoint = NULL;
        status = copy(session, &again, keeper, &more);
        add_result(ret, &more);
        ret->mapped_bytes += added_blocks * session->primary->info.block_size;
        if (status != STATUS_DONE)
            return status;
    }
    message_note(&session->notes,
                 "%s is still changing: its copy may be of no use; copy a snapshot of it",
                 session->primary->info.name);
    return STATUS_DONE;
}

/* The engine's part of it: what the ledger knows of an earlier run, and where it is kept. */
static void use_ledger(const struct session *session, struct ledger_keeper *keeper,
                       struct sync_params *params)
{
    if (keeper->resumed)
        params->done = &keeper->ledger.done;
    if (!keeper->keep || params->dry_run)
        return;
    params->checkpoint = ledger_keeper_checkpoint;
    params->checkpoint_opaque = keeper;
    params->checkpoint_seconds = (double)session->options->checkpoint_ms / 1000;
}

/* What would be copied, and how long that would take. */
static enum exit_status estimate(struct session *session, const struct sync_params *params,
                                 const struct ledger_keeper *keeper, struct report *report)
{
    struct sample sample = {.block_size = params->primary->info.block_size};
    struct sync_params planned = *params;
    enum exit_status status;

    planned.sample = &sample;
    status = copy(session, &planned, keeper, &report->sync);
    if (status != STATUS_DONE)
        return status;
    return estimate_make(session, params->primary, &sample, report->sync.to_copy_bytes,
                         &report->estimate);
}

/* The copy is complete by then, whatever comes of this. */
static enum exit_status compare(struct session *session, const struct sync_params *params,
                                struct report *report)
{
    enum exit_status status = session_verify(session, params->keep_free, &report->verify);

    report->compared = true;
    if (status == STATUS_INTERRUPTED)
        errmsg_set(&session->error, 0,
                   "interrupted: %s is copied and flushed, but not compared with %s to the end; "
                   "thinmirror verify does that",
                   session->secondary->info.name, session->primary->info.name);
    return status;
}

static enum exit_status run(struct session *session, struct ledger_keeper *keeper,
                            struct report *report)
{
    struct safety_data data;
    struct sync_params params = {.secondary = session->secondary,
                                 .dry_run = session->options->dry_run,
                                 .read_back = session->options->verify_inline,
                                 .control = session_control(session)};
    CLEANUP(block_set_free) struct block_set assumed = {0};
    enum exit_status status = check(session, keeper, &data);

    if (status == STATUS_DONE)
        status = source_map_choose(session);
    if (status != STATUS_DONE)
        return status;
    params.primary = source_map_primary(session);
    params.secondary_is_zero = data.is_zero;
    block_set_init(&assumed, params.primary->info.blocks);
    params.assumed = &assumed;
    params.copy_all = !session->source.ask;
    params.allocated = source_map_allocated(&session->source);
    params.need_map = session->source.ask && session->source.chosen;
    params.keep_free = session->options->keep_free;
    report->source_map = session->source.name;
    session_note_tail(session, "are left as they are");
    status = sync_ledger_check_resume(session, keeper, &params);
    if (status == STATUS_DONE && !params.dry_run)
        status = sync_ledger_begin(session, keeper);
    if (status != STATUS_DONE)
        return status;
    use_ledger(session, keeper, &params);
    report->synced = true;
    if (params.dry_run)
        return estimate(session, &params, keeper, report);
    status = copy(session, &params, keeper, &report->sync);
    if (status == STATUS_DONE && session->source.analysed)
        status = copy_changed(session, &params, keeper, &report->sync);
    status = sync_ledger_end(session, keeper, status, &report->sync);
    if (!session->options->verify)
        return status;
    if (status == STATUS_DONE)
        return compare(session, &params, report);
    if (report->sync.complete && report->sync.bad_blocks > 0)
        message_note(&session->notes, "the sides are not compared, as %s cannot be read",
                     session->primary->info.name);
    return status;
}

enum exit_status command_sync(const struct options *options)
{
    struct session session;
    struct ledger_keeper keeper = {0};
    struct report report = {.options = options, .dry_run = options->dry_run};

    report.status = session_open(&session, options, true);
    if (report.status == STATUS_DONE)
        report.status = run(&session, &keeper, &report);
    if (report.status != STATUS_DONE)
        message_error(&session.notes, session.error.text);
    progress_clear(&session.progress);
    if (report.status == STATUS_DIFFERENT && !report.compared) {
        report.compared = true;
        report.verify.compared_bytes = report.sync.read_back_bytes;
        report.verify.differences = report.sync.differences;
    }
    if (report.status == STATUS_DIFFERENT)
        report_differences(&report);
    session_fill_report(&session, &report);
    report_sync(&report);
    ledger_keeper_free(&keeper);
    session_close(&session);
    return report.status;
}
