/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

#define ROOT_FOLDER "/var/lib/thinmirror"
#define MOST_LINKS  40 /* as Linux follows */

int ledger_default_path(const char *identity, char ret[static PATH_MAX], struct errmsg *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char name[LEDGER_FILE_BYTES];
    int length;

    ledger_file_name(identity, name);
    if (state && state[0] == '/')
        length = snprintf(ret, PATH_MAX, "%s/thinmirror/%s", state, name);
    else if (geteuid() == 0)
        length = snprintf(ret, PATH_MAX, ROOT_FOLDER "/%s", name);
    else if (home && home[0] == '/')
        length = snprintf(ret, PATH_MAX, "%s/.local/state/thinmirror/%s", home, name);
    else
        return errmsg_set(err, -ENOENT,
                          "there is no place for the ledger: neither XDG_STATE_HOME nor HOME is "
                          "set; --ledger=FILE names one");
    if (length >= PATH_MAX)
        return errmsg_set(err, -ENAMETOOLONG,
                          "the path of the ledger is too long; --ledger=FILE "
                          "names a shorter one");
    return 0;
}

static int read_whole(int fd, char *to, size_t size, size_t *ret_length)
{
    size_t used = 0;

    while (used < size) {
        ssize_t r = read(fd, to + used, size - used);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0)
            break;
        used += (size_t)r;
    }
    *ret_length = used;
    return 0;
}

int ledger_file_read(const char *path, struct ledger *ret, struct errmsg *err)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CLEANUP_FREE char *text = malloc(LEDGER_MAX_BYTES + 1);
    size_t length = 0;
    int r;

    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    r = fd < 0 ? -errno : text ? read_whole(fd, text, LEDGER_MAX_BYTES + 1, &length) : -ENOMEM;
    if (r < 0)
        return errmsg_set(err, r == -ENOENT ? -EIO : r, "cannot read the ledger %s: %s", path,
                          strerror(-r));
    r = ledger_decode(text, length, ret);
    if (r < 0)
        return errmsg_set(err, r, "%s is not a ledger of thinmirror, or a damaged one", path);
    return 0;
}

/* Makes the folders that path lies in. */
static int make_parents(const char *path)
{
    char copy[PATH_MAX];

    if (strlen(path) >= sizeof(copy))
        return -ENAMETOOLONG;
    strcpy(copy, path);
    for (char *at = strchr(copy + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    return 0;
}

static int write_whole(int fd, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        ssize_t r = write(fd, text, left);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        text += r;
        left -= (size_t)r;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int sync_folder_of(const char *path)
{
    char copy[PATH_MAX];
    CLEANUP_CLOSE int fd = -1;

    strcpy(copy, path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

/* Where a symbolic link leads, though nothing may be there yet: the link is to stay. */
static int follow_links(const char *path, char to[PATH_MAX])
{
    if (snprintf(to, PATH_MAX, "%s", path) >= PATH_MAX)
        return -ENAMETOOLONG;
    for (int i = 0; i < MOST_LINKS; i++) {
        char link[PATH_MAX], folder[PATH_MAX];
        ssize_t length = readlink(to, link, sizeof(link) - 1);

        if (length < 0)
            return errno == EINVAL || errno == ENOENT ? 0 : -errno;
        link[length] = '\0';
        strcpy(folder, to);
        if (snprintf(to, PATH_MAX, "%s%s%s", link[0] == '/' ? "" : dirname(folder),
                     link[0] == '/' ? "" : "/", link) >= PATH_MAX)
            return -ENAMETOOLONG;
    }
    return -ELOOP;
}

static int replace(const char *path, const char *text)
{
    char temporary[PATH_MAX];
    CLEANUP_CLOSE int fd = -1;
    int r;

    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
        return -ENAMETOOLONG;
    /* Always the same name, so that a killed run leaves one such file at most. */
    if (unlink(temporary) < 0 && errno != ENOENT)
        return -errno;
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = write_whole(fd, text);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(temporary);
        return r;
    }
    return sync_folder_of(path);
}

int ledger_file_write(const char *path, const struct ledger *ledger, bool make_folders,
                      struct errmsg *err)
{
    CLEANUP_FREE char *text = NULL;
    char real[PATH_MAX];
    int r = make_folders ? make_parents(path) : 0;

    if (r == 0)
        r = follow_links(path, real);
    if (r == 0)
        r = ledger_encode(ledger, &text);
    if (r == 0)
        r = replace(real, text);
    return r < 0 ? errmsg_set(err, r, "cannot write the ledger %s: %s", path, strerror(-r)) : 0;
}
