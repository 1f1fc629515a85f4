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
#include "file_place.h"
#include "replace_file.h"

#define ROOT_FOLDER "/var/lib/thinmirror"

static int too_long(struct errmsg *err)
{
    return errmsg_set(err, -ENAMETOOLONG,
                      "the path of the ledger is too long; --ledger=FILE names a shorter one");
}

int ledger_default_folder(char ret[static PATH_MAX], struct errmsg *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int length;

    if (state && state[0] == '/')
        length = snprintf(ret, PATH_MAX, "%s/thinmirror", state);
    else if (geteuid() == 0)
        length = snprintf(ret, PATH_MAX, ROOT_FOLDER);
    else if (home && home[0] == '/')
        length = snprintf(ret, PATH_MAX, "%s/.local/state/thinmirror", home);
    else
        return errmsg_set(err, -ENOENT,
                          "there is no place for the ledger: neither XDG_STATE_HOME nor HOME is "
                          "set; --ledger=FILE names one");
    return length >= PATH_MAX ? too_long(err) : 0;
}

int ledger_default_path(const char *identity, char ret[static PATH_MAX], struct errmsg *err)
{
    char folder[PATH_MAX], name[LEDGER_FILE_BYTES];
    int r = ledger_default_folder(folder, err);

    if (r < 0)
        return r;
    ledger_file_name(identity, name);
    return snprintf(ret, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX ? too_long(err) : 0;
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
    CLEANUP(file_place_close) struct file_place place = FILE_PLACE_NONE;
    CLEANUP_FREE char *text = malloc(LEDGER_MAX_BYTES + 1);
    CLEANUP_CLOSE int fd = -1;
    struct errmsg why;
    size_t length = 0;
    int r = file_place_open(path, &place, &why);

    if (r == -ENOENT)
        return r;
    if (r < 0)
        return errmsg_set(err, r, "cannot read the ledger %s: %s", path,
                          r == -ELOOP ? why.text : strerror(-r));
    fd = file_place_open_file(&place, O_RDONLY | O_NONBLOCK, 0);
    if (fd == -ENOENT)
        return fd;
    r = fd < 0 ? fd : text ? read_whole(fd, text, LEDGER_MAX_BYTES + 1, &length) : -ENOMEM;
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

int ledger_file_write(const char *path, const struct ledger *ledger, bool make_folders,
                      struct errmsg *err)
{
    static const struct replace_file_terms terms = {.which = REPLACE_FILE_ANY,
                                                    .mode = 0600,
                                                    .max_bytes = LEDGER_MAX_BYTES};
    CLEANUP(file_place_close) struct file_place place = FILE_PLACE_NONE;
    CLEANUP_FREE char *text = NULL;
    struct errmsg why = {""};
    int r = make_folders ? make_parents(path) : 0;

    /* Where a link leads is looked at each time. */
    if (r == 0)
        r = file_place_open(path, &place, &why);
    if (r == 0)
        r = ledger_encode(ledger, &text);
    if (r == 0)
        r = replace_file(&place, text, strlen(text), &terms);
    return r < 0 ? errmsg_set(err, r, "cannot write the ledger %s: %s", path,
                              r == -ELOOP && why.text[0] ? why.text : strerror(-r))
                 : 0;
}

int ledger_file_remove(const char *path, struct errmsg *err)
{
    CLEANUP(file_place_close) struct file_place place = FILE_PLACE_NONE;
    struct errmsg why = {""};
    int r = file_place_open(path, &place, &why);

    if (r == 0 && unlinkat(place.folder, place.name, 0) < 0)
        r = -errno;
    if (r == 0)
        r = file_place_sync(&place);
    /* Where there is no folder there is no ledger. */
    if (r == 0 || r == -ENOENT || r == -ENOTDIR)
        return 0;
    return errmsg_set(err, r, "cannot remove the ledger %s: %s", path,
                      r == -ELOOP && why.text[0] ? why.text : strerror(-r));
}

int ledger_file_absolute(const char *path, char ret[static PATH_MAX])
{
    char folder[PATH_MAX], name[PATH_MAX], real[PATH_MAX];

    if (strlen(path) >= PATH_MAX)
        return -ENAMETOOLONG;
    strcpy(folder, path);
    strcpy(name, path);
    if (!realpath(dirname(folder), real))
        return -errno;
    return snprintf(ret, PATH_MAX, "%s/%s", strcmp(real, "/") == 0 ? "" : real, basename(name)) >=
                   PATH_MAX
               ? -ENAMETOOLONG
               : 0;
}

void ledger_side_full_name(const char *name, char ret[static LEDGER_NAME_BYTES])
{
    const char *path = strncmp(name, "thin:", strlen("thin:")) == 0 ? name + strlen("thin:") : name;
    char full[PATH_MAX];

    snprintf(ret, LEDGER_NAME_BYTES, "%s", name);
    if (strstr(name, "://") || path[0] == '/' || ledger_file_absolute(path, full) < 0 ||
        (size_t)(path - name) + strlen(full) >= LEDGER_NAME_BYTES)
        return;
    snprintf(ret, LEDGER_NAME_BYTES, "%.*s%.*s", (int)(path - name), name, LEDGER_NAME_BYTES - 6,
             full);
}
