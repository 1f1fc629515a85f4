/* SPDX-License-Identifier: Apache-2.0 */
#include "json_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json_object *checked(struct json_object *object)
{
    if (!object) {
        fputs("thinmirror: out of memory\n", stderr);
        exit(1);
    }
    return object;
}

struct json_object *json_new(void)
{
    return checked(json_object_new_object());
}

/* The bytes of the character at at, by Unicode's table 3-7 of well-formed UTF-8: no overlong form,
 * no surrogate, nothing beyond U+10FFFF. 0 when there is none. at ends with a NUL. */
static size_t utf8_length(const unsigned char *at)
{
    size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    unsigned char least = 0x80, most = 0xBF;

    if (length == 1)
        return 1;
    if (at[0] < 0xC2 || at[0] > 0xF4)
        return 0;
    if (at[0] == 0xE0)
        least = 0xA0;
    else if (at[0] == 0xED)
        most = 0x9F;
    else if (at[0] == 0xF0)
        least = 0x90;
    else if (at[0] == 0xF4)
        most = 0x8F;
    if (at[1] < least || at[1] > most)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

/* Bytes that are not UTF-8 (a path may be anything) become '?'. */
struct json_object *json_text(const char *text)
{
    char *copy = strdup(text);
    struct json_object *value;

    if (!copy)
        return checked(NULL);
    for (unsigned char *at = (unsigned char *)copy; *at;) {
        size_t length = utf8_length(at);

        if (length == 0)
            *at = '?';
        at += length ? length : 1;
    }
    value = checked(json_object_new_string(copy));
    free(copy);
    return value;
}

void json_add_object(struct json_object *object, const char *key, struct json_object *value)
{
    if (json_object_object_add(object, key, checked(value)) != 0)
        checked(NULL);
}

void json_add_text(struct json_object *object, const char *key, const char *text)
{
    json_add_object(object, key, json_text(text));
}

void json_add_number(struct json_object *object, const char *key, uint64_t number)
{
    json_add_object(object, key, json_object_new_uint64(number));
}

void json_add_seconds(struct json_object *object, const char *key, double seconds)
{
    char text[64];

    snprintf(text, sizeof(text), "%.3f", seconds);
    json_add_object(object, key, json_object_new_double_s(seconds, text));
}

void json_add_flag(struct json_object *object, const char *key, bool flag)
{
    json_add_object(object, key, json_object_new_boolean(flag));
}

struct json_object *json_add_array(struct json_object *object, const char *key)
{
    struct json_object *array = checked(json_object_new_array());

    json_add_object(object, key, array);
    return array;
}

void json_append(struct json_object *array, struct json_object *value)
{
    if (json_object_array_add(array, checked(value)) != 0)
        checked(NULL);
}

void json_print(struct json_object *object)
{
    const char *text =
        json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                   JSON_C_TO_STRING_NOSLASHESCAPE);

    if (text)
        puts(text);
    json_object_put(object);
}
