/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_CFGSTRING_H
#define THINMIRROR_CFGSTRING_H

/* What targetcli hands over for a LUN: thin/ABSOLUTE/PATH[;option=value]...
 *   ro         the volume is served write protected
 *   threshold=N  initiators are told when N percent of the file system are used, 1 to 99
 *   threads=N  at most N commands of this LUN run at the same time, 1 to CFGSTRING_MAX_THREADS
 *   copy=GROUP EXTENDED COPY may copy between this LUN and others of the same group
 *   tcmur_cmd_time_out=N  tcmu-runner's own; it cuts the option out, with the ';' on either side of
 *              it, before it opens the device, so it is allowed as the last option only
 * Pure; fuzzed. */

#include <stdbool.h>

#include "errmsg.h"

#define CFGSTRING_SUBTYPE         "thin"
#define CFGSTRING_MAX_BYTES       255 /* what the kernel keeps */
#define CFGSTRING_MAX_THREADS     8   /* the workers that tcmu-runner starts for each device */
#define CFGSTRING_MAX_GROUP_BYTES 32

struct cfgstring {
    char path[CFGSTRING_MAX_BYTES + 1];
    bool read_only;
    char copy_group[CFGSTRING_MAX_GROUP_BYTES + 1]; /* "": of no group */
    int threshold_percent;                          /* 0: none */
    int threads; /* CFGSTRING_MAX_THREADS unless the option says less */
};

/* -EINVAL (-ENAMETOOLONG when too long) with a sentence that names what is wrong and what to
 * write instead. */
int cfgstring_parse(const char *text, struct cfgstring *ret, struct errmsg *err);

#endif
