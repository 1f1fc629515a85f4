/* SPDX-License-Identifier: Apache-2.0 */
#include "outcome.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "json_out.h"
#include "thinvol.h"

static const char *const volume_members[] = {"uuid",
                                             "block_size",
                                             "blocks",
                                             "lun_bytes",
                                             "allocated_bytes",
                                             "unmap_granularity_bytes",
                                             "sanitize_failed",
                                             "holder",
                                             "record",
                                             NULL};
static const char *const map_members[] = {"block_size", "lun_bytes", "holder", NULL};
static const char *const check_members[] = {"uuid",
                                            "block_size",
                                            "blocks",
                                            "lun_bytes",
                                            "holes_tried",
                                            "extents",
                                            "mapped_bytes",
                                            "deallocated_bytes",
                                            "anchored_bytes",
                                            "allocated_bytes",
                                            NULL};

static const char *const track_members[] = {"block_size", "lun_bytes", NULL};
static const char *const point_members[] = {"block_size", "lun_bytes", "point", NULL};
static const char *const points_members[] = {"block_size", "lun_bytes", "points", NULL};
static const char *const changed_members[] = {"block_size", "lun_bytes", "point", "changes", NULL};

static const struct {
    const char *verb;
    const char *const *members;
} by_verb[] = {
    {"map", map_members},         {"check", check_members}, {"track", track_members},
    {"forget", track_members},    {"point", point_members}, {"points", points_members},
    {"changed", changed_members},
};

static const char *const *members_of(const char *verb)
{
    for (size_t i = 0; i < sizeof(by_verb) / sizeof(by_verb[0]); i++)
        if (strcmp(verb, by_verb[i].verb) == 0)
            return by_verb[i].members;
    return volume_members;
}

static void add_head(struct json_object *object, const struct arguments *arguments)
{
    json_add_number(object, "schema", JSON_SCHEMA);
    json_add_text(object, "command", arguments->verb);
    json_add_text(object, "path", arguments->path);
    json_add_number(object, "started", (uint64_t)arguments->outcome->started);
}

/* Moves what was found out into the object. */
static void add_members(struct json_object *object, const struct arguments *arguments)
{
    struct outcome *outcome = arguments->outcome;
    const char *const *names = members_of(arguments->verb);

    for (size_t i = 0; names[i]; i++) {
        struct json_object *value = NULL;

        if (outcome->members)
            json_object_object_get_ex(outcome->members, names[i], &value);
        json_object_object_add(object, names[i], json_object_get(value));
    }
    json_object_put(outcome->members);
    outcome->members = NULL;
}

static void add_end(struct json_object *object, const struct outcome *outcome, int status)
{
    struct json_object *notes;

    json_add_number(object, "ended", (uint64_t)time(NULL));
    json_add_text(object, "result",
                  status == EXIT_DONE      ? "done"
                  : status == EXIT_REFUSED ? "refused"
                                           : "failed");
    json_add_number(object, "exit_status", (uint64_t)status);
    json_add_known_text(object, "error", status == EXIT_DONE ? NULL : outcome->error.text);
    notes = json_add_array(object, "notes");
    if (outcome->note.text[0])
        json_append(notes, json_text(outcome->note.text));
}

void outcome_drop(struct outcome *outcome)
{
    json_object_put(outcome->members);
    outcome->members = NULL;
}

void outcome_begin_map(const struct arguments *arguments)
{
    struct json_object *object = json_new();

    add_head(object, arguments);
    add_members(object, arguments);
    fputs("{\n", stdout);
    json_print_members(object);
    fputs(",\n  \"extents\": [", stdout);
    arguments->outcome->in_map = true;
}

void outcome_print(const struct arguments *arguments, int status)
{
    struct json_object *object;
    bool is_map = strcmp(arguments->verb, "map") == 0;

    if (is_map && !arguments->outcome->in_map)
        outcome_begin_map(arguments);
    object = json_new();
    if (!is_map)
        add_head(object, arguments);
    add_end(object, arguments->outcome, status);
    if (!is_map) {
        add_members(object, arguments);
        json_print(object);
        return;
    }
    fputs("\n  ],\n", stdout);
    json_print_members(object);
    fputs("\n}\n", stdout);
}
