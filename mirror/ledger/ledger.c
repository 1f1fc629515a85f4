/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "cleanup.h"

#define LEDGER_VERSION   2
#define LEDGER_MAX_DEPTH 8

/* What stands before and after the checksum; the text ends there. */
static const char checksum_key[] = ",\n  \"checksum\":\"";
static const char checksum_end[] = "\"\n}\n";

#define CHECKSUM_DIGITS 16
#define CHECKSUM_BYTES  (sizeof(checksum_key) - 1 + CHECKSUM_DIGITS + sizeof(checksum_end) - 1)

static const char *const state_names[] = {"copying", "complete", "elsewhere"};

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

/* "0+4096 8192+16", or NULL: out of memory. */
static char *ranges_text(const struct range_set *set)
{
    enum { RANGE_BYTES = 2 * 20 + 2 };
    size_t count = set->count < LEDGER_RANGES_MAX ? set->count : LEDGER_RANGES_MAX, used = 0;
    char *text = malloc(count * RANGE_BYTES + 1);

    if (!text)
        return NULL;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        const struct range *range = range_set_at(set, i);

        used += (size_t)sprintf(text + used, "%s%" PRIu64 "+%" PRIu64, i > 0 ? " " : "",
                                range->start, range->end - range->start);
    }
    return text;
}

static uint64_t hash_bytes(const char *text, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3;
    return hash;
}

/* 16 hexadecimal digits for each number. */
static struct json_object *digests_text(const uint64_t digests[LEDGER_PARTS])
{
    char text[LEDGER_PARTS * CHECKSUM_DIGITS + 1];

    for (size_t i = 0; i < LEDGER_PARTS; i++)
        sprintf(text + i * CHECKSUM_DIGITS, "%016" PRIx64, digests[i]);
    return json_object_new_string(text);
}

static int add_left(struct json_object *object, const struct ledger_left *left)
{
    struct json_object *value;

    if (!left->known)
        return 0;
    value = json_object_new_object();
    if (add(object, "left", value) < 0 ||
        add(value, "seed", json_object_new_uint64(left->seed)) < 0 ||
        add(value, "blocks", json_object_new_uint64(left->blocks)) < 0 ||
        add(value, "changed", json_object_new_uint64(left->changed_ns)) < 0 ||
        (left->by_map && add(value, "map", digests_text(left->map)) < 0) ||
        add(value, "spots", digests_text(left->spots)) < 0)
        return -ENOMEM;
    return 0;
}

/* What is empty is left out. */
static int add_text(struct json_object *object, const char *key, const char *text)
{
    return text[0] != '\0' ? add(object, key, json_object_new_string(text)) : 0;
}

static int add_optional(struct json_object *object, const struct ledger *ledger)
{
    if (add_text(object, "copy", ledger->copy) < 0 ||
        add_text(object, "replaces", ledger->replaces) < 0 ||
        add_text(object, "elsewhere", ledger->elsewhere) < 0 ||
        add_text(object, "pair", ledger->pair) < 0 ||
        add_text(object, "tables", ledger->tables) < 0 ||
        (ledger->pointed_to && add(object, "pointed_to", json_object_new_boolean(true)) < 0))
        return -ENOMEM;
    return add_left(object, &ledger->left);
}

int ledger_encode(const struct ledger *ledger, char **ret)
{
    CLEANUP(cleanup_json) struct json_object *object = json_object_new_object();
    CLEANUP_FREE char *done = ranges_text(&ledger->done);
    const char *text;
    size_t length;

    if (!object || !done ||
        add(object, "thinmirror_ledger", json_object_new_int(LEDGER_VERSION)) < 0 ||
        add(object, "state", json_object_new_string(state_names[ledger->state])) < 0 ||
        add_side(object, "primary", &ledger->primary) < 0 ||
        add_side(object, "secondary", &ledger->secondary) < 0 ||
        add(object, "source_map", json_object_new_string(ledger->source_map)) < 0 ||
        add_optional(object, ledger) < 0 ||
        add(object, "started", json_object_new_int64(ledger->started)) < 0 ||
        add(object, "completed", json_object_new_int64(ledger->completed)) < 0 ||
        add(object, "done", json_object_new_string(done)) < 0)
        return -ENOMEM;
    text =
        json_object_to_json_string_length(object,
                                          JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE,
                                          &length);
    if (!text || length < 2)
        return -ENOMEM;
    length -= 2; /* "\n}": the checksum comes before it */
    if (asprintf(ret, "%.*s%s%016" PRIx64 "%s", (int)length, text, checksum_key,
                 hash_bytes(text, length), checksum_end) < 0)
        return -ENOMEM;
    return 0;
}

/* Whether the text ends in the checksum of what is before it. */
static bool is_whole(const char *text, size_t length)
{
    char expected[CHECKSUM_BYTES + 1];

    if (length <= CHECKSUM_BYTES)
        return false;
    length -= CHECKSUM_BYTES;
    snprintf(expected, sizeof(expected), "%s%016" PRIx64 "%s", checksum_key,
             hash_bytes(text, length), checksum_end);
    return memcmp(text + length, expected, CHECKSUM_BYTES) == 0;
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

/* A decimal number at *at, which moves behind it. Nothing but digits: strtoull takes signs. */
static int take_number(const char **at, uint64_t *ret)
{
    char *end;

    if (**at < '0' || **at > '9')
        return -EINVAL;
    errno = 0;
    *ret = strtoull(*at, &end, 10);
    *at = end;
    return errno ? -EINVAL : 0;
}

/* Ranges in order that do not touch, within the primary. */
static int get_ranges(struct json_object *object, uint64_t blocks, struct range_set *ret)
{
    struct json_object *value;
    const char *at;
    uint64_t start, length, end = 0;

    if (!json_object_object_get_ex(object, "done", &value) ||
        !json_object_is_type(value, json_type_string))
        return -EINVAL;
    for (at = json_object_get_string(value); *at; at += *at == ' ') {
        int r;

        if (take_number(&at, &start) < 0 || *at++ != '+' || take_number(&at, &length) < 0 ||
            (*at != '\0' && (*at != ' ' || at[1] == '\0')))
            return -EINVAL;
        if (length == 0 || (ret->count > 0 && start <= end) || start > blocks ||
            length > blocks - start)
            return -EINVAL;
        end = start + length;
        r = range_set_add(ret, start, length);
        if (r < 0)
            return r == -ENOMEM ? r : -EINVAL;
    }
    return at == json_object_get_string(value) + json_object_get_string_len(value) ? 0 : -EINVAL;
}

static int get_digests(struct json_object *object, const char *key, uint64_t ret[LEDGER_PARTS])
{
    char text[LEDGER_PARTS * CHECKSUM_DIGITS + 1];

    if (get_string(object, key, text, sizeof(text)) < 0 || strlen(text) != sizeof(text) - 1 ||
        strspn(text, "0123456789abcdef") != sizeof(text) - 1)
        return -EINVAL;
    for (size_t i = 0; i < LEDGER_PARTS; i++) {
        char digits[CHECKSUM_DIGITS + 1] = {0};

        memcpy(digits, text + i * CHECKSUM_DIGITS, CHECKSUM_DIGITS);
        ret[i] = strtoull(digits, NULL, 16);
    }
    return 0;
}

static int get_left(struct json_object *object, struct ledger_left *ret)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, "left", &value))
        return 0;
    if (!json_object_is_type(value, json_type_object) ||
        get_number(value, "seed", UINT64_MAX, &ret->seed) < 0 ||
        get_number(value, "blocks", UINT64_MAX, &ret->blocks) < 0 ||
        get_number(value, "changed", UINT64_MAX, &ret->changed_ns) < 0 ||
        get_digests(value, "spots", ret->spots) < 0)
        return -EINVAL;
    ret->by_map = json_object_object_get_ex(value, "map", NULL);
    if (ret->by_map && get_digests(value, "map", ret->map) < 0)
        return -EINVAL;
    ret->known = true;
    return 0;
}

/* What is missing is empty. */
static int get_text(struct json_object *object, const char *key, char *ret, size_t size)
{
    return json_object_object_get_ex(object, key, NULL) ? get_string(object, key, ret, size) : 0;
}

static int get_optional(struct json_object *object, struct ledger *ret)
{
    struct json_object *value;

    if (get_text(object, "copy", ret->copy, sizeof(ret->copy)) < 0 ||
        get_text(object, "replaces", ret->replaces, sizeof(ret->replaces)) < 0 ||
        get_text(object, "elsewhere", ret->elsewhere, sizeof(ret->elsewhere)) < 0 ||
        get_text(object, "pair", ret->pair, sizeof(ret->pair)) < 0 ||
        get_text(object, "tables", ret->tables, sizeof(ret->tables)) < 0)
        return -EINVAL;
    if ((ret->state == LEDGER_ELSEWHERE) != (ret->elsewhere[0] == '/'))
        return -EINVAL;
    if (json_object_object_get_ex(object, "pointed_to", &value)) {
        if (!json_object_is_type(value, json_type_boolean))
            return -EINVAL;
        ret->pointed_to = json_object_get_boolean(value);
    }
    return get_left(object, &ret->left);
}

static int decode_members(struct json_object *object, struct ledger *ret)
{
    uint64_t version, started, completed;

    if (!json_object_is_type(object, json_type_object) ||
        get_number(object, "thinmirror_ledger", LEDGER_VERSION, &version) < 0 ||
        version != LEDGER_VERSION || get_state(object, &ret->state) < 0 ||
        get_side(object, "primary", &ret->primary) < 0 ||
        get_side(object, "secondary", &ret->secondary) < 0 ||
        get_string(object, "source_map", ret->source_map, sizeof(ret->source_map)) < 0 ||
        get_optional(object, ret) < 0 || get_number(object, "started", INT64_MAX, &started) < 0 ||
        get_number(object, "completed", INT64_MAX, &completed) < 0)
        return -EINVAL;
    ret->started = (int64_t)started;
    ret->completed = (int64_t)completed;
    return get_ranges(object, ret->primary.blocks, &ret->done);
}

int ledger_decode(const char *text, size_t length, struct ledger *ret)
{
    CLEANUP(cleanup_tokener) struct json_tokener *tokener = json_tokener_new_ex(LEDGER_MAX_DEPTH);
    CLEANUP(cleanup_json) struct json_object *object = NULL;
    int r;

    *ret = (struct ledger){0};
    if (!tokener)
        return -ENOMEM;
    if (length == 0 || length > LEDGER_MAX_BYTES || !is_whole(text, length))
        return -EINVAL;
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    object = json_tokener_parse_ex(tokener, text, (int)length);
    r = decode_members(object, ret);
    if (r < 0)
        ledger_free(ret);
    return r;
}

void ledger_free(struct ledger *ledger)
{
    range_set_free(&ledger->done);
}

bool ledger_side_fits(const struct ledger_side *known, const struct ledger_side *now)
{
    return known->blocks <= now->blocks && known->block_size == now->block_size;
}

bool ledger_side_matches(const struct ledger_side *known, const struct ledger_side *now)
{
    return now->identity[0] != '\0' && strcmp(known->identity, now->identity) == 0 &&
           ledger_side_fits(known, now);
}

bool ledger_is_meant(const struct ledger *pointer, const struct ledger *ledger)
{
    return pointer->copy[0] != '\0' && (strcmp(pointer->copy, ledger->copy) == 0 ||
                                        strcmp(pointer->copy, ledger->replaces) == 0);
}

uint64_t ledger_hash(const char *text)
{
    return hash_bytes(text, strlen(text));
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
