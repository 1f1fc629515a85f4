/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "ledger_file.h"
#include "report.h"
#include "safety.h"
#include "session.h"
#include "size.h"
#include "sole_writer.h"
#include "sync.h"

/* The ledger of this secondary. */
struct book {
    bool keep;  /* it can be kept at all */
    bool found; /* ledger is what was there before */
    char path[PATH_MAX];
    struct ledger ledger;
};

/* Reads what is known about the secondary. A file named by the user that is no ledger is not ours
 * to replace; one in our own folder only loses its say. */
static enum exit_status open_book(struct session *session, struct book *book)
{
    const char *chosen = session->options->ledger;
    const char *identity = session->secondary->info.identity;
    struct errmsg error;
    int r;

    if (identity[0] == '\0' || session->primary->info.identity[0] == '\0') {
        message_note(&session->notes,
                     "%s does not say who it is, so no ledger is kept of this copy",
                     identity[0] ? session->primary->info.name : session->secondary->info.name);
        return STATUS_DONE;
    }
    if (chosen && snprintf(book->path, PATH_MAX, "%s", chosen) >= PATH_MAX) {
        errmsg_set(&session->error, 0, "the path of the ledger is too long");
        return STATUS_USAGE;
    }
    if (!chosen && ledger_default_path(identity, book->path, &error) < 0) {
        message_note(&session->notes, "%s", error.text);
        return STATUS_DONE;
    }
    book->keep = true;
    r = ledger_file_read(book->path, &book->ledger, &error);
    book->found = r == 0;
    if (book->found && chosen && strcmp(book->ledger.secondary.identity, identity) != 0) {
        errmsg_set(&session->error, 0,
                   "%s is the ledger of another secondary, %s: name another file", chosen,
                   book->ledger.secondary.name);
        return STATUS_REFUSED;
    }
    if (r == 0 || r == -ENOENT)
        return STATUS_DONE;
    if (chosen) {
        session->error = error;
        return r == -EINVAL ? STATUS_REFUSED : STATUS_FAILED;
    }
    message_note(&session->notes, "%s; it does not count", error.text);
    return STATUS_DONE;
}

/* A ledger that can't be written stops the sync only where the user named the file: without one a
 * later sync has to be told --overwrite, nothing worse. */
static enum exit_status write_book(struct session *session, struct book *book,
                                   enum ledger_state state, const char *source_map)
{
    struct errmsg error;

    if (!book->keep)
        return STATUS_DONE;
    if (state == LEDGER_COPYING) {
        book->ledger = (struct ledger){.started = (int64_t)time(NULL)};
        safety_ledger_side(session->primary, &book->ledger.primary);
        safety_ledger_side(session->secondary, &book->ledger.secondary);
        snprintf(book->ledger.source_map, sizeof(book->ledger.source_map), "%s", source_map);
    } else {
        book->ledger.completed = (int64_t)time(NULL);
    }
    book->ledger.state = state;
    if (ledger_file_write(book->path, &book->ledger, !session->options->ledger, &error) == 0)
        return STATUS_DONE;
    if (session->options->ledger) {
        session->error = error;
        return STATUS_FAILED;
    }
    message_note(&session->notes, "%s", error.text);
    book->keep = false;
    return STATUS_DONE;
}

/* Everything that may speak against writing to the secondary. */
static enum exit_status check(struct session *session, struct book *book,
                              struct safety_data *ret_data)
{
    struct endpoint *primary = session->primary, *secondary = session->secondary;
    struct copy_control control = session_control(session);
    enum exit_status status;
    int r;

    *ret_data = (struct safety_data){0};
    if (safety_check_writable(primary, secondary, &session->error) != SAFETY_OK ||
        safety_check_pair(primary, secondary, &session->error) != SAFETY_OK)
        return STATUS_REFUSED;
    if (sole_writer_take(secondary->info.identity, secondary->info.name, &session->sole_writer,
                         &session->error) < 0)
        return STATUS_REFUSED;
    status = open_book(session, book);
    if (status != STATUS_DONE || session->options->overwrite)
        return status;
    if (!secondary->info.can_map)
        message_note(&session->notes,
                     "%s does not tell which of its blocks are in use, so it is read to see "
                     "whether it holds data; --overwrite saves that",
                     secondary->info.name);
    control.rate_bytes = 0;
    r = safety_check_data(primary, secondary, book->found ? &book->ledger : NULL, &control,
                          ret_data, &session->error);
    if (r < 0)
        return r == -EINTR ? STATUS_INTERRUPTED : STATUS_FAILED;
    return ret_data->verdict == SAFETY_OK ? STATUS_DONE : STATUS_REFUSED;
}

static void note_tail(struct session *session)
{
    const struct endpoint_info *from = &session->primary->info, *to = &session->secondary->info;
    char text[SIZE_TEXT_BYTES];

    if (to->blocks > from->blocks)
        message_note(&session->notes, "%s is larger than %s; its last %s are left as they are",
                     to->name, from->name,
                     size_text((to->blocks - from->blocks) * to->block_size, text, sizeof(text)));
}

static enum exit_status copy(struct session *session, const struct sync_params *params,
                             struct sync_result *ret)
{
    int r = sync_run(params, ret, &session->error);

    if (r == -ENOSPC) {
        size_t used = strlen(session->error.text);

        snprintf(session->error.text + used, sizeof(session->error.text) - used,
                 "; make room there and run the sync again");
    }
    if (ret->map_gave_up && r == 0)
        message_note(&session->notes, "%s; the blocks after that were copied as if mapped",
                     ret->note.text);
    if (r < 0)
        return STATUS_FAILED;
    if (!ret->interrupted)
        return STATUS_DONE;
    errmsg_set(&session->error, 0,
               "interrupted: %s holds a part of %s; what was written is flushed, and the same "
               "sync can be run again",
               session->secondary->info.name, session->primary->info.name);
    return STATUS_INTERRUPTED;
}

static enum exit_status run(struct session *session, struct report *report)
{
    struct book book = {0};
    struct safety_data data;
    struct sync_params params = {.primary = session->primary,
                                 .secondary = session->secondary,
                                 .need_map = session->options->source == SOURCE_LBA_STATUS,
                                 .dry_run = session->options->dry_run,
                                 .control = session_control(session)};
    enum exit_status status = check(session, &book, &data);

    if (status == STATUS_DONE)
        status = session_choose_source(session, &params.copy_all);
    if (status != STATUS_DONE)
        return status;
    params.secondary_is_zero = data.is_zero;
    report->source_map = session_source_name(params.copy_all);
    note_tail(session);
    if (!params.dry_run)
        status = write_book(session, &book, LEDGER_COPYING, report->source_map);
    if (status != STATUS_DONE)
        return status;
    report->synced = true;
    status = copy(session, &params, &report->sync);
    if (status == STATUS_DONE && !params.dry_run)
        status = write_book(session, &book, LEDGER_COMPLETE, report->source_map);
    if (status != STATUS_DONE || !session->options->verify)
        return status;
    report->compared = true;
    return session_verify(session, params.copy_all, &report->verify);
}

enum exit_status command_sync(const struct options *options)
{
    struct session session;
    struct report report = {.session = &session, .dry_run = options->dry_run};

    report.status = session_open(&session, options, true);
    session_catch_signals();
    if (report.status == STATUS_DONE)
        report.status = run(&session, &report);
    if (report.status != STATUS_DONE)
        message_error(&session.notes, session.error.text);
    progress_clear(&session.progress);
    if (report.status == STATUS_DIFFERENT)
        report_differences(&report);
    report_sync(&report);
    session_close(&session);
    return report.status;
}
