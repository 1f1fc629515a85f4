/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LVM_TEXT_H
#define THINMIRROR_LVM_TEXT_H

/* The text in which LVM2 keeps its metadata: sections in braces, and assignments of numbers,
 * strings in quotes and lists of both in brackets. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lvm_kind { LVM_SECTION, LVM_NUMBER, LVM_STRING, LVM_LIST };

struct lvm_node {
    enum lvm_kind kind;
    const char *name; /* NUL-terminated, as text; "" in a list */
    const char *string;
    uint64_t number;
    const struct lvm_node *first; /* of a section or list */
    const struct lvm_node *next;
};

struct lvm_text {
    char *text; /* what the nodes point into */
    struct lvm_node *nodes;
    size_t count;
    const struct lvm_node *root; /* a section */
};

/* Takes a copy of the text. -EINVAL when it is not such a text, -E2BIG when it has too many parts
 * or is nested too deeply, -ENOMEM. ret is given back with lvm_text_free, also after a failure. */
int lvm_text_parse(const char *text, size_t length, struct lvm_text *ret);
void lvm_text_free(struct lvm_text *text);

/* The member of that name and kind, or NULL; section may be NULL. */
const struct lvm_node *lvm_find(const struct lvm_node *section, const char *name,
                                enum lvm_kind kind);
/* False when there is no such number. */
bool lvm_number(const struct lvm_node *section, const char *name, uint64_t *ret);
/* NULL when there is no such string. */
const char *lvm_string(const struct lvm_node *section, const char *name);

#endif
