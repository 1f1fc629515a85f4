/* SPDX-License-Identifier: Apache-2.0 */
#include "file_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

#define MOST_LINKS 40 /* as Linux follows */

/* A walk along a path. */
struct walk {
    const char *path;    /* as given, for messages */
    int folder;          /* where we are */
    bool own_way;        /* no stranger could have put another folder in the place of this one */
    char rest[PATH_MAX]; /* what is still to be walked */
    int links;           /* followed so far */
    bool follow_last;    /* also where the last name is a link */
};

static bool owner_is_trusted(const struct stat *st)
{
    return st->st_uid == 0 || st->st_uid == geteuid();
}

/* Whether users besides the superuser and us may make names in the folder. */
static bool strangers_may_write(const struct stat *st)
{
    bool group_is_ours = st->st_gid == 0 || st->st_gid == getegid();

    return (st->st_mode & S_IWOTH) || ((st->st_mode & S_IWGRP) && !group_is_ours);
}

/* Whether what lies there under a name, and belongs to the superuser or us, was put there by one
 * of them. */
static bool folder_is_trusted(const struct stat *st)
{
    return owner_is_trusted(st) && (!strangers_may_write(st) || (st->st_mode & S_ISVTX));
}

/* Goes on in the folder, which is taken over. */
static int enter(struct walk *walk, int folder)
{
    struct stat st;

    if (folder < 0)
        return -errno;
    if (walk->folder >= 0)
        close(walk->folder);
    walk->folder = folder;
    if (fstat(folder, &st) < 0)
        return -errno;
    walk->own_way = walk->own_way && folder_is_trusted(&st);
    return 0;
}

static int enter_start(struct walk *walk)
{
    bool absolute = walk->rest[0] == '/';

    walk->own_way = true;
    return enter(walk, open(absolute ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

/* Takes the next name off the rest; *ret_last: nothing follows it. Empty at the end of a path. */
static int next_name(struct walk *walk, char name[NAME_MAX + 1], bool *ret_last)
{
    const char *start = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(start, "/");
    const char *rest = start + length;

    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, start, length);
    name[length] = '\0';
    *ret_last = rest[0] == '\0';
    memmove(walk->rest, rest, strlen(rest) + 1);
    return 0;
}

/* Puts what the link says in the place of its name. */
static int follow(struct walk *walk, int link, const struct stat *st, const char *name,
                  struct errmsg *err)
{
    char target[PATH_MAX], joined[PATH_MAX];
    ssize_t length;

    if (!walk->own_way || !owner_is_trusted(st))
        return errmsg_set(err, -ELOOP,
                          "%s: the symbolic link \"%s\" on the way, of user %u, is not followed, "
                          "since others than the superuser and user %u can change where it leads; "
                          "give the path of the file itself",
                          walk->path, name, (unsigned)st->st_uid, (unsigned)geteuid());
    if (++walk->links > MOST_LINKS)
        return -ELOOP;
    length = readlinkat(link, "", target, sizeof(target) - 1);
    if (length <= 0)
        return length < 0 ? -errno : -ENOENT;
    target[length] = '\0';
    if (snprintf(joined, sizeof(joined), "%s%s", target, walk->rest) >= (int)sizeof(joined))
        return -ENAMETOOLONG;
    memcpy(walk->rest, joined, sizeof(joined));
    return walk->rest[0] == '/' ? enter_start(walk) : 0;
}

/* One step; 1 when the last name is reached, which is then in name. */
static int step(struct walk *walk, char name[NAME_MAX + 1], struct errmsg *err)
{
    CLEANUP_CLOSE int fd = -1;
    struct stat st;
    bool last;
    int error = next_name(walk, name, &last);

    if (error)
        return error;
    if (name[0] == '\0' || (last && (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)))
        return -EISDIR;
    fd = openat(walk->folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && last)
        return 1;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (S_ISLNK(st.st_mode) && (!last || walk->follow_last))
        return follow(walk, fd, &st, name, err);
    if (last)
        return 1;
    return S_ISDIR(st.st_mode) ? enter(walk, TAKE_FD(fd)) : -ENOTDIR;
}

static int walk_to(const char *path, bool follow_last, struct file_place *ret, struct errmsg *err)
{
    struct walk walk = {.path = path, .folder = -1, .follow_last = follow_last};
    struct errmsg unread;
    int result;

    if (!err)
        err = &unread;
    err->text[0] = '\0';
    if (path[0] == '\0' || strlen(path) >= sizeof(walk.rest)) {
        result = path[0] == '\0' ? -ENOENT : -ENAMETOOLONG;
    } else {
        strcpy(walk.rest, path);
        result = enter_start(&walk);
    }
    while (result == 0)
        result = step(&walk, ret->name, err);
    if (result > 0) {
        ret->folder = walk.folder;
        return 0;
    }
    if (walk.folder >= 0)
        close(walk.folder);
    ret->folder = -1;
    if (err->text[0] == '\0')
        errmsg_set(err, result, "%s cannot be reached: %s", path, strerror(-result));
    return result;
}

int file_place_open(const char *path, struct file_place *ret, struct errmsg *err)
{
    return walk_to(path, true, ret, err);
}

int file_place_open_name(const char *path, struct file_place *ret, struct errmsg *err)
{
    return walk_to(path, false, ret, err);
}

int file_place_open_file(const struct file_place *place, int flags, mode_t mode)
{
    int fd = openat(place->folder, place->name, flags | O_NOFOLLOW | O_CLOEXEC, mode);

    return fd < 0 ? -errno : fd;
}

int file_place_sync(const struct file_place *place)
{
    CLEANUP_CLOSE int fd = openat(place->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    /* EINVAL: a file system that has nothing to do for it. */
    return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

void file_place_close(struct file_place *place)
{
    if (place->folder >= 0)
        close(place->folder);
    place->folder = -1;
}
