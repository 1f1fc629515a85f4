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

/* NULL or empty: not known, which is null. */
void json_add_known_text(struct json_object *object, const char *key, const char *text);
/* null unless known. */
void json_add_number_if(struct json_object *object, const char *key, bool known, uint64_t number);

/* Goes up when a member goes away or comes to mean something else, in whatever program. */
#define JSON_SCHEMA 1

/* Prints its members, without the braces, on stdout, and frees it: for what is printed in pieces.
 */
void json_print_members(struct json_object *object);

/* Prints it on stdout, one member a line, and frees it. */
void json_print(struct json_object *object);

#endif
