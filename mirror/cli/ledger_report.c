/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger_report.h"

#include <stdio.h>
#include <time.h>

#include "json_out.h"
#include "process_name.h"
#include "report_json.h"
#include "size.h"
#include "sole_writer.h"
#include "utf8.h"

/* "complete", or, as long as a sync is at it, "copying", and "interrupted" after that; NULL: it
 * does not count. holder: what has the secondary at the moment, or empty. */
static const char *state_of(const struct ledger_item *item, char holder[static PROCESS_NAME_BYTES])
{
    const char *identity = item->ledger.secondary.identity;
    bool is_held;

    holder[0] = '\0';
    if (!item->counts)
        return NULL;
    is_held = sole_writer_find(identity, holder, PROCESS_NAME_BYTES);
    if (item->ledger.state == LEDGER_COMPLETE)
        return "complete";
    return is_held ? "copying" : "interrupted";
}

static uint64_t size_of(const struct ledger_side *side)
{
    uint64_t bytes;

    return __builtin_mul_overflow(side->blocks, side->block_size, &bytes) ? UINT64_MAX : bytes;
}

static void show_text(const char *name, const char *text)
{
    printf("  %-10s ", name);
    utf8_print(stdout, text);
    putchar('\n');
}

/* In local time, as people look at their clocks. */
static void show_time(const char *words, int64_t seconds)
{
    time_t when = (time_t)seconds;
    char text[64] = "?";
    struct tm local;

    if (localtime_r(&when, &local))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local);
    printf("%s%s", words, text);
}

static void show_state(const struct ledger_item *item)
{
    char holder[PROCESS_NAME_BYTES], done[SIZE_TEXT_BYTES], all[SIZE_TEXT_BYTES];
    const struct ledger *ledger = &item->ledger;
    const char *state = state_of(item, holder);

    if (!state) {
        printf("  %-10s does not count: ", "state");
        utf8_print(stdout, item->why.text);
        putchar('\n');
        return;
    }
    printf("  %-10s %s", "state", state);
    if (ledger->state == LEDGER_COMPLETE)
        show_time(" since ", ledger->completed);
    show_time(", begun ", ledger->started);
    if (holder[0])
        printf(", in use by %s", holder);
    printf("\n  %-10s %s of %s\n", "done", size_text(ledger_done_bytes(ledger), done, sizeof(done)),
           size_text(size_of(&ledger->primary), all, sizeof(all)));
}

void ledger_report_show(const struct ledger_item *item)
{
    const struct ledger *ledger = &item->ledger;

    if (item->known) {
        utf8_print(stdout, ledger->primary.name);
        fputs(" -> ", stdout);
        utf8_print(stdout, ledger->secondary.name);
        putchar('\n');
    } else {
        puts("unknown");
    }
    if (ledger->pair[0])
        show_text("pair", ledger->pair);
    show_state(item);
    show_text("ledger", item->path);
    if (item->pointer[0])
        show_text("named by", item->pointer);
}

static void add_side(struct json_object *object, bool known, const char *key,
                     const char *identity_key, const struct ledger_side *side)
{
    if (known)
        report_json_name(object, key, side->name);
    else
        json_add_null(object, key);
    json_add_known_text(object, identity_key, side->identity);
}

static struct json_object *item_json(const struct ledger_item *item)
{
    char holder[PROCESS_NAME_BYTES];
    const struct ledger *ledger = &item->ledger;
    struct json_object *object = json_new();

    add_side(object, item->known, "primary", "primary_identity", &ledger->primary);
    add_side(object, item->known, "secondary", "secondary_identity", &ledger->secondary);
    json_add_known_text(object, "pair", ledger->pair);
    json_add_known_text(object, "state", state_of(item, holder));
    json_add_known_text(object, "holder", holder);
    json_add_known_text(object, "source_map", ledger->source_map);
    json_add_number_if(object, "started", item->known, (uint64_t)ledger->started);
    json_add_number_if(object, "completed", item->counts && ledger->state == LEDGER_COMPLETE,
                       (uint64_t)ledger->completed);
    json_add_number_if(object, "lun_bytes", item->known, size_of(&ledger->primary));
    json_add_number_if(object, "done_bytes", item->counts, ledger_done_bytes(ledger));
    json_add_text(object, "path", item->path);
    json_add_known_text(object, "pointer", item->pointer);
    json_add_known_text(object, "error", item->why.text);
    return object;
}

void ledger_report_json(const struct report *report, const struct ledger_list *list,
                        const struct ledger_item *items, size_t count,
                        const char (*removed)[PATH_MAX], size_t removed_count)
{
    struct json_object *object = json_new(), *array;

    report_json_head(object, report);
    report_json_end(object, report);
    json_add_known_text(object, "folder", list->folder);
    array = json_add_array(object, "ledgers");
    for (size_t i = 0; i < count; i++)
        json_append(array, item_json(&items[i]));
    if (removed) {
        array = json_add_array(object, "removed");
        for (size_t i = 0; i < removed_count; i++)
            json_append(array, json_text(removed[i]));
    }
    json_print(object);
}
