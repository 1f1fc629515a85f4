/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger_list.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "ledger_file.h"

#define SUFFIX ".json"

/* Not counted in the list before it is filled. NULL: no memory. */
static struct ledger_item *next_item(struct ledger_list *list)
{
    struct ledger_item *items = reallocarray(list->items, list->count + 1, sizeof(*items));

    if (!items)
        return NULL;
    list->items = items;
    memset(&items[list->count], 0, sizeof(*items));
    return &items[list->count];
}

static int no_memory(struct errmsg *err)
{
    return errmsg_set(err, -ENOMEM, "cannot list the ledgers: out of memory");
}

/* The item holds a pointer: it becomes one of the ledger that is meant. */
static void follow(struct ledger_item *item)
{
    CLEANUP(ledger_free) struct ledger there = {0};
    const struct ledger *pointer = &item->ledger;
    struct errmsg why = {"the file is not there"};
    int r = ledger_file_read(pointer->elsewhere, &there, &why);

    memcpy(item->pointer, item->path, sizeof(item->pointer));
    memcpy(item->path, pointer->elsewhere, sizeof(pointer->elsewhere));
    item->counts = r == 0 && strcmp(there.secondary.identity, pointer->secondary.identity) == 0 &&
                   ledger_is_meant(pointer, &there);
    if (item->counts) {
        ledger_free(&item->ledger);
        item->ledger = there;
        there.done = (struct range_set){0};
    } else {
        item->why = why;
        if (r == 0)
            errmsg_set(&item->why, 0, "it is out of date");
    }
}

/* A sync looks for the ledger of a secondary by that one's identity only. */
static bool is_in_its_place(const struct ledger_item *item, const char *name)
{
    char expected[LEDGER_FILE_BYTES];

    ledger_file_name(item->ledger.secondary.identity, expected);
    return strcmp(name, expected) == 0;
}

/* 1: it has gone meanwhile. */
static int read_item(struct ledger_item *item, const char *folder, const char *name)
{
    int r;

    if (snprintf(item->path, sizeof(item->path), "%s/%s", folder, name) >= PATH_MAX)
        return 1;
    r = ledger_file_read(item->path, &item->ledger, &item->why);
    if (r == -ENOENT)
        return 1;
    item->known = r == 0;
    item->counts = item->known && is_in_its_place(item, name);
    if (item->known && !item->counts)
        errmsg_set(&item->why, 0, "it is not in the file where it would be looked for");
    else if (item->known && item->ledger.state == LEDGER_ELSEWHERE)
        follow(item);
    return r == -ENOMEM ? r : 0;
}

static int is_ledger_name(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return entry->d_name[0] != '.' && length > strlen(SUFFIX) &&
           strcmp(entry->d_name + length - strlen(SUFFIX), SUFFIX) == 0;
}

int ledger_list_read(struct ledger_list *list, struct errmsg *err)
{
    struct dirent **names = NULL;
    int count, r = ledger_default_folder(list->folder, err);

    if (r < 0)
        return r;
    count = scandir(list->folder, &names, is_ledger_name, alphasort);
    if (count < 0 && errno != ENOENT && errno != ENOTDIR)
        return errmsg_set(err, -errno, "cannot list the ledgers in %s: %s", list->folder,
                          strerror(errno));
    for (int i = 0; i < count && r >= 0; i++) {
        struct ledger_item *item = next_item(list);

        r = item ? read_item(item, list->folder, names[i]->d_name) : -ENOMEM;
        list->count += r == 0;
    }
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return r < 0 ? no_memory(err) : 0;
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A ledger that the default place knows nothing of. */
static int add_stray(struct ledger_list *list, const char *path, const struct ledger_item **ret,
                     struct errmsg *err)
{
    struct ledger_item *item = next_item(list);
    int r;

    if (!item)
        return no_memory(err);
    r = ledger_file_absolute(path, item->path);
    if (r == 0)
        r = ledger_file_read(path, &item->ledger, err);
    if (r == -EINVAL)
        return errmsg_set(err, -EBADE,
                          "%s is not a ledger of thinmirror, or a damaged one: look "
                          "at it, and remove it by rm",
                          path);
    if (r == -ENOENT || r == -ENOTDIR)
        return errmsg_set(err, -EBADE,
                          "there is no ledger %s; thinmirror ledgers lists those "
                          "that there are",
                          path);
    if (r < 0)
        return r;
    item->known = true;
    errmsg_set(&item->why, 0, "the default place does not point to it");
    list->count++;
    *ret = item;
    return 0;
}

int ledger_list_find_file(struct ledger_list *list, const char *path,
                          const struct ledger_item **ret, struct errmsg *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct ledger_item *item = &list->items[i];

        if (item->known && (is_same_file(item->path, path) ||
                            (item->pointer[0] && is_same_file(item->pointer, path)))) {
            *ret = item;
            return 0;
        }
    }
    return add_stray(list, path, ret, err);
}

int ledger_item_remove(const struct ledger_item *item,
                       void (*removed)(void *opaque, const char *path), void *opaque,
                       struct errmsg *err)
{
    int r = 0;

    /* What a pointer leads to and is not meant may be any file. */
    if (item->counts || !item->pointer[0]) {
        r = ledger_file_remove(item->path, err);
        if (r < 0)
            return r;
        removed(opaque, item->path);
    }
    if (!item->pointer[0])
        return 0;
    r = ledger_file_remove(item->pointer, err);
    if (r == 0)
        removed(opaque, item->pointer);
    return r;
}

uint64_t ledger_done_bytes(const struct ledger *ledger)
{
    uint64_t blocks =
                 ledger->state == LEDGER_COMPLETE ? ledger->primary.blocks : ledger->done.total,
             bytes;

    return __builtin_mul_overflow(blocks, ledger->primary.block_size, &bytes) ? UINT64_MAX : bytes;
}

void ledger_list_free(struct ledger_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        ledger_free(&list->items[i].ledger);
    free(list->items);
    *list = (struct ledger_list){0};
}
