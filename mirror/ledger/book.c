/* SPDX-License-Identifier: Apache-2.0 */
#include "book.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ledger_file.h"
#include "safety.h"

static enum exit_status refuse(struct session *session, const char *why)
{
    errmsg_set(&session->error, 0, "--resume: %s; without --resume the copy begins anew", why);
    return STATUS_REFUSED;
}

/* What makes the copy that was interrupted another one than this; NULL: nothing. */
static const char *difference(const struct ledger_side *known, const struct endpoint *endpoint,
                              char *to, size_t size)
{
    struct ledger_side now;

    safety_ledger_side(endpoint, &now);
    if (strcmp(known->identity, now.identity) != 0)
        snprintf(to, size, "the interrupted copy was one of %.100s, which is not %.100s",
                 known->name, now.name);
    else if (known->blocks != now.blocks || known->block_size != now.block_size)
        snprintf(to, size,
                 "%.100s has changed since the copy was interrupted, from %llu blocks of %u bytes "
                 "to %llu of %u",
                 now.name, (unsigned long long)known->blocks, known->block_size,
                 (unsigned long long)now.blocks, now.block_size);
    else
        return NULL;
    return to;
}

static enum exit_status check_resume(struct book *book)
{
    struct session *session = book->session;
    char text[512];

    if (!book->keep || !book->found) {
        message_note(&session->notes, "no interrupted copy to %s is known, so it begins anew",
                     session->secondary->info.name);
        return STATUS_DONE;
    }
    if (difference(&book->ledger.primary, session->primary, text, sizeof(text)) ||
        difference(&book->ledger.secondary, session->secondary, text, sizeof(text)))
        return refuse(session, text);
    book->resumed = book->ledger.state == LEDGER_COPYING;
    if (!book->resumed)
        message_note(&session->notes, "the last copy to %s was complete, so a new one begins",
                     session->secondary->info.name);
    return STATUS_DONE;
}

/* A file named by the user that is no ledger is not ours to replace; one in our own folder only
 * loses its say. */
static enum exit_status read_ledger(struct book *book, const char *chosen)
{
    struct session *session = book->session;
    struct errmsg error;
    int r = ledger_file_read(book->path, &book->ledger, &error);

    book->found = r == 0;
    if (book->found && chosen &&
        strcmp(book->ledger.secondary.identity, session->secondary->info.identity) != 0) {
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

enum exit_status book_open(struct book *book, struct session *session)
{
    const char *chosen = session->options->ledger;
    const char *identity = session->secondary->info.identity;
    struct errmsg error;
    enum exit_status status = STATUS_DONE;

    book->session = session;
    if (identity[0] == '\0' || session->primary->info.identity[0] == '\0') {
        message_note(&session->notes,
                     "%s does not say who it is, so no ledger is kept of this copy",
                     identity[0] ? session->primary->info.name : session->secondary->info.name);
    } else if (chosen && snprintf(book->path, PATH_MAX, "%s", chosen) >= PATH_MAX) {
        errmsg_set(&session->error, 0, "the path of the ledger is too long");
        return STATUS_USAGE;
    } else if (!chosen && ledger_default_path(identity, book->path, &error) < 0) {
        message_note(&session->notes, "%s", error.text);
    } else {
        book->keep = true;
        status = read_ledger(book, chosen);
    }
    if (status == STATUS_DONE && session->options->resume)
        status = check_resume(book);
    return status;
}

static enum exit_status write_ledger(struct book *book, struct errmsg *err)
{
    struct session *session = book->session;
    struct errmsg error;

    if (!book->keep)
        return STATUS_DONE;
    if (ledger_file_write(book->path, &book->ledger, !session->options->ledger, &error) == 0)
        return STATUS_DONE;
    if (session->options->ledger) {
        *err = error;
        return STATUS_FAILED;
    }
    message_note(&session->notes, "%s", error.text);
    book->keep = false;
    return STATUS_DONE;
}

/* Of the tables of contents, as the ledger holds it. */
static void digest_text(const struct source_map *source, char ret[static LEDGER_TABLES_BYTES])
{
    ret[0] = '\0';
    if (source->analysed)
        snprintf(ret, LEDGER_TABLES_BYTES, "%016" PRIx64, source->analysis.digest);
}

/* In the user's words: what source_map_choose has put together. */
static void describe_source(const char *book_name, char *to, size_t size)
{
    const char *options = strchrnul(book_name, '+');

    snprintf(to, size, "the source map %.*s%s%s%s", (int)(options - book_name), book_name,
             strchr(options, 'g') ? " and --skip-gaps" : "",
             strchr(options, 'l') ? " and --vtoc-lstar" : "",
             strchr(options, 'f')   ? " and --keep-free"
             : strchr(options, 'k') ? " and the --keep-free of an older version"
                                    : "");
}

enum exit_status book_check_source(struct book *book, const struct source_map *source)
{
    char text[256], then[96], now[96], tables[LEDGER_TABLES_BYTES];

    if (!book->resumed)
        return STATUS_DONE;
    if (strcmp(book->ledger.source_map, source->book_name) != 0) {
        describe_source(book->ledger.source_map, then, sizeof(then));
        describe_source(source->book_name, now, sizeof(now));
        snprintf(text, sizeof(text),
                 "the interrupted copy was begun with %s, this one would use %s", then, now);
        return refuse(book->session, text);
    }
    digest_text(source, tables);
    book->resumed = strcmp(book->ledger.tables, tables) == 0;
    if (!book->resumed)
        message_note(&book->session->notes,
                     "the tables of contents of %s have changed since the copy was interrupted, so "
                     "it begins anew",
                     book->session->primary->info.name);
    return STATUS_DONE;
}

enum exit_status book_begin(struct book *book, const struct source_map *source)
{
    struct session *session = book->session;
    enum exit_status status = book_check_source(book, source);

    if (status != STATUS_DONE)
        return status;
    if (!book->resumed) {
        ledger_free(&book->ledger);
        book->ledger = (struct ledger){.started = (int64_t)time(NULL)};
    }
    book->ledger.state = LEDGER_COPYING;
    safety_ledger_side(session->primary, &book->ledger.primary);
    safety_ledger_side(session->secondary, &book->ledger.secondary);
    snprintf(book->ledger.source_map, sizeof(book->ledger.source_map), "%s", source->book_name);
    digest_text(source, book->ledger.tables);
    return write_ledger(book, &session->error);
}

int book_checkpoint(void *opaque, const struct range_set *done, struct errmsg *err)
{
    struct book *book = opaque;
    struct ledger shown = book->ledger; /* the set is the caller's */

    if (!book->keep)
        return 0;
    shown.done = *done;
    if (ledger_file_write(book->path, &shown, false, err) == 0)
        return 0;
    if (book->session->options->ledger)
        return -EIO;
    message_note(&book->session->notes, "%s", err->text);
    book->keep = false;
    return 0;
}

enum exit_status book_complete(struct book *book)
{
    ledger_free(&book->ledger);
    book->ledger.state = LEDGER_COMPLETE;
    book->ledger.completed = (int64_t)time(NULL);
    return write_ledger(book, &book->session->error);
}

void book_free(struct book *book)
{
    ledger_free(&book->ledger);
}
