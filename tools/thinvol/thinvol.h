/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_THINVOL_H
#define THINMIRROR_THINVOL_H

/* What the files of thinvol share. */

#include <stdbool.h>
#include <stdint.h>

#include "errmsg.h"
#include "outcome.h"
#include "volume.h"

struct json_object;

enum exit_status { EXIT_DONE = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_REFUSED = 3 };

/* The command line of a verb. */
struct arguments {
    const char *verb;
    struct outcome *outcome;
    const char *path;
    const char *operand; /* the one after the path, or NULL */
    const char *since;   /* or NULL */
    const char *size;    /* as given, or NULL */
    uint64_t bytes;
    uint32_t block_size;
    bool adopt;
    bool discard;
    bool json;
};

/* "thinvol: SENTENCE" on stderr, cut into one line of UTF-8. */
void say(const char *sentence);

/* Says why, keeps that for --json, and gives an error's place among the exit statuses. */
int failed(const struct arguments *arguments, int error, const struct errmsg *err);

/* Says that the verb was used wrongly; the exit status. */
int usage_error(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Closes it. The status, or that of the failure to make what was done durable. */
int close_durably(struct volume *volume, const struct arguments *arguments, int status);

/* What create, info, resize and new-id tell of a volume; with --json outcome_print does. user: who
 * has it for itself, "" or NULL for no one. The exit status. */
int print_volume(struct volume *volume, const struct arguments *arguments, const char *user);

/* What info tells of the change record: nothing, or NULL, where there is none. */
void print_record(struct volume *volume);
struct json_object *describe_record(struct volume *volume);

/* The verbs of the change record. */
int run_track(const struct arguments *arguments);
int run_point(const struct arguments *arguments);
int run_points(const struct arguments *arguments);
int run_forget(const struct arguments *arguments);
int run_changed(const struct arguments *arguments);

/* The verbs that show something and change nothing; each gives the exit status. */
int run_info(const struct arguments *arguments);
int run_map(const struct arguments *arguments);
int run_check(const struct arguments *arguments);

#endif
