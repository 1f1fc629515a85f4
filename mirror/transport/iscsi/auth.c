/* SPDX-License-Identifier: Apache-2.0 */
#include "auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth_file.h"
#include "cleanup.h"

struct auth_entry {
    char *target; /* the IQN, or AUTH_ANY_TARGET; owns the text the credentials point into */
    struct iscsi_credentials credentials;
    unsigned line; /* of the file; 0: from the environment */
};

#define WHERE_BYTES 320

struct auth_table {
    const char *file; /* NULL: none; the caller's */
    struct auth_entry *entries;
    size_t count;
};

/* So that secrets do not stay in freed memory. */
static void free_secretly(char *text, size_t length)
{
    if (text)
        explicit_bzero(text, length);
    free(text);
}

int iscsi_credentials_copy(const struct iscsi_credentials *from, struct iscsi_credentials **ret)
{
    struct iscsi_credentials *copy;

    *ret = NULL;
    if (!from)
        return 0;
    copy = calloc(1, sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    copy->user = strdup(from->user);
    copy->secret = strdup(from->secret);
    copy->target_user = from->target_user ? strdup(from->target_user) : NULL;
    copy->target_secret = from->target_secret ? strdup(from->target_secret) : NULL;
    copy->optional = from->optional;
    if (!copy->user || !copy->secret || !copy->target_user != !from->target_user ||
        !copy->target_secret != !from->target_secret) {
        iscsi_credentials_free(copy);
        return -ENOMEM;
    }
    *ret = copy;
    return 0;
}

void iscsi_credentials_free(struct iscsi_credentials *copy)
{
    if (!copy)
        return;
    free((char *)copy->user);
    free_secretly((char *)copy->secret, copy->secret ? strlen(copy->secret) : 0);
    free((char *)copy->target_user);
    free_secretly((char *)copy->target_secret,
                  copy->target_secret ? strlen(copy->target_secret) : 0);
    free(copy);
}

void auth_table_free(struct auth_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++) {
        const struct iscsi_credentials *found = &table->entries[i].credentials;
        const char *last = found->target_secret ? found->target_secret : found->secret;
        char *text = table->entries[i].target;

        free_secretly(text, (size_t)(last - text) + strlen(last));
    }
    free(table->entries);
    free(table);
}

/* Takes a copy of 3 or 5 fields. */
static int add_entry(void *opaque, char *const fields[], size_t count, unsigned line)
{
    struct auth_table *table = opaque;
    struct auth_entry *entries, *entry;
    const char *copies[AUTH_FIELDS_MAX] = {NULL};
    size_t bytes = 0;
    char *text, *to;

    entries = reallocarray(table->entries, table->count + 1, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    table->entries = entries;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(fields[i]) + 1;
    text = to = malloc(bytes);
    if (!text)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        copies[i] = to;
        to = stpcpy(to, fields[i]) + 1;
    }
    entry = &table->entries[table->count++];
    entry->target = text;
    entry->line = line;
    entry->credentials =
        (struct iscsi_credentials){copies[1], copies[2], copies[3], copies[4], false};
    return 0;
}

/* The fields of an entry that the environment may have; the first is for every target. */
static const char *const variables[AUTH_FIELDS_MAX] = {
    NULL,
    "THINMIRROR_CHAP_USER",
    "THINMIRROR_CHAP_SECRET",
    "THINMIRROR_CHAP_TARGET_USER",
    "THINMIRROR_CHAP_TARGET_SECRET",
};

static int check_environment(char *const fields[static AUTH_FIELDS_MAX], struct errmsg *err)
{
    for (size_t i = 1; i < AUTH_FIELDS_MAX; i++) {
        /* libiscsi takes an empty name or secret for none, and leaves CHAP out. */
        if (fields[i] && !fields[i][0])
            return errmsg_set(err, -EINVAL, "%s is empty", variables[i]);
        if (fields[i] && strlen(fields[i]) > AUTH_FIELD_BYTES)
            return errmsg_set(err, -EINVAL, "%s is longer than %d bytes", variables[i],
                              AUTH_FIELD_BYTES);
    }
    if (!fields[1] || !fields[2])
        return errmsg_set(err, -EINVAL,
                          "THINMIRROR_CHAP_USER and THINMIRROR_CHAP_SECRET are needed together");
    if (!fields[3] != !fields[4])
        return errmsg_set(err, -EINVAL,
                          "THINMIRROR_CHAP_TARGET_USER and THINMIRROR_CHAP_TARGET_SECRET are "
                          "needed together");
    return 0;
}

/* The environment holds no secret afterwards: neither for what this program runs, nor for
 * /proc/PID/environ. */
static int load_environment(struct auth_table *table, struct errmsg *err)
{
    char *fields[AUTH_FIELDS_MAX] = {AUTH_ANY_TARGET};
    int r = 0;

    for (size_t i = 1; i < AUTH_FIELDS_MAX; i++)
        fields[i] = getenv(variables[i]);
    if (fields[1] || fields[2] || fields[3] || fields[4]) {
        r = check_environment(fields, err);
        if (r == 0 && add_entry(table, fields, fields[3] ? 5 : 3, 0) < 0)
            r = errmsg_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 1; i < AUTH_FIELDS_MAX; i++) {
        if (fields[i])
            explicit_bzero(fields[i], strlen(fields[i]));
        unsetenv(variables[i]);
    }
    return r;
}

/* "line 3 of FILE", or the environment, for messages. */
static const char *where(const struct auth_table *table, unsigned line, char *to, size_t size)
{
    if (line)
        snprintf(to, size, "%s, line %u", table->file, line);
    else
        snprintf(to, size, "the environment (THINMIRROR_CHAP_...)");
    return to;
}

static int compare_users(const void *a, const void *b)
{
    const struct auth_entry *x = *(struct auth_entry *const *)a,
                            *y = *(struct auth_entry *const *)b;
    int order = strcasecmp(x->target, y->target);

    if (order == 0)
        order = strcmp(x->credentials.user, y->credentials.user);
    /* So that the message names the second one. */
    return order ? order : (x > y) - (x < y);
}

/* One of two entries for the same target and user would be left out, and mutual CHAP with it. */
static int check_users(const struct auth_table *table, struct errmsg *err)
{
    CLEANUP_FREE struct auth_entry **list = calloc(table->count + 1, sizeof(struct auth_entry *));
    char first[WHERE_BYTES], second[WHERE_BYTES];

    if (!list)
        return errmsg_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < table->count; i++)
        list[i] = &table->entries[i];
    qsort(list, table->count, sizeof(struct auth_entry *), compare_users);
    for (size_t i = 1; i < table->count; i++)
        if (strcasecmp(list[i - 1]->target, list[i]->target) == 0 &&
            strcmp(list[i - 1]->credentials.user, list[i]->credentials.user) == 0)
            return errmsg_set(err, -EINVAL, "%s: the same target and user as in %s",
                              where(table, list[i]->line, second, sizeof(second)),
                              where(table, list[i - 1]->line, first, sizeof(first)));
    return 0;
}

/* A secret, and who proves with it who he is. */
struct proof {
    const char *secret;
    bool targets;
    unsigned line;
};

static int compare_proofs(const void *a, const void *b)
{
    const struct proof *x = a, *y = b;
    int order = strcmp(x->secret, y->secret);

    return order ? order : (int)x->targets - (int)y->targets;
}

/* A target that does not know a secret could answer our challenge by what we answer to the same
 * challenge in another session (RFC 7143 9.2.1), so none may be used in both directions. */
static int check_secrets(const struct auth_table *table, struct errmsg *err)
{
    CLEANUP_FREE struct proof *list = calloc(2 * table->count + 1, sizeof(struct proof));
    char ours[WHERE_BYTES], theirs[WHERE_BYTES];
    size_t count = 0;

    if (!list)
        return errmsg_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < table->count; i++) {
        const struct auth_entry *entry = &table->entries[i];

        list[count++] = (struct proof){entry->credentials.secret, false, entry->line};
        if (entry->credentials.target_secret)
            list[count++] = (struct proof){entry->credentials.target_secret, true, entry->line};
    }
    qsort(list, count, sizeof(struct proof), compare_proofs);
    for (size_t i = 1; i < count; i++)
        if (strcmp(list[i - 1].secret, list[i].secret) == 0 &&
            list[i - 1].targets != list[i].targets)
            return errmsg_set(err, -EINVAL,
                              "%s: the secret of the target is the secret of a user in %s, so that "
                              "another target could give back our own answer; they have to differ",
                              where(table, list[i].line, theirs, sizeof(theirs)),
                              where(table, list[i - 1].line, ours, sizeof(ours)));
    return 0;
}

int auth_table_load(const char *path, struct auth_table **ret, struct errmsg *err)
{
    struct auth_table *table = calloc(1, sizeof(*table));
    int r;

    if (!table)
        return errmsg_set(err, -ENOMEM, "out of memory");
    table->file = path;
    r = path ? auth_file_read(path, add_entry, table, err) : 0;
    if (r == 0)
        r = load_environment(table, err);
    if (r == 0)
        r = check_users(table, err);
    if (r == 0)
        r = check_secrets(table, err);
    if (r < 0) {
        auth_table_free(table);
        return r;
    }
    *ret = table;
    return 0;
}

void auth_table_make_optional(struct auth_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        table->entries[i].credentials.optional = true;
}

const char *auth_table_file(const struct auth_table *table)
{
    return table ? table->file : NULL;
}

static const struct iscsi_credentials *find(const struct auth_table *table, const char *target,
                                            const char *user)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct auth_entry *entry = &table->entries[i];

        if (strcasecmp(entry->target, target) == 0 &&
            (!user || strcmp(entry->credentials.user, user) == 0))
            return &entry->credentials;
    }
    return NULL;
}

const struct iscsi_credentials *auth_table_find(const struct auth_table *table, const char *iqn,
                                                const char *user)
{
    const struct iscsi_credentials *exact;

    if (!table)
        return NULL;
    exact = find(table, iqn, user);
    return exact ? exact : find(table, AUTH_ANY_TARGET, user);
}
