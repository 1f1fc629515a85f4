/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "commands.h"
#include "endpoint.h"
#include "ledger_file.h"
#include "ledger_report.h"
#include "sole_writer.h"
#include "target_url.h"

#define REMOVED_MAX 2 /* a ledger, and what points to it */

/* One run of forget. */
struct forgetting {
    const struct options *options;
    struct ledger_list list;
    const struct ledger_item *item; /* NULL: not found yet */
    char removed[REMOVED_MAX][PATH_MAX];
    size_t removed_count;
    struct notes notes;
    struct errmsg error;
};

/* Who the LUN is that a name stands for now; empty where that cannot be seen from here. No target
 * is asked: what is to be forgotten may be long gone. */
static void identity_of(const char *name, char ret[static LEDGER_IDENTITY_BYTES])
{
    struct endpoint *endpoint = NULL;
    struct errmsg ignored;

    ret[0] = '\0';
    if (target_url_is(name) || endpoint_open(name, ENDPOINT_RAW, NULL, &endpoint, &ignored) < 0)
        return;
    snprintf(ret, LEDGER_IDENTITY_BYTES, "%s", endpoint->info.identity);
    endpoint_close(endpoint);
}

struct wanted {
    const char *name;
    char full[LEDGER_NAME_BYTES];
    char identity[LEDGER_IDENTITY_BYTES];
};

/* By identity where both are known, as names of disks move from one LUN to another. */
static bool is_wanted(const struct wanted *wanted, const struct ledger_side *side)
{
    if (wanted->identity[0] && side->identity[0])
        return strcmp(wanted->identity, side->identity) == 0;
    return strcmp(wanted->full, side->name) == 0 || strcmp(wanted->name, side->name) == 0;
}

static bool fits(const struct forgetting *forgetting, const struct wanted wanted[2],
                 const struct ledger *ledger)
{
    const char *pair = forgetting->options->pair;

    if (pair)
        return strcmp(pair, ledger->pair) == 0;
    return is_wanted(&wanted[0], &ledger->primary) && is_wanted(&wanted[1], &ledger->secondary);
}

static void name_wanted(const struct options *options, char *to, size_t size)
{
    char shown[2][LEDGER_NAME_BYTES];

    if (options->pair) {
        snprintf(to, size, "the pair %s", options->pair);
        return;
    }
    for (size_t i = 0; i < 2; i++)
        target_url_without_secret(options->names[i], shown[i], sizeof(shown[i]));
    snprintf(to, size, "a copy of %.300s to %.300s", shown[0], shown[1]);
}

/* Of the two LUNs, or of the pair. */
static int find(struct forgetting *forgetting)
{
    const struct options *options = forgetting->options;
    struct ledger_list *list = &forgetting->list;
    struct wanted wanted[2] = {0};
    char what[700];
    size_t count = 0;

    for (size_t i = 0; i < 2 && !options->pair; i++) {
        wanted[i].name = options->names[i];
        ledger_side_full_name(options->names[i], wanted[i].full);
        identity_of(options->names[i], wanted[i].identity);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (!list->items[i].known || !fits(forgetting, wanted, &list->items[i].ledger))
            continue;
        forgetting->item = &list->items[i];
        count++;
    }
    if (count == 1)
        return 0;
    forgetting->item = NULL;
    name_wanted(options, what, sizeof(what));
    return errmsg_set(&forgetting->error, -EBADE,
                      count == 0 ? "no ledger of %s is known; thinmirror ledgers lists those "
                                   "that are"
                                 : "more than one ledger of %s is known: thinmirror ledgers lists "
                                   "them; name the file of the one that is meant",
                      what);
}

static void remember(void *opaque, const char *path)
{
    struct forgetting *forgetting = opaque;

    snprintf(forgetting->removed[forgetting->removed_count++], PATH_MAX, "%s", path);
}

/* The last word on the same secondary, which stays. */
static void note_other(struct forgetting *forgetting)
{
    const struct ledger_item *item = forgetting->item;

    for (size_t i = 0; i < forgetting->list.count; i++) {
        const struct ledger_item *other = &forgetting->list.items[i];

        if (other != item && other->counts &&
            strcmp(other->ledger.secondary.identity, item->ledger.secondary.identity) == 0)
            message_note(&forgetting->notes,
                         "what is known of %s is in %s, which stays; %s was out of date",
                         other->ledger.secondary.name, other->path, item->path);
    }
}

static int forget(struct forgetting *forgetting)
{
    const struct options *options = forgetting->options;
    struct errmsg *err = &forgetting->error;
    CLEANUP_CLOSE int lock = -1;
    int r = ledger_list_read(&forgetting->list, err);

    /* Where there is no default place, there may be a file. */
    if (r == -ENOENT && options->name_count == 1)
        r = 0;
    if (r == 0)
        r = options->name_count == 1 ? ledger_list_find_file(&forgetting->list, options->names[0],
                                                             &forgetting->item, err)
                                     : find(forgetting);
    if (r < 0)
        return r;
    if (sole_writer_take(forgetting->item->ledger.secondary.identity,
                         forgetting->item->ledger.secondary.name, &lock, err) < 0)
        return -EBADE;
    r = ledger_item_remove(forgetting->item, remember, forgetting, err);
    if (r == 0)
        note_other(forgetting);
    return r;
}

static void show(const struct forgetting *forgetting)
{
    printf("Forgotten: ");
    ledger_report_show(forgetting->item);
    printf("A sync to this secondary needs --overwrite while it holds data.\n");
}

enum exit_status command_forget(const struct options *options)
{
    static struct forgetting forgetting; /* large */
    struct report report = {.options = options,
                            .notes = &forgetting.notes,
                            .error = &forgetting.error,
                            .started = time(NULL)};
    int r;

    forgetting.options = options;
    forgetting.notes.quiet = options->quiet;
    r = forget(&forgetting);
    if (r < 0) {
        report.status = r == -EBADE ? STATUS_REFUSED : STATUS_FAILED;
        message_error(&forgetting.notes, forgetting.error.text);
    }
    if (options->json)
        ledger_report_json(&report, &forgetting.list, forgetting.item, forgetting.item ? 1 : 0,
                           (const char(*)[PATH_MAX])forgetting.removed, forgetting.removed_count);
    else if (r == 0 && !options->quiet)
        show(&forgetting);
    ledger_list_free(&forgetting.list);
    notes_free(&forgetting.notes);
    return report.status;
}
