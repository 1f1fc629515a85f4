/* SPDX-License-Identifier: Apache-2.0 */
#include "json_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

static struct json_object *checked(struct json_object *object)
{
    if (!object) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return object;
}

struct json_object *json_new(void)
{
    return checked(json_object_new_object());
}

struct json_object *json_text(const char *text)
{
    char *copy = utf8_copy(text);
    struct json_object *value;

    if (!copy)
        return checked(NULL);
    value = checked(json_object_new_string(copy));
    free(copy);
    return value;
}

static void json_add_object(struct json_object *object, const char *key, struct json_object *value)
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

void json_add_null(struct json_object *object, const char *key)
{
    if (json_object_object_add(object, key, NULL) != 0)
        checked(NULL);
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

void json_add_known_text(struct json_object *object, const char *key, const char *text)
{
    if (text && text[0])
        json_add_text(object, key, text);
    else
        json_add_null(object, key);
}

void json_add_number_if(struct json_object *object, const char *key, bool known, uint64_t number)
{
    if (known)
        json_add_number(object, key, number);
    else
        json_add_null(object, key);
}

static const char *pretty(struct json_object *object)
{
    return json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
                                                      JSON_C_TO_STRING_SPACED |
                                                      JSON_C_TO_STRING_NOSLASHESCAPE);
}

void json_print_members(struct json_object *object)
{
    const char *text = pretty(object);
    size_t length = text ? strlen(text) : 0;

    /* Between "{\n" and "\n}". */
    if (length > 4)
        fwrite(text + 2, 1, length - 4, stdout);
    json_object_put(object);
}

void json_print(struct json_object *object)
{
    const char *text = pretty(object);

    if (text)
        puts(text);
    json_object_put(object);
}
