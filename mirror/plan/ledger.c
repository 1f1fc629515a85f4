/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "cleanup.h"

#define LEDGER_VERSION   1
#define LEDGER_MAX_DEPTH 8

static const char *const state_names[] = {"copying", "complete"};

static void cleanup_json(struct json_object **object)
{
    json_object_put(*object);
}

static void cleanup_tokener(struct json_tokener **tokener)
{
    if (*tokener)
        json_tokener_free(*tokener);
}

/* Takes over value; NULL is out of memory. */
static int add(struct json_object *object, const char *key, struct json_object *value)
{
    if (!value || json_object_object_add(object, key, value) != 0) {
        json_object_put(value);
        return -ENOMEM;
    }
    return 0;
}

static int add_side(struct json_object *object, const char *key, const struct ledger_side *side)
{
    struct json_object *value = json_object_new_object();

    if (add(object, key, value) < 0 ||
        add(value, "identity", json_object_new_string(side->identity)) < 0 ||
        add(value, "name", json_object_new_string(side->name)) < 0 ||
        add(value, "blocks", json_object_new_uint64(side->blocks)) < 0 ||
        add(value, "block_size", json_object_new_uint64(side->block_size)) < 0)
        return -ENOMEM;
    return 0;
}

int ledger_encode(const struct ledger *ledger, char **ret)
{
    CLEANUP(cleanup_json) struct json_object *object = json_object_new_object();
    const char *text;

    if (!object || add(object, "thinmirror_ledger", json_object_new_int(LEDGER_VERSION)) < 0 ||
        add(object, "state", json_object_new_string(state_names[ledger->state])) < 0 ||
        add_side(object, "primary", &ledger->primary) < 0 ||
        add_side(object, "secondary", &ledger->secondary) < 0 ||
        add(object, "source_map", json_object_new_string(ledger->source_map)) < 0 ||
        add(object, "started", json_object_new_int64(ledger->started)) < 0 ||
        add(object, "completed", json_object_new_int64(ledger->completed)) < 0)
        return -ENOMEM;
    text = json_object_to_json_string_ext(object,
                                          JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
    if (!text || asprintf(ret, "%s\n", text) < 0)
        return -ENOMEM;
    return 0;
}

static int get_string(struct json_object *object, const char *key, char *ret, size_t size)
{
    struct json_object *value;
    size_t length;

    if (!json_object_object_get_ex(object, key, &value) ||
        !json_object_is_type(value, json_type_string))
        return -EINVAL;
    length = (size_t)json_object_get_string_len(value);
    if (length >= size || strlen(json_object_get_string(value)) != length)
        return -EINVAL;
    memcpy(ret, json_object_get_string(value), length + 1);
    return 0;
}

/* A number from 0 to max. */
static int get_number(struct json_object *object, const char *key, uint64_t max, uint64_t *ret)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, key, &value) ||
        !json_object_is_type(value, json_type_int))
        return -EINVAL;
    if (json_object_get_int64(value) < 0)
        return -EINVAL;
    *ret = json_object_get_uint64(value);
    return *ret <= max ? 0 : -EINVAL;
}

static int get_side(struct json_object *object, const char *key, struct ledger_side *ret)
{
    struct json_object *value;
    uint64_t block_size;

    if (!json_object_object_get_ex(object, key, &value) ||
        !json_object_is_type(value, json_type_object) ||
        get_string(value, "identity", ret->identity, sizeof(ret->identity)) < 0 ||
        get_string(value, "name", ret->name, sizeof(ret->name)) < 0 ||
        get_number(value, "blocks", UINT64_MAX, &ret->blocks) < 0 ||
        get_number(value, "block_size", UINT32_MAX, &block_size) < 0)
        return -EINVAL;
    ret->block_size = (uint32_t)block_size;
    return 0;
}

static int get_state(struct json_object *object, enum ledger_state *ret)
{
    char name[16];

    if (get_string(object, "state", name, sizeof(name)) < 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(state_names) / sizeof(state_names[0]); i++) {
        if (strcmp(name, state_names[i]) == 0) {
            *ret = (enum ledger_state)i;
            return 0;
        }
    }
    return -EINVAL;
}

int ledger_decode(const char *text, size_t length, struct ledger *ret)
{
    CLEANUP(cleanup_tokener) struct json_tokener *tokener = json_tokener_new_ex(LEDGER_MAX_DEPTH);
    CLEANUP(cleanup_json) struct json_object *object = NULL;
    uint64_t version, started, completed;

    if (!tokener)
        return -ENOMEM;
    if (length == 0 || length > LEDGER_MAX_BYTES)
        return -EINVAL;
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    object = json_tokener_parse_ex(tokener, text, (int)length);
    *ret = (struct ledger){0};
    if (!object || !json_object_is_type(object, json_type_object) ||
        get_number(object, "thinmirror_ledger", LEDGER_VERSION, &version) < 0 ||
        version != LEDGER_VERSION || get_state(object, &ret->state) < 0 ||
        get_side(object, "primary", &ret->primary) < 0 ||
        get_side(object, "secondary", &ret->secondary) < 0 ||
        get_string(object, "source_map", ret->source_map, sizeof(ret->source_map)) < 0 ||
        get_number(object, "started", INT64_MAX, &started) < 0 ||
        get_number(object, "completed", INT64_MAX, &completed) < 0)
        return -EINVAL;
    ret->started = (int64_t)started;
    ret->completed = (int64_t)completed;
    return 0;
}

bool ledger_side_matches(const struct ledger_side *known, const struct ledger_side *now)
{
    return now->identity[0] != '\0' && strcmp(known->identity, now->identity) == 0 &&
           known->blocks == now->blocks && known->block_size == now->block_size;
}

uint64_t ledger_hash(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3;
    return hash;
}

static bool stands_for_itself(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-';
}

void ledger_file_name(const char *identity, char ret[static LEDGER_FILE_BYTES])
{
    enum { CUT = 180 };
    size_t used = 0;
    const char *from = identity;

    for (; *from && used < CUT; from++) {
        if (stands_for_itself(*from) && (*from != '.' || from > identity))
            ret[used++] = *from;
        else
            used += (size_t)sprintf(ret + used, "%%%02X", (unsigned)(uint8_t)*from);
    }
    if (*from)
        used += (size_t)sprintf(ret + used, "_%016" PRIx64, ledger_hash(identity));
    strcpy(ret + used, ".json");
}
