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
 *    "tables": "0123456789abcdef", "done": "0+4096 8192+16",
 *    "checksum": "0123456789abcdef"}
 *
 * Times are seconds since 1970 UTC. tables is a digest of the primary's tables of contents as they
 * were when the copy was begun; empty or missing when the source map is not made of them. done
 * lists the ranges, LBA and blocks, that read on the secondary as they do on the primary and were
 * flushed. The checksum is the ledger_hash of all text before it, up to the end of the line above.
 * Pure: no file is touched here. */

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

enum ledger_state {
    LEDGER_COPYING,  /* a copy was begun; the secondary holds a part of it */
    LEDGER_COMPLETE, /* the secondary was flushed after the last block */
};

struct ledger_side {
    char identity[LEDGER_IDENTITY_BYTES];
    char name[LEDGER_NAME_BYTES]; /* as the user gave it then; only for messages */
    uint64_t blocks;
    uint32_t block_size;
};

struct ledger {
    enum ledger_state state;
    struct ledger_side primary;
    struct ledger_side secondary;
    char source_map[16];
    char tables[LEDGER_TABLES_BYTES];
    int64_t started;
    int64_t completed; /* 0 while copying */
    struct range_set done;
};

/* The JSON text, newline included, in *ret (free it). -ENOMEM. */
int ledger_encode(const struct ledger *ledger, char **ret);

/* Fills ret, which ledger_free empties. -EINVAL when the text is no whole ledger of this version:
 * another checksum, no JSON, a member missing, of another type, too long or out of range. Members
 * that are not known are ignored. */
int ledger_decode(const char *text, size_t length, struct ledger *ret);

/* For CLEANUP(ledger_free) too. */
void ledger_free(struct ledger *ledger);

/* True when the ledger is about this very side: same non-empty identity, block size and length. */
bool ledger_side_matches(const struct ledger_side *known, const struct ledger_side *now);

/* FNV-1a, 64 bits. */
uint64_t ledger_hash(const char *text);

/* A file name (no directory) that differs for every identity: letters, digits, '.' and '-' stand
 * for themselves, the rest is %XX; what is too long is cut and ends in a hash of the whole. */
void ledger_file_name(const char *identity, char ret[static LEDGER_FILE_BYTES]);

#endif
