/* SPDX-License-Identifier: Apache-2.0 */

/* The change record beside a volume's file: from one opening to the next, and when it is not to be
 * believed. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "scratch.h"
#include "volume.h"
#include "volume_track.h"

#define MIB   (UINT64_C(1) << 20)
#define BYTES (64 * MIB)

static void say_nothing(enum log_level level, const char *message)
{
    (void)level;
    (void)message;
}

static int change_zero(struct volume *volume)
{
    return volume_zero(volume, MIB, MIB);
}

static int make_scratch(void **state)
{
    struct scratch *scratch = malloc(sizeof(*scratch));

    assert_non_null(scratch);
    log_set_sink(say_nothing);
    scratch_make(scratch);
    *state = scratch;
    return 0;
}

static int remove_scratch(void **state)
{
    scratch_remove(*state);
    free(*state);
    return 0;
}

static struct volume *open_tracked(const char *path, uint8_t *ret_since)
{
    struct volume_track_status status;
    struct volume *volume;
    struct errmsg err;

    assert_int_equal(volume_create(path, 512, BYTES, &volume, &err), 0);
    assert_int_equal(volume_track(volume, &err), 0);
    assert_int_equal(volume_track(volume, &err), 0);
    volume_track_status(volume, &status);
    assert_int_equal(status.point_count, 1);
    memcpy(ret_since, status.points[0].id, VOLUME_POINT_ID_BYTES);
    return volume;
}

static int add_text(uint64_t offset, uint64_t length, bool suspect, void *context)
{
    char *text = context;

    sprintf(text + strlen(text), "%llu+%llu%s ", (unsigned long long)offset,
            (unsigned long long)length, suspect ? "?" : "");
    return 0;
}

static void assert_changed(struct volume *volume, const uint8_t *since, const char *expected)
{
    char text[1024] = "";
    struct errmsg err;

    if (volume_changed(volume, since, add_text, text, &err))
        fail_msg("%s", err.text);
    assert_string_equal(text, expected);
}

static struct volume *open_again(const char *path)
{
    struct volume *volume;
    struct errmsg err;

    if (volume_open(path, false, &volume, &err))
        fail_msg("%s", err.text);
    return volume;
}

static void it_goes_on_when_the_volume_is_closed_and_opened(void **state)
{
    const char *path = scratch_path(*state, "v");
    uint8_t since[VOLUME_POINT_ID_BYTES];
    struct volume *volume = open_tracked(path, since);

    assert_int_equal(change_zero(volume), 0);
    assert_int_equal(volume_close(volume), 0);
    volume = open_again(path);
    assert_changed(volume, since, "1048576+1048576 ");
    assert_int_equal(volume_unmap(volume, 0, 4096), 0);
    assert_int_equal(volume_close(volume), 0);
    volume = open_again(path);
    assert_changed(volume, since, "0+4096 1048576+1048576 ");
    assert_int_equal(volume_close(volume), 0);
}

static void it_is_exact_when_the_process_is_killed(void **state)
{
    const char *path = scratch_path(*state, "v");
    uint8_t since[VOLUME_POINT_ID_BYTES];
    struct volume *volume = open_tracked(path, since);
    int status;
    pid_t child;

    assert_int_equal(volume_close(volume), 0);
    child = fork();
    if (child == 0) {
        volume = open_again(path);
        change_zero(volume);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    volume = open_again(path);
    assert_changed(volume, since, "1048576+1048576 ");
    assert_int_equal(volume_close(volume), 0);
}

static void a_look_beside_the_one_that_serves_tells_it_too(void **state)
{
    const char *path = scratch_path(*state, "v");
    uint8_t since[VOLUME_POINT_ID_BYTES];
    struct volume *volume = open_tracked(path, since), *look;
    char user[256];
    struct errmsg err;

    assert_int_equal(change_zero(volume), 0);
    assert_int_equal(volume_look(path, &look, user, sizeof(user), &err), 0);
    assert_true(user[0] != '\0');
    assert_changed(look, since, "1048576+1048576 ");
    assert_int_equal(volume_forget(look, since, &err), -EROFS);
    assert_int_equal(volume_close(look), 0);
    assert_int_equal(volume_close(volume), 0);
}

/* What no one kept a record of. */
static void assert_not_believed(const char *path, const uint8_t *since)
{
    struct volume *volume = open_again(path);
    struct volume_track_status status;
    char text[1024] = "";
    struct errmsg err;

    assert_int_equal(volume_changed(volume, since, add_text, text, &err), -ENOENT);
    volume_track_status(volume, &status);
    assert_true(status.tracked);
    assert_null(status.lost);
    assert_int_equal(status.point_count, 1);
    assert_int_equal(volume_close(volume), 0);
}

static void a_volume_that_was_changed_meanwhile_is_not_believed(void **state)
{
    const char *path = scratch_path(*state, "v");
    uint8_t since[VOLUME_POINT_ID_BYTES];
    int fd;

    assert_int_equal(volume_close(open_tracked(path, since)), 0);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 4096), 1);
    close(fd);
    assert_not_believed(path, since);
}

static void one_that_is_cut_short_is_not_believed(void **state)
{
    const char *path = scratch_path(*state, "v");
    uint8_t since[VOLUME_POINT_ID_BYTES];

    assert_int_equal(volume_close(open_tracked(path, since)), 0);
    assert_int_equal(truncate(scratch_path(*state, "v.track"), 100000), 0);
    assert_not_believed(path, since);
}

static void one_of_a_copy_is_not_believed(void **state)
{
    const char *path = scratch_path(*state, "v"), *copy = scratch_path(*state, "w");
    uint8_t since[VOLUME_POINT_ID_BYTES];
    char command[512];

    assert_int_equal(volume_close(open_tracked(path, since)), 0);
    for (const char *const *suffix = (const char *const[]){"", ".thin", ".track", NULL}; *suffix;
         suffix++) {
        snprintf(command, sizeof(command), "cp --sparse=always -p %s%s %s%s", path, *suffix, copy,
                 *suffix);
        assert_int_equal(system(command), 0);
    }
    assert_not_believed(copy, since);
}

static void a_file_that_only_has_its_name_stays_as_it_is(void **state)
{
    const char *path = scratch_path(*state, "v"), *other = scratch_path(*state, "v.track");
    struct volume_track_status status;
    struct volume *volume;
    struct errmsg err;
    struct stat st;

    scratch_file(other, 100000, 'x');
    assert_int_equal(volume_create(path, 512, BYTES, &volume, &err), 0);
    assert_int_equal(volume_track(volume, &err), -EEXIST);
    assert_int_equal(volume_untrack(volume, &err), 0);
    assert_int_equal(volume_close(volume), 0);
    volume = open_again(path);
    volume_track_status(volume, &status);
    assert_false(status.tracked);
    assert_int_equal(volume_close(volume), 0);
    assert_int_equal(stat(other, &st), 0);
    assert_int_equal(st.st_size, 100000);
}

static void without_a_record_there_is_no_file_and_no_answer(void **state)
{
    const char *path = scratch_path(*state, "v");
    uint8_t since[VOLUME_POINT_ID_BYTES];
    struct volume *volume = open_tracked(path, since);
    struct volume_track_status status;
    struct volume_point point;
    struct errmsg err;

    assert_true(scratch_exists(scratch_path(*state, "v.track")));
    assert_int_equal(volume_untrack(volume, &err), 0);
    assert_false(scratch_exists(scratch_path(*state, "v.track")));
    assert_int_equal(volume_untrack(volume, &err), 0);
    volume_track_status(volume, &status);
    assert_false(status.tracked);
    assert_int_equal(volume_cut(volume, since, &point, &err), -ENOENT);
    assert_int_equal(change_zero(volume), 0);
    assert_int_equal(volume_close(volume), 0);
    assert_int_equal(scratch_count(*state), 2);
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, make_scratch, remove_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(it_goes_on_when_the_volume_is_closed_and_opened),
        FILE_TEST(it_is_exact_when_the_process_is_killed),
        FILE_TEST(a_look_beside_the_one_that_serves_tells_it_too),
        FILE_TEST(a_volume_that_was_changed_meanwhile_is_not_believed),
        FILE_TEST(one_that_is_cut_short_is_not_believed),
        FILE_TEST(one_of_a_copy_is_not_believed),
        FILE_TEST(a_file_that_only_has_its_name_stays_as_it_is),
        FILE_TEST(without_a_record_there_is_no_file_and_no_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
