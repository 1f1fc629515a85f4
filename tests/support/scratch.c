/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

void scratch_make(struct scratch *scratch)
{
    const char *parent = getenv("TMPDIR");

    *scratch = (struct scratch){0};
    if (!parent || strlen(parent) > 32)
        parent = "/tmp";
    snprintf(scratch->directory, sizeof(scratch->directory), "%s/thinmirror-XXXXXX", parent);
    assert_non_null(mkdtemp(scratch->directory));
}

static bool write_proc(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return done;
}

/* A mount namespace of our own, once, also for those who are not root. */
static bool enter_namespace(void)
{
    static int entered; /* 1: yes, -1: not possible */
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (entered == 0) {
        entered = -1;
        if (unshare(CLONE_NEWNS) == 0) {
            entered = 1;
        } else if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
            write_proc("/proc/self/setgroups", "deny");
            snprintf(map, sizeof(map), "0 %u 1", uid);
            if (write_proc("/proc/self/uid_map", map)) {
                snprintf(map, sizeof(map), "0 %u 1", gid);
                write_proc("/proc/self/gid_map", map);
                entered = 1;
            }
        }
        if (entered == 1 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            entered = -1;
    }
    return entered == 1;
}

bool scratch_mount(struct scratch *scratch, const char *type, const char *options)
{
    scratch_make(scratch);
    if (enter_namespace() && mount("none", scratch->directory, type, 0, options) == 0) {
        scratch->mounted = true;
        return true;
    }
    scratch_remove(scratch);
    return false;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void scratch_remove(struct scratch *scratch)
{
    if (scratch->mounted)
        umount2(scratch->directory, MNT_DETACH);
    nftw(scratch->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_path(const struct scratch *scratch, const char *name)
{
    static char buffers[4][256];
    static unsigned next;
    char *buffer = buffers[next++ % 4];

    snprintf(buffer, sizeof(buffers[0]), "%s/%s", scratch->directory, name);
    return buffer;
}

void scratch_file(const char *path, size_t size, uint8_t byte)
{
    FILE *file = fopen(path, "wbe");

    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(fputc(byte, file), byte);
    assert_int_equal(fclose(file), 0);
}

void scratch_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wbe");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

bool scratch_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

size_t scratch_count(const struct scratch *scratch)
{
    DIR *directory = opendir(scratch->directory);
    size_t count = 0;
    struct dirent *entry;

    assert_non_null(directory);
    while ((entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            count++;
    }
    closedir(directory);
    return count;
}
