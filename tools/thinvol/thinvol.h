/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_THINVOL_H
#define THINMIRROR_THINVOL_H

/* What the files of thinvol share. */

#include <stdbool.h>
#include <stdint.h>

#include "errmsg.h"
#include "outcome.h"
#include "volume.h"

enum exit_status { EXIT_DONE = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_REFUSED = 3 };

/* The command line of a verb. */
struct arguments {
    const char *verb;
    struct outcome *outcome;
    const char *path;
    const char *size; /* as given, or NULL */
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

/* What create, info, resize and new-id tell of a volume; with --json outcome_print does. user: who
 * has it for itself, "" or NULL for no one. The exit status. */
int print_volume(struct volume *volume, const struct arguments *arguments, const char *user);

/* The verbs that show something and change nothing; each gives the exit status. */
int run_info(const struct arguments *arguments);
int run_map(const struct arguments *arguments);
int run_check(const struct arguments *arguments);

#endif
