/* SPDX-License-Identifier: Apache-2.0 */
#include "auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "shell_word.h"

#define MAX_FIELDS 5
#define ANY_TARGET "*"
#define MAX_BYTES  (1 << 20)

struct auth_entry {
    char *target; /* the IQN, or ANY_TARGET; owns the text the credentials point into */
    struct iscsi_credentials credentials;
};

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

/* Splits text in place at white space, up to a #; more than MAX_FIELDS counts as MAX_FIELDS + 1. */
static size_t split(char *text, char *fields[static MAX_FIELDS])
{
    size_t count = 0;
    char *rest = NULL;

    for (char *field = strtok_r(text, " \t\r\n", &rest); field && field[0] != '#';
         field = strtok_r(NULL, " \t\r\n", &rest)) {
        if (count == MAX_FIELDS)
            return MAX_FIELDS + 1;
        fields[count++] = field;
    }
    return count;
}

/* Takes a copy of 3 or 5 fields. */
static int add_entry(struct auth_table *table, char *const fields[], size_t count)
{
    struct auth_entry *entries, *entry;
    const char *copies[MAX_FIELDS] = {NULL};
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
    entry->credentials = (struct iscsi_credentials){copies[1], copies[2], copies[3], copies[4]};
    return 0;
}

static int load_line(struct auth_table *table, char *line, size_t length, const char *path,
                     unsigned number, struct errmsg *err)
{
    char *fields[MAX_FIELDS];
    size_t count;
    int r;

    /* The rest of the line would be lost, be it of a secret. */
    if (memchr(line, '\0', length))
        return errmsg_set(err, -EINVAL, "%s, line %u: a zero byte: this is no text", path, number);
    count = split(line, fields);
    if (count == 0)
        return 0;
    if (count != 3 && count != 5)
        return errmsg_set(err, -EINVAL,
                          "%s, line %u: a line is TARGET-IQN|* USER SECRET [TARGET-USER "
                          "TARGET-SECRET], this one has %s%zu fields",
                          path, number, count > MAX_FIELDS ? "more than " : "",
                          count > MAX_FIELDS ? (size_t)MAX_FIELDS : count);
    r = add_entry(table, fields, count);
    return r < 0 ? errmsg_set(err, r, "%s: out of memory", path) : 0;
}

static int check_file(int fd, const char *path, struct errmsg *err)
{
    char word[SHELL_WORD_BYTES];
    struct stat st;

    if (fstat(fd, &st) < 0)
        return errmsg_set(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return errmsg_set(err, -EINVAL, "--auth-file=%s: no regular file", path);
    if (st.st_size > MAX_BYTES)
        return errmsg_set(err, -EFBIG, "%s: too large for a file of secrets (more than 1 MiB)",
                          path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return errmsg_set(err, -EPERM,
                          "%s: holds secrets, but others have access to it: chmod 600 %s", path,
                          shell_word(path, word, sizeof(word)));
    return 0;
}

static int load_file(struct auth_table *table, const char *path, struct errmsg *err)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CLEANUP_FCLOSE FILE *file = NULL;
    char *line = NULL;
    size_t size = 0;
    unsigned number = 0;
    ssize_t length;
    int r;

    if (fd < 0)
        return errmsg_set(err, errno == EPERM ? -EACCES : -errno, "--auth-file=%s: %s", path,
                          strerror(errno));
    r = check_file(fd, path, err);
    if (r < 0)
        return r;
    file = fdopen(fd, "r");
    if (!file)
        return errmsg_set(err, -errno, "%s: %s", path, strerror(errno));
    fd = -1;
    while (r == 0 && (length = getline(&line, &size, file)) >= 0)
        r = load_line(table, line, (size_t)length, path, ++number, err);
    if (r == 0 && ferror(file))
        r = errmsg_set(err, -EIO, "%s: it cannot be read to its end", path);
    free_secretly(line, size);
    return r;
}

static int load_environment(struct auth_table *table, struct errmsg *err)
{
    char *fields[MAX_FIELDS] = {
        ANY_TARGET,
        getenv("THINMIRROR_CHAP_USER"),
        getenv("THINMIRROR_CHAP_SECRET"),
        getenv("THINMIRROR_CHAP_TARGET_USER"),
        getenv("THINMIRROR_CHAP_TARGET_SECRET"),
    };

    if (!fields[1] && !fields[2] && !fields[3] && !fields[4])
        return 0;
    if (!fields[1] || !fields[2])
        return errmsg_set(err, -EINVAL,
                          "THINMIRROR_CHAP_USER and THINMIRROR_CHAP_SECRET are needed together");
    if (!fields[3] != !fields[4])
        return errmsg_set(err, -EINVAL,
                          "THINMIRROR_CHAP_TARGET_USER and THINMIRROR_CHAP_TARGET_SECRET are "
                          "needed together");
    return add_entry(table, fields, fields[3] ? 5 : 3);
}

int auth_table_load(const char *path, struct auth_table **ret, struct errmsg *err)
{
    struct auth_table *table = calloc(1, sizeof(*table));
    int r;

    if (!table)
        return errmsg_set(err, -ENOMEM, "out of memory");
    table->file = path;
    /* The file comes first, so that of two entries that fit alike it wins. */
    r = path ? load_file(table, path, err) : 0;
    if (r == 0)
        r = load_environment(table, err);
    if (r < 0) {
        auth_table_free(table);
        return r;
    }
    *ret = table;
    return 0;
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
    return exact ? exact : find(table, ANY_TARGET, user);
}
