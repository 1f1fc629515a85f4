/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_CFGSTRING_H
#define THINMIRROR_CFGSTRING_H

/* What targetcli hands over for a LUN: thin/ABSOLUTE/PATH[;option=value]...
 *   ro         the volume is served write protected
 *   threshold=N  initiators are told when N percent of the file system are used, 1 to 99
 *   threads=N  at most N commands of this LUN wait for the disk at the same time, 1 to
 *              CFGSTRING_MAX_THREADS
 *   copy=GROUP EXTENDED COPY may copy between this LUN and others of the same group
 *   track      a change record of the volume is kept (docs/change-record.md), and begun if there is
 *              none; track=no: there is none, and one that is there is removed
 * tcmu-runner's own option tcmur_cmd_time_out=N is refused: its timer looks at commands that this
 * handler has completed, and freed, long since.
 * Pure; fuzzed. */

#include <stdbool.h>

#include "errmsg.h"

#define CFGSTRING_SUBTYPE         "thin"
#define CFGSTRING_MAX_BYTES       255 /* what the kernel keeps */
#define CFGSTRING_MAX_THREADS     8
#define CFGSTRING_MAX_GROUP_BYTES 32

#define CFGSTRING_RUNNER_TIMEOUT  "tcmur_cmd_time_out"

enum cfgstring_track {
    CFGSTRING_TRACK_AS_IS, /* a record that is there is kept */
    CFGSTRING_TRACK,
    CFGSTRING_TRACK_NO,
};

struct cfgstring {
    char path[CFGSTRING_MAX_BYTES + 1];
    bool read_only;
    char copy_group[CFGSTRING_MAX_GROUP_BYTES + 1]; /* "": of no group */
    int threshold_percent;                          /* 0: none */
    enum cfgstring_track track;
    int threads; /* CFGSTRING_MAX_THREADS unless the option says less */
};

/* -EINVAL (-ENAMETOOLONG when too long) with a sentence that names what is wrong and what to
 * write instead. */
int cfgstring_parse(const char *text, struct cfgstring *ret, struct errmsg *err);

#endif
