/* SPDX-License-Identifier: Apache-2.0 */
#include "source_map.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"
#include "primary_use.h"
#include "session.h"
#include "tables_watch.h"
#include "track_view.h"

static int analyse(struct session *session, struct analysis *ret)
{
    struct tables_watch watch;
    const struct analyse_params params = tables_watch_begin(&watch, session);

    return analyse_run(session->primary, &params, ret, &session->error);
}

static int look(struct session *session, uint64_t *ret_read_digest)
{
    struct tables_watch watch;
    const struct analyse_params params = tables_watch_begin(&watch, session);

    return analyse_look(session->primary, &params, ret_read_digest, &session->error);
}

static void note_findings(struct session *session, const struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->note_count; i++)
        message_note(&session->notes, "%s: %s", session->primary->info.name, analysis->notes[i]);
    if (analysis->notes_lost > 0)
        message_note(&session->notes, "%s: %zu more parts count as allocated",
                     session->primary->info.name, analysis->notes_lost);
}

static enum exit_status read_tables(struct session *session)
{
    struct source_map *source = &session->source;
    int r = analyse(session, &source->analysis);

    if (r < 0)
        return session_status(r);
    source->analysed = true;
    note_findings(session, &source->analysis);
    return STATUS_DONE;
}

/* Whichever of the tables are believed in the end. */
static enum exit_status make_view(struct session *session)
{
    struct source_map *source = &session->source;
    int r = 0;

    if (extent_runs_end(&source->analysis.heads) > 0)
        r = track_view_create(session->primary, &source->analysis.heads, &source->view);
    if (r < 0)
        errmsg_set(&session->error, r, "%s", strerror(-r));
    return r < 0 ? STATUS_FAILED : STATUS_DONE;
}

static void choose_full(struct session *session)
{
    struct source_map *source = &session->source;

    analysis_free(&source->analysis);
    source->analysed = false;
    source->name = "full";
    message_note(&session->notes,
                 "%s %s, and no table of contents on it was understood: all of its blocks are "
                 "taken (source map: full)",
                 session->primary->info.name,
                 session->primary->info.can_map ? "is not thin"
                                                : "does not tell which of its blocks are in use");
}

/* Without a choice of the user's: what the target says, if it is thin; else what the tables of
 * contents call allocated, if one was understood; else everything. */
static enum exit_status choose_best(struct session *session)
{
    const struct endpoint_info *info = &session->primary->info;
    struct source_map *source = &session->source;
    enum exit_status status;

    if (info->can_map && info->thin) {
        source->name = "lba-status";
        source->ask = true;
        return STATUS_DONE;
    }
    status = read_tables(session);
    if (status != STATUS_DONE)
        return status;
    if (!source->analysis.understood) {
        choose_full(session);
        return STATUS_DONE;
    }
    source->name = "analyse";
    message_note(&session->notes,
                 "%s %s: what its own tables of contents call allocated is taken (source map: "
                 "analyse); --source-map=full takes all of it",
                 info->name,
                 info->can_map ? "is not thin" : "does not tell which of its blocks are in use");
    return STATUS_DONE;
}

static enum exit_status choose_analysed(struct session *session)
{
    const char *name = session->primary->info.name;
    enum exit_status status = read_tables(session);

    if (status != STATUS_DONE)
        return status;
    if (!session->source.analysis.understood)
        message_note(&session->notes,
                     "%s: no table of contents was understood: all of it counts as allocated",
                     name);
    return STATUS_DONE;
}

static enum exit_status choose(struct session *session)
{
    static const char *const names[] = {
        [SOURCE_BEST] = "",         [SOURCE_LBA_STATUS] = "lba-status",
        [SOURCE_BITMAP] = "bitmap", [SOURCE_ANALYSE] = "analyse",
        [SOURCE_BOTH] = "both",     [SOURCE_FULL] = "full"};
    enum source_choice choice = session->options->source;
    struct source_map *source = &session->source;

    if (choice == SOURCE_BEST)
        return choose_best(session);
    source->name = names[choice];
    source->chosen = true;
    source->ask = choice == SOURCE_LBA_STATUS || choice == SOURCE_BITMAP || choice == SOURCE_BOTH;
    if (choice == SOURCE_BITMAP)
        return endpoint_ask_bitmap(session->primary, &session->error) < 0 ? STATUS_FAILED
                                                                          : STATUS_DONE;
    if (source->ask && !session->primary->info.can_map) {
        errmsg_set(&session->error, 0, "%s does not answer GET LBA STATUS: %s",
                   session->primary->info.name,
                   choice == SOURCE_BOTH ? "--source-map=analyse takes what its own tables call "
                                           "allocated"
                                         : "leave --source-map out for the best there is");
        return STATUS_FAILED;
    }
    return choice == SOURCE_ANALYSE || choice == SOURCE_BOTH ? choose_analysed(session)
                                                             : STATUS_DONE;
}

/* Which blocks are free only the tables say: what the target calls unmapped reads as zeros, and a
 * file system may count on that (a log, an inode table). */
static void note_nothing_free(struct session *session)
{
    const struct options *options = session->options;

    if ((options->keep_free || options->allocated) && !session->source.analysed)
        message_note(&session->notes,
                     "%s by the source map %s: no block of %s is known to be free, that takes its "
                     "tables of contents (--source-map=analyse or both)",
                     options->keep_free ? "--keep-free leaves nothing as it is"
                                        : "--allocated compares every block",
                     session->source.name, session->primary->info.name);
}

enum exit_status source_map_choose(struct session *session)
{
    const struct options *options = session->options;
    struct source_map *source = &session->source;
    enum exit_status status = choose(session);
    bool gaps = source->analysed && options->skip_gaps;
    bool lstar = source->analysed && options->vtoc_lstar;

    if (status == STATUS_DONE)
        note_nothing_free(session);
    if (status == STATUS_DONE)
        snprintf(source->ledger_name, sizeof(source->ledger_name), "%s%s%s%s%s", source->name,
                 gaps || lstar || options->keep_free ? "+" : "", gaps ? "g" : "", lstar ? "l" : "",
                 options->keep_free ? "f" : "");
    if (status == STATUS_DONE)
        primary_use_note(session);
    return status == STATUS_DONE ? make_view(session) : status;
}

struct endpoint *source_map_primary(const struct session *session)
{
    return session->source.view ? session->source.view : session->primary;
}

void source_map_free(struct source_map *source)
{
    endpoint_close(source->view);
    source->view = NULL;
    analysis_free(&source->analysis);
}

const struct block_set *source_map_allocated(const struct source_map *source)
{
    return source->analysed ? &source->analysis.allocation.allocated : NULL;
}

/* What is to be copied again: what has become allocated, and the tables. */
static int compare_tables(const struct analysis *before, const struct analysis *now,
                          struct block_set *ret_again, uint64_t *ret_added)
{
    CLEANUP(block_set_free) struct block_set tables = {0};
    int r = block_set_combine(&now->allocation.allocated, BLOCK_SET_WITHOUT,
                              &before->allocation.allocated, ret_again);

    block_set_init(&tables, ret_again->blocks);
    *ret_added = r == 0 ? block_set_total(ret_again) : 0;
    if (r == 0)
        r = block_set_combine(&now->tables, BLOCK_SET_COMMON, &now->allocation.allocated, &tables);
    return r == 0 ? block_set_take(ret_again, &tables) : r;
}

/* Adds the blocks in which the pieces lie that are mapped. */
static int add_pieces(const struct extent_runs *pieces, uint64_t per_block, struct block_set *ret)
{
    int r = 0;

    for (uint64_t at = 0; at < extent_runs_end(pieces) && r == 0;) {
        const struct extent extent = extent_runs_find(pieces, at);
        uint64_t from = extent.start / per_block;

        at = extent.start + extent.length;
        if (extent.status == EXTENT_MAPPED)
            r = block_set_add_touched(ret, from, (at - 1) / per_block + 1 - from);
    }
    return r == 0 ? block_set_settle(ret) : r;
}

/* Begins of tracks that were free and are not any more are copied again, as they are: again gets
 * them. Tracks that became free meanwhile were copied as they are. */
static int compare_heads(struct session *session, const struct analysis *now,
                         struct block_set *again)
{
    uint64_t per_block = session->primary->info.block_size / TRACK_HEAD_BYTES;
    struct extent_runs *before = &session->source.analysis.heads;
    CLEANUP(extent_runs_free) struct extent_runs common = {0};
    CLEANUP(extent_runs_free) struct extent_runs taken = {0};
    int r;

    if (extent_runs_end(before) == 0)
        return 0;
    if (extent_runs_end(&now->heads) > 0)
        r = allocation_common(before, &now->heads, &common);
    else
        r = extent_runs_append(&common, extent_runs_end(before), EXTENT_DEALLOCATED);
    if (r == 0)
        r = allocation_added(&common, before, &taken);
    if (r == 0)
        r = add_pieces(&taken, per_block, again);
    if (r < 0)
        return r;
    extent_runs_free(before);
    *before = common;
    common = (struct extent_runs){0};
    return 0;
}

enum exit_status source_map_reread(struct session *session, struct block_set *ret_again,
                                   uint64_t *ret_added, bool *ret_changed)
{
    struct analysis *before = &session->source.analysis;
    struct analysis now = {0};
    uint64_t digest;
    int r = look(session, &digest);

    if (r == 0 && digest != before->read_digest)
        r = analyse(session, &now);
    *ret_changed = r == 0 && digest != before->read_digest && now.digest != before->digest;
    block_set_init(ret_again, session->primary->info.blocks);
    if (*ret_changed)
        r = compare_tables(before, &now, ret_again, ret_added);
    if (*ret_changed && r == 0)
        r = compare_heads(session, &now, ret_again);
    if (*ret_changed && r == 0) {
        r = block_set_take(&before->allocation.allocated, &now.allocation.allocated);
        before->digest = now.digest;
        before->read_digest = now.read_digest;
    }
    analysis_free(&now);
    if (r == -ENOMEM)
        errmsg_set(&session->error, r, "%s", strerror(-r));
    return r < 0 ? session_status(r) : STATUS_DONE;
}
