/* SPDX-License-Identifier: Apache-2.0 */

/* Which symbolic links are followed to a file, and how a file is replaced. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_place.h"
#include "replace_file.h"
#include "scratch.h"
#include "skip.h"

#define STRANGER 65534

static int setup(void **state)
{
    struct scratch *scratch = malloc(sizeof(*scratch));

    assert_non_null(scratch);
    scratch_make(scratch);
    assert_int_equal(chdir(scratch->directory), 0);
    *state = scratch;
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(chdir("/"), 0);
    scratch_remove(*state);
    free(*state);
    return 0;
}

/* What a file at path holds, by its place; "" and the error when it has none. */
static const char *content(const char *path, int *ret_error, struct errmsg *err)
{
    static char text[64];
    struct file_place place = FILE_PLACE_NONE;
    int fd;

    memset(text, 0, sizeof(text));
    *ret_error = file_place_open(path, &place, err);
    if (*ret_error) {
        assert_int_equal(place.folder, -1);
        return text;
    }
    fd = file_place_open_file(&place, O_RDONLY, 0);
    *ret_error = fd < 0 ? fd : 0;
    if (fd >= 0) {
        assert_true(read(fd, text, sizeof(text) - 1) >= 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        close(fd);
    }
    file_place_close(&place);
    return text;
}

static void assert_holds(const char *path, const char *text)
{
    struct errmsg err;
    int error;

    assert_string_equal(content(path, &error, &err), text);
    assert_int_equal(error, 0);
}

static void assert_fails(const char *path, int expected, const char *words)
{
    struct errmsg err = {""};
    int error;

    content(path, &error, &err);
    assert_int_equal(error, expected);
    if (!strstr(err.text, words))
        fail_msg("%s: %s", path, err.text);
}

static void our_own_links_are_followed_to_the_end(void **state)
{
    const char *absolute = scratch_path(*state, "way/up"), *link = "link";

    scratch_text("file", "here");
    assert_int_equal(mkdir("folder", 0755), 0);
    assert_int_equal(symlink("../file", "folder/up"), 0);
    assert_int_equal(symlink("folder", "way"), 0);
    assert_int_equal(symlink(absolute, link), 0);
    assert_holds(link, "here");
    assert_holds("way/.//up", "here");
    assert_holds("folder/../way/up", "here");
}

static void a_link_may_lead_to_what_is_not_there_yet(void **state)
{
    struct file_place place;
    struct errmsg err;

    (void)state;
    assert_int_equal(symlink("later", "link"), 0);
    assert_int_equal(file_place_open("link", &place, &err), 0);
    assert_string_equal(place.name, "later");
    file_place_close(&place);
    assert_int_equal(file_place_open_name("link", &place, &err), 0);
    assert_string_equal(place.name, "link");
    assert_int_equal(file_place_open_file(&place, O_RDONLY, 0), -ELOOP);
    file_place_close(&place);
    assert_int_equal(place.folder, -1);
}

static void a_path_that_is_no_files_is_an_error(void **state)
{
    char path[PATH_MAX + 2];

    (void)state;
    scratch_text("file", "here");
    assert_int_equal(symlink("self", "self"), 0);
    assert_fails("", -ENOENT, "");
    assert_fails("./", -EISDIR, "./ cannot be reached");
    assert_fails("/", -EISDIR, "/ cannot be reached");
    assert_fails(".", -EISDIR, ".");
    assert_fails("file/..", -ENOTDIR, "cannot be reached");
    assert_fails("..", -EISDIR, "cannot be reached");
    assert_fails("file/", -ENOTDIR, "cannot be reached");
    assert_fails("file/x", -ENOTDIR, "cannot be reached");
    assert_fails("gone/x", -ENOENT, "cannot be reached");
    assert_fails("gone", -ENOENT, "");
    assert_fails("self", -ELOOP, "cannot be reached");
    memset(path, 'x', sizeof(path));
    path[PATH_MAX + 1] = '\0';
    assert_fails(path, -ENAMETOOLONG, "");
    path[NAME_MAX + 1] = '\0';
    assert_fails(path, -ENAMETOOLONG, "");
    path[NAME_MAX] = '\0';
    assert_fails(path, -ENOENT, "");
    path[0] = '/';
    assert_fails(path, -ENOENT, "");
}

/* A folder, its owner, group and mode, a link in it of that owner, and whether it is trusted. */
struct arrangement {
    uid_t folder_owner;
    gid_t folder_group;
    mode_t folder_mode;
    uid_t link_owner;
    bool followed;
};

static void links_that_a_stranger_may_have_put_there_are_not_followed(void **state)
{
    static const struct arrangement table[] = {
        {0, 0, 0755, 0, true},          {0, STRANGER, 0755, 0, true},
        {0, 0, 0775, 0, true},          {0, STRANGER, 0775, 0, false},
        {0, 0, 0757, 0, false},         {0, 0, 01777, 0, true},
        {0, STRANGER, 01775, 0, true},  {0, 0, 01777, STRANGER, false},
        {0, 0, 0755, STRANGER, false},  {STRANGER, 0, 0755, 0, false},
        {STRANGER, 0, 01755, 0, false}, {STRANGER, STRANGER, 0755, STRANGER, false},
    };
    const char *folder = "folder";
    const char *link = "folder/link";
    const char *inner = "folder/inner";

    (void)state;
    if (geteuid() != 0)
        skip_because("only the superuser can make files of other users");
    scratch_text("file", "secret");
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(mkdir(inner, 0755), 0);
    assert_int_equal(symlink("../../file", "folder/inner/link"), 0);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct arrangement *a = &table[i];

        assert_int_equal(chown(folder, a->folder_owner, a->folder_group), 0);
        assert_int_equal(chmod(folder, a->folder_mode), 0);
        for (int kind = 0; kind < 2; kind++) { /* the file itself, a folder on the way */
            assert_int_equal(symlink(kind == 0 ? "../file" : "..", link), 0);
            assert_int_equal(lchown(link, a->link_owner, 0), 0);
            if (a->followed)
                assert_holds(kind == 0 ? "folder/link" : "folder/link/file", "secret");
            else
                assert_fails(kind == 0 ? "folder/link" : "folder/link/file", -ELOOP, "\"link\"");
            assert_int_equal(unlink(link), 0);
        }
        /* A folder of ours within is where they have put it. */
        if (a->folder_owner != 0)
            assert_fails("folder/inner/link", -ELOOP, "\"link\"");
    }
}

static void a_plain_file_in_a_strangers_folder_is_reached(void **state)
{
    const char *folder = "folder";

    (void)state;
    if (geteuid() != 0)
        skip_because("only the superuser can make files of other users");
    assert_int_equal(mkdir(folder, 0777), 0);
    scratch_text("folder/file", "theirs");
    assert_int_equal(chown(folder, STRANGER, STRANGER), 0);
    assert_holds("folder/file", "theirs");
}

static int replace_at(const char *path, const char *text, enum replace_file_which which)
{
    const struct replace_file_terms terms = {.which = which, .mode = 04640, .max_bytes = 16};
    struct file_place place = FILE_PLACE_NONE;
    struct errmsg err;
    int error = file_place_open(path, &place, &err);

    if (!error)
        error = replace_file(&place, text, strlen(text), &terms);
    file_place_close(&place);
    return error;
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void a_file_is_replaced_on_the_terms_given(void **state)
{
    const char *path = "file";

    assert_int_equal(replace_at(path, "a", REPLACE_FILE_ONE), -ENOENT);
    assert_int_equal(replace_at(path, "b", REPLACE_FILE_ANY), 0);
    assert_holds(path, "b");
    assert_int_equal(mode_of(path), 0640);
    assert_int_equal(replace_at(path, "c", REPLACE_FILE_NONE), -EEXIST);
    assert_holds(path, "b");
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(replace_at(path, "d", REPLACE_FILE_ONE), 0);
    assert_holds(path, "d");
    assert_int_equal(mode_of(path), 0604);
    assert_int_equal(replace_at(path, "e", REPLACE_FILE_ANY), 0);
    assert_int_equal(mode_of(path), 0640);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(replace_at(path, "f", REPLACE_FILE_NONE), 0);
    assert_holds(path, "f");
    assert_int_equal(scratch_count(*state), 1);
}

static void a_link_stays_where_its_target_is_replaced(void **state)
{
    struct stat st;

    assert_int_equal(symlink("file", "link"), 0);
    assert_int_equal(replace_at("link", "a", REPLACE_FILE_ANY), 0);
    assert_int_equal(replace_at("link", "b", REPLACE_FILE_ONE), 0);
    assert_holds("file", "b");
    assert_int_equal(lstat("link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(scratch_count(*state), 2);
}

static void only_what_a_killed_process_may_have_left_is_removed(void **state)
{
    const char *path = "file", *left = "file.new";

    scratch_file(left, 16, 'x');
    assert_int_equal(replace_at(path, "a", REPLACE_FILE_ANY), 0);
    scratch_file(left, 17, 'x');
    assert_int_equal(replace_at(path, "b", REPLACE_FILE_ANY), -EBUSY);
    assert_int_equal(unlink(left), 0);
    assert_int_equal(symlink("file", left), 0);
    assert_int_equal(replace_at(path, "c", REPLACE_FILE_ANY), -EBUSY);
    assert_int_equal(unlink(left), 0);
    assert_holds(path, "a");
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_int_equal(replace_at("folder", "d", REPLACE_FILE_ONE), -EINVAL);
    assert_int_equal(replace_at("folder", "d", REPLACE_FILE_ANY), -EISDIR);
    assert_int_equal(scratch_count(*state), 2);
}

static void the_owner_of_the_file_stays(void **state)
{
    const char *path = "file";
    struct stat st;

    (void)state;
    if (geteuid() != 0)
        skip_because("only the superuser can make files of other users");
    scratch_text(path, "a");
    assert_int_equal(chown(path, STRANGER, STRANGER - 1), 0);
    assert_int_equal(replace_at(path, "b", REPLACE_FILE_ONE), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, STRANGER);
    assert_int_equal(st.st_gid, STRANGER - 1);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(our_own_links_are_followed_to_the_end),
        IN_SCRATCH(a_link_may_lead_to_what_is_not_there_yet),
        IN_SCRATCH(a_path_that_is_no_files_is_an_error),
        IN_SCRATCH(links_that_a_stranger_may_have_put_there_are_not_followed),
        IN_SCRATCH(a_plain_file_in_a_strangers_folder_is_reached),
        IN_SCRATCH(a_file_is_replaced_on_the_terms_given),
        IN_SCRATCH(a_link_stays_where_its_target_is_replaced),
        IN_SCRATCH(only_what_a_killed_process_may_have_left_is_removed),
        IN_SCRATCH(the_owner_of_the_file_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
