/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_OPTIONS_H
#define THINMIRROR_OPTIONS_H

/* The command line. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errmsg.h"

/* Larger values are refused; run/session.c holds them against what they limit. */
#define OPTION_QUEUE_DEPTH_MAX 1024
#define OPTION_SESSIONS_MAX    16

enum command {
    COMMAND_SYNC,
    COMMAND_MAP,
    COMMAND_VERIFY,
    COMMAND_PROBE,
    COMMAND_LEDGERS,
    COMMAND_FORGET,
    COMMAND_NONE,
};

enum progress_mode { PROGRESS_AUTO, PROGRESS_BAR, PROGRESS_JSON, PROGRESS_NONE };

/* How map shows what it found. */
enum map_format { FORMAT_LIST, FORMAT_TEXT, FORMAT_JSON, FORMAT_SVG };

/* Where the primary's map comes from. */
enum source_choice {
    /* LBA status when the primary is thin and answers, else its tables of contents where they are
     * understood, else everything */
    SOURCE_BEST,
    SOURCE_LBA_STATUS,
    SOURCE_BITMAP,
    SOURCE_ANALYSE,
    SOURCE_BOTH, /* what is mapped and allocated */
    SOURCE_FULL,
};

#define OPTIONS_PAIR_MAX      64   /* characters */
#define OPTIONS_CHECKPOINT_MS 5000 /* without --checkpoint */

struct options {
    enum command command;
    bool help;            /* print options_help(command) and end */
    bool version;         /* print the version and end */
    bool quiet;           /* say nothing but errors, and what was asked for */
    bool verbose;         /* say what was found out on the way, too */
    const char *names[2]; /* the endpoints, in order; of forget also one, a ledger */
    size_t name_count;
    bool dry_run;
    bool json;
    bool overwrite;
    bool resume;
    bool reserve;
    bool detect_zeroes;
    uint64_t skip_bad;  /* blocks */
    bool verify;        /* both sides are compared at the end */
    bool verify_inline; /* what is written is read back at once */
    bool trust_maps;    /* what both sides call unmapped is not compared */
    bool skip_gaps;     /* what lies between partitions is free */
    bool vtoc_lstar;    /* a DASD's data sets end at the last track that was written */
    bool keep_free;     /* what the tables call free is left alone */
    bool allocated;     /* compare only what is mapped on the primary */
    enum progress_mode progress;
    enum source_choice source;
    enum map_format format; /* never FORMAT_LIST with two LUNs; FORMAT_JSON with json */
    bool format_given;
    bool raw;               /* files are raw, whatever they look like */
    unsigned queue_depth;   /* 0: the default */
    unsigned sessions;      /* with each iSCSI target; 0: one */
    uint64_t rate_bytes;    /* per second; 0: no limit */
    const char *rate_file;  /* holds the rate, looked at again and again; or NULL */
    unsigned checkpoint_ms; /* the least time between two notes of what is done */
    const char *ledger;
    const char *pair; /* the name of the two that are copied; NULL: none */
    const char *auth_file;
    bool chap_optional; /* targets that want none are let be, whatever secrets there are for them */
};

/* Strings stay argv's. -EINVAL with a sentence. */
int options_parse(int argc, char *const argv[], struct options *ret, struct errmsg *err);

/* The number in the file of --rate=@FILE, 0 for no limit. -errno, -EINVAL when it holds none. */
int options_read_rate(const char *path, uint64_t *ret_bytes);

/* What --help prints. */
const char *options_help(enum command command);

/* "sync", "map", ...; NULL for COMMAND_NONE. */
const char *options_command_name(enum command command);

#endif
