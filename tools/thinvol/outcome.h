/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_THINVOL_OUTCOME_H
#define THINMIRROR_THINVOL_OUTCOME_H

/* How a run of thinvol went, and the object that --json prints of it, whatever came of the run:
 * docs/json.md has every member. */

#include <stdbool.h>
#include <stdint.h>

#include "errmsg.h"

struct json_object;
struct arguments;

struct outcome {
    int64_t started;             /* seconds since 1970 */
    struct json_object *members; /* what the verb found out; NULL: nothing */
    bool in_map;                 /* the array of a map is being printed */
    struct errmsg note;          /* said besides; empty: nothing */
    struct errmsg error;         /* why it did not end well */
};

/* The members of a verb that did not get so far are null. Takes what is in members over. status:
 * what the program ends with. */
void outcome_print(const struct arguments *arguments, int status);

/* Of which nothing is printed. */
void outcome_drop(struct outcome *outcome);

/* The beginning of the object of map, up to its array, whose items the caller prints. */
void outcome_begin_map(const struct arguments *arguments);

#endif
