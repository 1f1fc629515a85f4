/* SPDX-License-Identifier: Apache-2.0 */
#include "auth_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "shell_word.h"
#include "target_url.h"

#define MAX_BYTES (1 << 20)
#define BLANKS    " \t\r"

/* Where a line stands, for messages. */
struct place {
    const char *path;
    unsigned line;
};

/* Splits text in place at white space; more than AUTH_FIELDS_MAX counts as one more than that. */
static size_t split(char *text, char *fields[static AUTH_FIELDS_MAX])
{
    size_t count = 0;
    char *rest = NULL;

    for (char *field = strtok_r(text, BLANKS, &rest); field;
         field = strtok_r(NULL, BLANKS, &rest)) {
        if (count == AUTH_FIELDS_MAX)
            return AUTH_FIELDS_MAX + 1;
        fields[count++] = field;
    }
    return count;
}

/* RFC 7143 4.2.7: the types of iSCSI names. */
static bool is_target(const char *field)
{
    return strcmp(field, AUTH_ANY_TARGET) == 0 ||
           (strlen(field) < ISCSI_NAME_BYTES &&
            (strncasecmp(field, "iqn.", 4) == 0 || strncasecmp(field, "eui.", 4) == 0 ||
             strncasecmp(field, "naa.", 4) == 0));
}

static int check_fields(char *const fields[], size_t count, const struct place *at,
                        struct errmsg *err)
{
    bool comment = false;

    for (size_t i = 0; i < count && i < AUTH_FIELDS_MAX; i++)
        comment |= fields[i][0] == '#';
    if (count != 3 && count != 5)
        return errmsg_set(err, -EINVAL,
                          "%s, line %u: a line is TARGET-IQN|* USER SECRET [TARGET-USER "
                          "TARGET-SECRET], this one has %s%zu fields%s",
                          at->path, at->line, count > AUTH_FIELDS_MAX ? "more than " : "",
                          count > AUTH_FIELDS_MAX ? (size_t)AUTH_FIELDS_MAX : count,
                          comment ? "; a comment needs a line of its own" : "");
    if (!is_target(fields[0]))
        return errmsg_set(err, -EINVAL,
                          "%s, line %u: a line begins with the name of a target (iqn., eui. or "
                          "naa., at most %d bytes), or * for every target",
                          at->path, at->line, ISCSI_NAME_BYTES - 1);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(fields[i], "#") == 0)
            return errmsg_set(err, -EINVAL, "%s, line %u: a comment needs a line of its own",
                              at->path, at->line);
        if (strlen(fields[i]) > AUTH_FIELD_BYTES)
            return errmsg_set(err, -EINVAL, "%s, line %u: field %zu is longer than %d bytes",
                              at->path, at->line, i + 1, AUTH_FIELD_BYTES);
    }
    return 0;
}

/* A byte that no text has would be lost, or be a part of a secret that cannot be seen. */
static int check_text(const char *line, size_t length, const struct place *at, struct errmsg *err)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)line[i];

        if ((byte < ' ' && byte != '\t' && byte != '\r') || byte == 0x7F)
            return errmsg_set(err, -EINVAL, "%s, line %u: a %s: this is no text", at->path,
                              at->line, byte == 0 ? "zero byte" : "control character");
    }
    return 0;
}

/* line ends in a zero byte behind its length. */
static int take_line(char *line, size_t length, const struct place *at, auth_line_fn *take,
                     void *opaque, struct errmsg *err)
{
    char *fields[AUTH_FIELDS_MAX];
    const char *begin;
    size_t count;
    int r = check_text(line, length, at, err);

    if (r < 0)
        return r;
    begin = line + strspn(line, BLANKS);
    if (*begin == '\0' || *begin == '#')
        return 0;
    count = split(line, fields);
    r = check_fields(fields, count, at, err);
    if (r < 0)
        return r;
    r = take(opaque, fields, count, at->line);
    return r < 0 ? errmsg_set(err, r, "%s: out of memory", at->path) : 0;
}

/* text: length bytes, and one more to write to. */
static int take_lines(char *text, size_t length, const char *path, auth_line_fn *take, void *opaque,
                      struct errmsg *err)
{
    struct place at = {path, 0};
    int r = 0;

    while (r == 0 && length > 0) {
        char *end = memchr(text, '\n', length);
        size_t line = end ? (size_t)(end - text) : length;

        at.line++;
        text[line] = '\0';
        r = take_line(text, line, &at, take, opaque, err);
        length -= end ? line + 1 : line;
        text += line + 1;
    }
    return r;
}

static int check_access(const struct stat *st, const char *path, struct errmsg *err)
{
    char word[SHELL_WORD_BYTES];

    if (st->st_uid != geteuid() && st->st_uid != 0)
        return errmsg_set(err, -EPERM,
                          "%s: holds secrets, but belongs to another user (UID %u), who can change "
                          "them: chown %u %s",
                          path, st->st_uid, geteuid(), shell_word(path, word, sizeof(word)));
    if (st->st_mode & (S_IRWXG | S_IRWXO))
        return errmsg_set(err, -EPERM,
                          "%s: holds secrets, but others have access to it: chmod 600 %s", path,
                          shell_word(path, word, sizeof(word)));
    return 0;
}

static int open_file(const char *path, int *ret_fd, struct errmsg *err)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    int r;

    if (fd < 0)
        return errmsg_set(err, errno == EPERM ? -EACCES : -errno, "--auth-file=%s: %s", path,
                          strerror(errno));
    if (fstat(fd, &st) < 0)
        return errmsg_set(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return errmsg_set(err, -EINVAL, "--auth-file=%s: no regular file", path);
    if (st.st_size > MAX_BYTES)
        return errmsg_set(err, -EFBIG, "%s: too large for a file of secrets (more than 1 MiB)",
                          path);
    r = check_access(&st, path, err);
    if (r < 0)
        return r;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Up to size bytes; how many, or -errno. */
static ssize_t read_all(int fd, char *to, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t length = read(fd, to + done, size - done);

        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            return -errno;
        if (length == 0)
            break;
        done += (size_t)length;
    }
    return (ssize_t)done;
}

/* By read, as stdio would keep a copy in a buffer of its own. */
int auth_file_read(const char *path, auth_line_fn *take, void *opaque, struct errmsg *err)
{
    const size_t size = MAX_BYTES + 1;
    CLEANUP_CLOSE int fd = -1;
    char *text;
    ssize_t length;
    int r = open_file(path, &fd, err);

    if (r < 0)
        return r;
    text = malloc(size + 1);
    if (!text)
        return errmsg_set(err, -ENOMEM, "%s: out of memory", path);
    length = read_all(fd, text, size);
    if (length < 0)
        r = errmsg_set(err, -EIO, "%s: it cannot be read to its end", path);
    else if (length > MAX_BYTES)
        r = errmsg_set(err, -EFBIG, "%s: too large for a file of secrets (more than 1 MiB)", path);
    else
        r = take_lines(text, (size_t)length, path, take, opaque, err);
    explicit_bzero(text, size + 1);
    free(text);
    return r;
}
