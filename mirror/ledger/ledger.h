/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LEDGER_H
#define THINMIRROR_LEDGER_H

/* The ledger: what was last copied to a secondary, and from where. It lets a later run tell data
 * that an earlier run put there from data that is somebody else's, and go on where that run was
 * interrupted. One JSON object:
 *
 *   {"thinmirror_ledger": 2, "state": "copying",
 *    "primary":   {"identity": "naa.6...", "name": "...", "blocks": 8, "block_size": 512},
 *    "secondary": {...}, "source_map": "lba-status", "started": 1700000000, "completed": 0,
 *    "copy": "0123...", "replaces": "4567...", "pointed_to": true, "pair": "db1",
 *    "tables": "0123456789abcdef", "done": "0+4096 8192+16",
 *    "left": {"seed": 1, "blocks": 8, "changed": 0, "map": "0123...", "spots": "4567..."},
 *    "checksum": "0123456789abcdef"}
 *
 * Times are seconds since 1970 UTC. tables is a digest of the primary's tables of contents as they
 * were when the copy was begun; empty or missing when the source map is not made of them. done
 * lists the ranges, LBA and blocks, that read on the secondary as they do on the primary and were
 * flushed. left is how the secondary was left. The checksum is the ledger_hash of all text before
 * it, up to the end of the line above.
 *
 * The last word on a secondary is in one place. A ledger in a file that the user named counts only
 * as long as the default place points to it: there is a ledger of state "elsewhere" then, with the
 * path of that file and the same number in copy, which is a new one at each beginning and at the
 * end of a copy. A ledger whose replaces has the number of the pointer counts too: it was written,
 * and the pointer was not any more. Members that are not known are ignored; those from copy to
 * left may be missing. Pure: no file is touched here. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "range_set.h"

#define LEDGER_MAX_BYTES (1 << 20)
/* The first ones of more are written, and the rest done again: some 30 KiB a checkpoint. Those far
 * behind where the copy has got to are free on both sides, and looking at them again costs little.
 */
#define LEDGER_RANGES_MAX     1024
#define LEDGER_IDENTITY_BYTES 320
#define LEDGER_NAME_BYTES     2048
#define LEDGER_FILE_BYTES     256
#define LEDGER_TABLES_BYTES   17
#define LEDGER_COPY_BYTES     33 /* 128 bits in hexadecimal */
#define LEDGER_PAIR_BYTES     65
#define LEDGER_PATH_BYTES     4096
#define LEDGER_PARTS          64 /* of a fingerprint */

enum ledger_state {
    LEDGER_COPYING,   /* a copy was begun; the secondary holds a part of it */
    LEDGER_COMPLETE,  /* the secondary was flushed after the last block */
    LEDGER_ELSEWHERE, /* the ledger is the one of the same copy in the file elsewhere */
};

struct ledger_side {
    char identity[LEDGER_IDENTITY_BYTES];
    char name[LEDGER_NAME_BYTES]; /* as the user gave it then; only for messages */
    uint64_t blocks;
    uint32_t block_size;
};

/* How a secondary was left, to tell whether somebody else has written to it since: see
 * fingerprint.h. */
struct ledger_left {
    bool known;
    uint64_t seed;                /* of the spots */
    uint64_t blocks;              /* of the secondary's first blocks, which are of a copy */
    uint64_t changed_ns;          /* endpoint_last_change; 0: not told */
    bool by_map;                  /* the secondary's own map counts, and says where the spots are */
    uint64_t map[LEDGER_PARTS];   /* with by_map: a digest of the map of each part */
    uint64_t spots[LEDGER_PARTS]; /* a digest of what the spots of each part hold */
};

struct ledger {
    enum ledger_state state;
    char copy[LEDGER_COPY_BYTES];
    char replaces[LEDGER_COPY_BYTES];  /* the copy that was the last one before */
    bool pointed_to;                   /* by the default place; it counts only together with that */
    char elsewhere[LEDGER_PATH_BYTES]; /* an absolute path, with LEDGER_ELSEWHERE */
    char pair[LEDGER_PAIR_BYTES];      /* the name of the pair; empty: it has none */
    struct ledger_side primary;
    struct ledger_side secondary;
    char source_map[16];
    char tables[LEDGER_TABLES_BYTES];
    int64_t started;
    int64_t completed; /* 0 while copying */
    struct range_set done;
    struct ledger_left left;
};

/* The JSON text, newline included, in *ret (free it). -ENOMEM. */
int ledger_encode(const struct ledger *ledger, char **ret);

/* Fills ret, which ledger_free empties. -EINVAL when the text is no whole ledger of this version:
 * another checksum, no JSON, a member missing, of another type, too long or out of range. Members
 * that are not known are ignored. */
int ledger_decode(const char *text, size_t length, struct ledger *ret);

/* For CLEANUP(ledger_free) too. */
void ledger_free(struct ledger *ledger);

/* True when the ledger is about this very side, which may have grown since: same non-empty identity
 * and block size, and not fewer blocks. */
bool ledger_side_matches(const struct ledger_side *known, const struct ledger_side *now);

/* The same for a side of which only block size and length have to fit. */
bool ledger_side_fits(const struct ledger_side *known, const struct ledger_side *now);

/* Whether the pointer in the default place is one to this ledger. */
bool ledger_is_meant(const struct ledger *pointer, const struct ledger *ledger);

/* FNV-1a, 64 bits. */
uint64_t ledger_hash(const char *text);

/* A file name (no directory) that differs for every identity: letters, digits, '.' and '-' stand
 * for themselves, the rest is %XX; what is too long is cut and ends in a hash of the whole. */
void ledger_file_name(const char *identity, char ret[static LEDGER_FILE_BYTES]);

#endif
