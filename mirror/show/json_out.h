/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_JSON_OUT_H
#define THINMIRROR_JSON_OUT_H

/* JSON members by type. Memory that is out ends the program: there is nothing left to report. */

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

struct json_object *json_new(void);
void json_add_text(struct json_object *object, const char *key, const char *text);
void json_add_number(struct json_object *object, const char *key, uint64_t number);
/* With three decimals. */
void json_add_seconds(struct json_object *object, const char *key, double seconds);
void json_add_null(struct json_object *object, const char *key);
void json_add_flag(struct json_object *object, const char *key, bool flag);
struct json_object *json_add_array(struct json_object *object, const char *key);
void json_append(struct json_object *array, struct json_object *value);
struct json_object *json_text(const char *text);

/* Prints it on stdout, one member a line, and frees it. */
void json_print(struct json_object *object);

#endif
