/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FINDINGS_H
#define THINMIRROR_FINDINGS_H

/* What thindoctor found out about this machine, one finding a thing it looked at. */

#include <stdbool.h>
#include <stddef.h>

/* What a thing is needed for. Only what is missing for the first two makes thindoctor fail. */
enum need { NEED_SERVE, NEED_MIRROR, NEED_OPTIONAL };

struct finding {
    enum need need;
    bool ok;
    char name[32];
    char state[256]; /* how it is, in a few words */
    char mend[512];  /* the command that mends it; empty when ok */
};

#define FINDINGS_MAX 32

struct findings {
    struct finding items[FINDINGS_MAX];
    size_t count;
};

/* Add one thing that is there, or one that is missing with the command that mends it. */
void finding_ok(struct findings *findings, enum need need, const char *name, const char *state);
void finding_missing(struct findings *findings, enum need need, const char *name, const char *state,
                     const char *mend);

/* "serve", "mirror" or "optional". */
const char *need_name(enum need need);

/* True when nothing is missing for it. */
bool findings_allow(const struct findings *findings, enum need need);

/* The checks. Each adds its findings, and changes nothing on the machine except that check_path
 * makes a small file in the path's directory and removes it. */
void check_kernel(struct findings *findings);
void check_programs(struct findings *findings);
void check_room(struct findings *findings);
void check_target(struct findings *findings);
void check_path(struct findings *findings, const char *path);

#endif
