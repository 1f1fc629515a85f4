/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_REPORT_JSON_H
#define THINMIRROR_REPORT_JSON_H

/* What --json prints: docs/json.md has every member. One object each, whatever came of the run;
 * what is not known is null. */

#include <stdbool.h>

#include "report.h"

struct json_object;

bool report_is_verified(const struct report *report);
/* "clean", "faulty" or "not run". */
const char *report_check_name(enum checker_result result);

/* What every object begins with, and how the run ended. */
void report_json_head(struct json_object *object, const struct report *report);
void report_json_end(struct json_object *object, const struct report *report);
/* A LUN's name as it was given, without what may be a secret in it. */
void report_json_name(struct json_object *object, const char *key, const char *name);

void report_sync_json(const struct report *report);
void report_verify_json(const struct report *report);
void report_probe_json(const struct report *report);

/* The map is printed while it is read: what is known before it, and what is known after it. Between
 * them, and behind a comma each, the caller prints members of its own. */
void report_map_begin(const struct report *report);
void report_map_end(const struct report *report);

#endif
