/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger_keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "cleanup.h"
#include "ledger_file.h"

static void __attribute__((format(printf, 2, 3)))
note(const struct ledger_keeper *keeper, const char *format, ...)
{
    CLEANUP_FREE char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    if (text && keeper->params.note)
        keeper->params.note(keeper->params.opaque, text);
}

static int refuse(const char *why, struct errmsg *err)
{
    return errmsg_set(err, -EBADE, "--resume: %s; without --resume the copy begins anew", why);
}

/* What makes the copy that was interrupted another one than this; NULL: nothing. */
static const char *difference(const struct ledger_side *known, const struct ledger_side *now,
                              bool any_identity, char *to, size_t size)
{
    if (!any_identity && strcmp(known->identity, now->identity) != 0)
        snprintf(to, size, "the interrupted copy was one of %.100s, which is not %.100s",
                 known->name, now->name);
    else if (!ledger_side_fits(known, now))
        snprintf(to, size,
                 "%.100s has become smaller since the copy was interrupted, from %llu blocks of %u "
                 "bytes to %llu of %u",
                 now->name, (unsigned long long)known->blocks, known->block_size,
                 (unsigned long long)now->blocks, now->block_size);
    else
        return NULL;
    return to;
}

/* Whether the pair's name says that a primary of another identity will do. */
static bool is_same_pair(const struct ledger_keeper *keeper)
{
    return keeper->params.pair && strcmp(keeper->params.pair, keeper->ledger.pair) == 0;
}

static int check_resume(struct ledger_keeper *keeper, struct errmsg *err)
{
    const struct ledger_params *params = &keeper->params;
    const char *to = params->secondary.name;
    bool same_pair = keeper->found && is_same_pair(keeper);
    char text[512];

    if (!keeper->keep || !keeper->found) {
        note(keeper, "no interrupted copy to %s is known, so it begins anew", to);
        return 0;
    }
    if (difference(&keeper->ledger.primary, &params->primary, same_pair, text, sizeof(text)) ||
        difference(&keeper->ledger.secondary, &params->secondary, false, text, sizeof(text)))
        return refuse(text, err);
    keeper->resumed = keeper->ledger.state == LEDGER_COPYING;
    if (!keeper->resumed)
        note(keeper, "the last copy to %s was complete, so a new one begins", to);
    else if (keeper->stale)
        ledger_keeper_distrust(keeper,
                               "whether another copy has been made to it since is not known "
                               "here");
    else if (!ledger_side_matches(&keeper->ledger.primary, &params->primary))
        ledger_keeper_distrust(keeper,
                               "the interrupted copy was one of another primary of the pair");
    return 0;
}

void ledger_keeper_distrust(struct ledger_keeper *keeper, const char *why)
{
    if (keeper->resumed)
        note(keeper, "%s: %s, so the copy begins anew", keeper->params.secondary.name, why);
    keeper->resumed = false;
}

/* A ledger that counts only if it is about this secondary. */
static bool is_about(const struct ledger *ledger, const struct ledger_side *secondary)
{
    return strcmp(ledger->secondary.identity, secondary->identity) == 0;
}

/* The ledger in the default place. A file that is none only loses its say. */
static bool read_placed(struct ledger_keeper *keeper, struct ledger *ret)
{
    struct errmsg error;
    int r;

    if (keeper->place[0] == '\0')
        return false;
    r = ledger_file_read(keeper->place, ret, &error);
    keeper->placed = r != -ENOENT && r != -ENOTDIR;
    if (r == 0 && is_about(ret, &keeper->params.secondary)) {
        memcpy(keeper->placed_copy, ret->copy, sizeof(ret->copy));
        return true;
    }
    if (r == 0)
        note(keeper, "%s is the ledger of another secondary, %s; it does not count", keeper->place,
             ret->secondary.name);
    else if (r != -ENOENT)
        note(keeper, "%s; it does not count", error.text);
    if (r == 0)
        ledger_free(ret);
    return false;
}

/* The ledger that the default place points to. */
static void follow_pointer(struct ledger_keeper *keeper, const struct ledger *pointer)
{
    struct errmsg error = {"it is not there"};
    int r = ledger_file_read(pointer->elsewhere, &keeper->ledger, &error);

    if (r == 0 && is_about(&keeper->ledger, &keeper->params.secondary) &&
        ledger_is_meant(pointer, &keeper->ledger)) {
        keeper->found = true;
        return;
    }
    if (r == 0)
        errmsg_set(&error, 0, "%s is out of date", pointer->elsewhere);
    ledger_free(&keeper->ledger);
    note(keeper, "the ledger of %s was last kept in %s: %s", keeper->params.secondary.name,
         pointer->elsewhere, error.text);
}

/* A file named by the user that is no ledger, or another secondary's, is not ours to replace. */
static int read_chosen(const struct ledger_keeper *keeper, struct ledger *ret, struct errmsg *err)
{
    const char *chosen = keeper->params.chosen;
    int r = ledger_file_read(chosen, ret, err);

    if (r == -EINVAL)
        return -EBADE;
    if (r == 0 && ret->state == LEDGER_ELSEWHERE)
        r = errmsg_set(err, -EBADE, "%s only points to the ledger %s: name that file", chosen,
                       ret->elsewhere);
    else if (r == 0 && !is_about(ret, &keeper->params.secondary))
        r = errmsg_set(err, -EBADE, "%s is the ledger of another secondary, %s: name another file",
                       chosen, ret->secondary.name);
    else
        return r;
    ledger_free(ret);
    return r;
}

/* Which ledger has the last word: the one in the default place, the one that it points to, or, when
 * the default place knows of none, the one that the user has named. */
static int find_ledger(struct ledger_keeper *keeper, struct errmsg *err)
{
    CLEANUP(ledger_free) struct ledger placed = {0}, chosen = {0};
    bool has_placed, has_chosen = false;

    has_placed = read_placed(keeper, &placed);
    if (keeper->params.chosen) {
        int r = read_chosen(keeper, &chosen, err);

        if (r < 0 && r != -ENOENT)
            return r;
        has_chosen = r == 0;
    }
    if (has_chosen &&
        (!has_placed || (placed.state == LEDGER_ELSEWHERE && ledger_is_meant(&placed, &chosen)))) {
        keeper->ledger = chosen;
        chosen.done = (struct range_set){0};
        keeper->found = true;
        /* Something may have come after what the default place does not tell about any more. */
        keeper->stale = !has_placed && (keeper->placed || keeper->ledger.pointed_to);
    } else if (has_placed && placed.state == LEDGER_ELSEWHERE) {
        follow_pointer(keeper, &placed);
    } else if (has_placed) {
        keeper->ledger = placed;
        placed.done = (struct range_set){0};
        keeper->found = true;
    }
    return 0;
}

/* Where ledgers are. */
static int find_places(struct ledger_keeper *keeper, struct errmsg *err)
{
    const char *chosen = keeper->params.chosen;
    struct errmsg error;

    if (chosen && snprintf(keeper->path, PATH_MAX, "%s", chosen) >= PATH_MAX)
        return errmsg_set(err, -ENAMETOOLONG, "the path of the ledger is too long");
    if (ledger_default_path(keeper->params.secondary.identity, keeper->place, &error) < 0) {
        keeper->place[0] = '\0';
        if (!chosen)
            note(keeper, "%s", error.text);
    }
    if (!chosen)
        memcpy(keeper->path, keeper->place, PATH_MAX);
    keeper->keep = keeper->path[0] != '\0';
    return 0;
}

int ledger_keeper_open(struct ledger_keeper *keeper, const struct ledger_params *params,
                       struct errmsg *err)
{
    bool known_primary = params->primary.identity[0] != '\0' || params->pair;
    int r = 0;

    keeper->params = *params;
    if (params->secondary.identity[0] == '\0' || !known_primary) {
        note(keeper, "%s does not say who it is, so no ledger is kept of this copy",
             known_primary ? params->secondary.name : params->primary.name);
    } else {
        r = find_places(keeper, err);
        if (r == 0 && keeper->keep)
            r = find_ledger(keeper, err);
    }
    return r == 0 && params->resume ? check_resume(keeper, err) : r;
}

/* Whether this is the side that is known, whatever its size. */
static bool is_side(const struct ledger_side *known, const struct ledger_side *now)
{
    return now->identity[0] != '\0' && strcmp(known->identity, now->identity) == 0;
}

bool ledger_keeper_is_own(const struct ledger_keeper *keeper, struct errmsg *why)
{
    const struct ledger *known = &keeper->ledger;
    const struct ledger_params *now = &keeper->params;
    const struct ledger_side *sides[2][2] = {{&known->primary, &now->primary},
                                             {&known->secondary, &now->secondary}};

    if (!keeper->found || !is_side(&known->secondary, &now->secondary) ||
        (!is_same_pair(keeper) && !is_side(&known->primary, &now->primary)))
        return false;
    for (int i = 0; i < 2; i++) {
        if (ledger_side_fits(sides[i][0], sides[i][1]))
            continue;
        errmsg_set(why, 0,
                   "%.300s has %s since %.300s was copied to %.300s, from %" PRIu64
                   " blocks of %u bytes to %" PRIu64
                   " of %u: if it is still the one that is meant, "
                   "--overwrite copies all the same",
                   sides[i][1]->name,
                   sides[i][0]->block_size == sides[i][1]->block_size ? "become smaller"
                                                                      : "another block size",
                   known->primary.name, now->secondary.name, sides[i][0]->blocks,
                   sides[i][0]->block_size, sides[i][1]->blocks, sides[i][1]->block_size);
        return false;
    }
    return true;
}

/* A file that the user has named is written as it is; what is in the default place and cannot be
 * written any more must not stay as it was. 0: it is written. 1: it is not, and there is none. */
static int write_or_remove(struct ledger_keeper *keeper, const char *path,
                           const struct ledger *ledger, struct errmsg *err)
{
    struct errmsg error;
    int r = ledger_file_write(path, ledger, true, err);

    if (r == 0 || ledger_file_remove(path, &error) < 0)
        return r;
    /* That has made room. */
    r = ledger_file_write(path, ledger, true, err) == 0 ? 0 : 1;
    if (r > 0 && !keeper->noted)
        note(keeper, "%s", err->text);
    keeper->noted = keeper->noted || r > 0;
    return r;
}

/* Makes the default place point to the file that the user has named, as keeper->ledger is there. 1:
 * it cannot, and does not have another say either. */
static int point(struct ledger_keeper *keeper, struct errmsg *err)
{
    struct ledger pointer = keeper->ledger;
    int r = -ENOENT;

    if (keeper->place[0] == '\0')
        return 1;
    pointer.state = LEDGER_ELSEWHERE;
    pointer.done = (struct range_set){0};
    pointer.left = (struct ledger_left){0};
    pointer.pointed_to = false;
    r = ledger_file_absolute(keeper->path, pointer.elsewhere);
    if (r < 0)
        return errmsg_set(err, r, "cannot write the ledger %s: %s", keeper->path, strerror(-r));
    r = write_or_remove(keeper, keeper->place, &pointer, err);
    keeper->placed = r == 0;
    if (r == 0)
        memcpy(keeper->placed_copy, pointer.copy, sizeof(pointer.copy));
    return r;
}

/* Writes keeper->ledger to the file that the user has named, and makes the default place agree. */
static int write_chosen(struct ledger_keeper *keeper, struct errmsg *err)
{
    int r;

    keeper->ledger.pointed_to = keeper->place[0] != '\0';
    r = ledger_file_write(keeper->path, &keeper->ledger, false, err);
    if (r < 0)
        return r;
    r = point(keeper, err);
    if (r < 0 && keeper->ledger.state == LEDGER_COMPLETE) {
        /* It points to the copy that this ledger replaces, so this one counts. */
        note(keeper, "%s", err->text);
        return 0;
    }
    if (r <= 0)
        return r;
    /* It stands alone from now on. */
    keeper->ledger.pointed_to = false;
    return ledger_file_write(keeper->path, &keeper->ledger, false, err);
}

/* A number that no copy has had. */
static int number_copy(struct ledger_keeper *keeper, struct errmsg *err)
{
    uint64_t number[2];

    if (getrandom(number, sizeof(number), 0) != sizeof(number))
        return errmsg_set(err, -EIO, "the kernel gives no random numbers: %s", strerror(errno));
    snprintf(keeper->ledger.copy, sizeof(keeper->ledger.copy), "%016" PRIx64 "%016" PRIx64,
             number[0], number[1]);
    memcpy(keeper->ledger.replaces, keeper->placed_copy, sizeof(keeper->placed_copy));
    return 0;
}

/* Writes the ledger of a new state to where it is kept. 1: it is not kept any more. */
static int write_anew(struct ledger_keeper *keeper, struct errmsg *err)
{
    int r = number_copy(keeper, err);

    if (r < 0)
        return r;
    r = keeper->params.chosen ? write_chosen(keeper, err)
                              : write_or_remove(keeper, keeper->path, &keeper->ledger, err);
    if (r == 0 && !keeper->params.chosen)
        memcpy(keeper->placed_copy, keeper->ledger.copy, sizeof(keeper->placed_copy));
    keeper->resumable = r == 0;
    return r;
}

/* In the user's words: what ledger_keeper_begin was told. */
static void describe_source(const char *source, char *to, size_t size)
{
    const char *options = strchrnul(source, '+');

    snprintf(to, size, "the source map %.*s%s%s%s", (int)(options - source), source,
             strchr(options, 'g') ? " and --skip-gaps" : "",
             strchr(options, 'l') ? " and --vtoc-lstar" : "",
             strchr(options, 'f')   ? " and --keep-free"
             : strchr(options, 'k') ? " and the --keep-free of an older version"
                                    : "");
}

int ledger_keeper_check_source(struct ledger_keeper *keeper, const char *source, const char *tables,
                               struct errmsg *err)
{
    char text[256], then[96], now[96];

    if (!keeper->resumed)
        return 0;
    if (strcmp(keeper->ledger.source_map, source) != 0) {
        describe_source(keeper->ledger.source_map, then, sizeof(then));
        describe_source(source, now, sizeof(now));
        snprintf(text, sizeof(text),
                 "the interrupted copy was begun with %s, this one would use %s", then, now);
        return refuse(text, err);
    }
    keeper->resumed = strcmp(keeper->ledger.tables, tables) == 0;
    if (!keeper->resumed)
        note(keeper,
             "the tables of contents of %s have changed since the copy was interrupted, so "
             "it begins anew",
             keeper->params.primary.name);
    return 0;
}

int ledger_keeper_begin(struct ledger_keeper *keeper, const char *source, const char *tables,
                        struct errmsg *err)
{
    const struct ledger_params *params = &keeper->params;
    struct ledger *ledger = &keeper->ledger;
    int r;

    if (!keeper->resumed) {
        ledger_free(ledger);
        *ledger = (struct ledger){.started = (int64_t)time(NULL)};
    }
    ledger->state = LEDGER_COPYING;
    ledger->left = (struct ledger_left){0};
    ledger->primary = params->primary;
    ledger->secondary = params->secondary;
    ledger_side_full_name(params->primary.name, ledger->primary.name);
    ledger_side_full_name(params->secondary.name, ledger->secondary.name);
    snprintf(ledger->pair, sizeof(ledger->pair), "%s", params->pair ? params->pair : "");
    snprintf(ledger->source_map, sizeof(ledger->source_map), "%s", source);
    snprintf(ledger->tables, sizeof(ledger->tables), "%s", tables);
    r = range_set_copy(&keeper->done, &ledger->done);
    if (r < 0)
        return errmsg_set(err, r, "cannot keep the ledger: %s", strerror(-r));
    if (!keeper->keep)
        return 0;
    r = write_anew(keeper, err);
    return r > 0 ? 0 : r;
}

/* The ledger as it is to be written; its set stays the keeper's. */
static struct ledger shown(const struct ledger_keeper *keeper)
{
    struct ledger ledger = keeper->ledger;

    ledger.done = keeper->done;
    return ledger;
}

int ledger_keeper_checkpoint(void *opaque, const struct range_set *done, struct errmsg *err)
{
    struct ledger_keeper *keeper = opaque;
    struct ledger ledger;
    int r;

    if (!keeper->resumable)
        return 0;
    r = range_set_copy(&keeper->done, done);
    if (r < 0)
        return errmsg_set(err, r, "cannot keep the ledger: %s", strerror(-r));
    ledger = shown(keeper);
    r = ledger_file_write(keeper->path, &ledger, false, err);
    if (r == 0 || keeper->params.chosen)
        return r < 0 ? -EIO : 0;
    /* What was written before still holds, as long as this copy is not complete. */
    if (!keeper->noted)
        note(keeper, "%s", err->text);
    keeper->noted = true;
    return 0;
}

void ledger_keeper_interrupted(struct ledger_keeper *keeper, const struct ledger_left *left)
{
    struct errmsg error;
    struct ledger ledger;

    if (!keeper->resumable)
        return;
    keeper->ledger.left = *left;
    ledger = shown(keeper);
    if (ledger_file_write(keeper->path, &ledger, false, &error) < 0 && !keeper->noted)
        note(keeper, "%s", error.text);
}

/* The file that the user has named has an older state, and cannot be written: the default place
 * says so, or that file goes. */
static int complete_elsewhere(struct ledger_keeper *keeper, struct errmsg *err)
{
    struct errmsg error;
    int r = keeper->place[0] ? write_or_remove(keeper, keeper->place, &keeper->ledger, &error) : 1;

    if (r == 0)
        return errmsg_set(err, -EIO, "%.600s; %s is copied and flushed, which is noted in %.300s",
                          err->text, keeper->params.secondary.name, keeper->place);
    if (r > 0 && keeper->ledger.pointed_to)
        return -EIO;
    if (ledger_file_remove(keeper->path, &error) < 0)
        return errmsg_set(err, -EIO,
                          "%.600s; nor can it be removed: do that before a sync with "
                          "--resume",
                          err->text);
    return -EIO;
}

int ledger_keeper_complete(struct ledger_keeper *keeper, const struct ledger_left *left,
                           struct errmsg *err)
{
    struct ledger *ledger = &keeper->ledger;
    struct errmsg why;
    int r;

    if (!keeper->keep)
        return 0;
    ledger_free(ledger);
    ledger->state = LEDGER_COMPLETE;
    ledger->completed = (int64_t)time(NULL);
    ledger->left = *left;
    r = write_anew(keeper, err);
    if (r >= 0)
        return 0;
    if (keeper->params.chosen)
        return complete_elsewhere(keeper, err);
    why = *err;
    return errmsg_set(err, r,
                      "%s is copied and flushed, but its ledger is out of date, and can neither be "
                      "written nor removed: remove it before a sync with --resume (%.500s)",
                      keeper->params.secondary.name, why.text);
}

void ledger_keeper_free(struct ledger_keeper *keeper)
{
    ledger_free(&keeper->ledger);
    range_set_free(&keeper->done);
}
