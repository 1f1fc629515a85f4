/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LEDGER_LIST_H
#define THINMIRROR_LEDGER_LIST_H

/* The ledgers that there are, to be looked at and to be forgotten. */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "errmsg.h"
#include "ledger.h"

struct ledger_item {
    char path[PATH_MAX];    /* of the ledger */
    char pointer[PATH_MAX]; /* the file in the default place that points to path; empty: none */
    bool known;             /* ledger is filled: who the sides are, and the pair */
    bool counts;            /* a sync goes by it */
    struct ledger ledger;   /* where it does not count the ledger or the pointer, as it was read */
    struct errmsg why;      /* why it does not count */
};

/* Zero-initialise; ledger_list_free. */
struct ledger_list {
    char folder[PATH_MAX]; /* the default one */
    struct ledger_item *items;
    size_t count;
};

/* Reads the default folder, in the order of the files' names, and follows its pointers. What is
 * there and is no ledger is an item that is not known. A folder that is missing has none. -errno
 * with a sentence. */
int ledger_list_read(struct ledger_list *list, struct errmsg *err);

/* The item of the file at path: the one of the list where it is that ledger or the pointer to it,
 * otherwise a new one at the end. Valid until the next call. -EBADE with a sentence: the file is
 * not there, or no ledger; -errno. */
int ledger_list_find_file(struct ledger_list *list, const char *path,
                          const struct ledger_item **ret, struct errmsg *err);

/* Removes the ledger and what points to it, so that what is left in between says less, never more:
 * first the ledger. Where it does not count, only the file in the default place. removed is told
 * of each file. -errno with a sentence. */
int ledger_item_remove(const struct ledger_item *item,
                       void (*removed)(void *opaque, const char *path), void *opaque,
                       struct errmsg *err);

/* How much of the primary is on the secondary, as the ledger has it, in bytes. */
uint64_t ledger_done_bytes(const struct ledger *ledger);

/* For CLEANUP(ledger_list_free) too. */
void ledger_list_free(struct ledger_list *list);

#endif
