/* SPDX-License-Identifier: Apache-2.0 */

/* One sync at a time to one LUN: also from another network namespace, and not held up by other
 * users. */

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"
#include "skip.h"
#include "sole_writer.h"

#define STRANGER 65534

static char identity[64];

static int setup(void **state)
{
    struct scratch *scratch = malloc(sizeof(*scratch));

    assert_non_null(scratch);
    scratch_make(scratch);
    /* A LUN that no other run of this test has. */
    snprintf(identity, sizeof(identity), "naa.test.%s", strrchr(scratch->directory, '-'));
    assert_int_equal(setenv("XDG_RUNTIME_DIR", scratch->directory, 1), 0);
    *state = scratch;
    return 0;
}

static int teardown(void **state)
{
    scratch_remove(*state);
    free(*state);
    return 0;
}

/* What a process gets that runs prepare first; negative as errno. */
static int taken_in_a_child(void (*prepare)(void), const char *words)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct errmsg err = {""};
        int fd, error;

        prepare();
        error = sole_writer_take(identity, "iscsi://host/lun", &fd, &err);
        if (!strstr(err.text, words)) {
            fprintf(stderr, "# %s\n", err.text);
            _exit(255);
        }
        _exit(error == 0 && fd < 0 ? 254 : -error);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void nothing(void)
{
}

static void leave_the_network(void)
{
    if (unshare(CLONE_NEWNET) < 0)
        _exit(253);
}

static void become_a_stranger(void)
{
    if (setgid(STRANGER) < 0 || setuid(STRANGER) < 0)
        _exit(252);
}

static int take(int *ret_fd)
{
    struct errmsg err;

    return sole_writer_take(identity, "iscsi://host/lun", ret_fd, &err);
}

static void a_second_sync_is_refused_and_the_first_named(void **state)
{
    int fd;

    (void)state;
    assert_int_equal(take(&fd), 0);
    assert_true(fd >= 0);
    assert_int_equal(taken_in_a_child(nothing, "iscsi://host/lun: process "), -EBUSY);
    assert_int_equal(taken_in_a_child(nothing, "is copying to it already"), -EBUSY);
    close(fd);
    assert_int_equal(taken_in_a_child(nothing, ""), 0);
}

static void the_holder_is_found_without_being_kept_out(void **state)
{
    char holder[128] = "?", expected[64];
    int fd;

    (void)state;
    assert_false(sole_writer_find(identity, holder, sizeof(holder)));
    assert_int_equal(take(&fd), 0);
    snprintf(expected, sizeof(expected), "process %d (", (int)getpid());
    assert_true(sole_writer_find(identity, holder, sizeof(holder)));
    assert_ptr_equal(strstr(holder, expected), holder);
    assert_false(sole_writer_find("", holder, sizeof(holder)));
    close(fd);
    assert_false(sole_writer_find(identity, holder, sizeof(holder)));
    /* Looking has left no lock. */
    assert_int_equal(taken_in_a_child(nothing, ""), 0);
}

static void a_network_namespace_is_no_other_machine(void **state)
{
    int fd, result;

    (void)state;
    assert_int_equal(take(&fd), 0);
    result = taken_in_a_child(leave_the_network, "");
    close(fd);
    if (result == -253)
        skip_because("no network namespaces here");
    assert_int_equal(result, -EBUSY);
}

static void a_user_sees_the_superusers_copy_and_cannot_hold_it_up(void **state)
{
    struct scratch *scratch = *state;
    char folder[128];
    int fd;

    if (geteuid() != 0)
        skip_because("only the superuser can become another user");
    assert_int_equal(chown(scratch->directory, STRANGER, STRANGER), 0);
    assert_int_equal(take(&fd), 0);
    assert_int_equal(taken_in_a_child(become_a_stranger, "is copying to it already"), -EBUSY);
    close(fd);
    assert_int_equal(taken_in_a_child(become_a_stranger, ""), 0);
    snprintf(folder, sizeof(folder), "%s/thinmirror", scratch->directory);
    assert_true(scratch_exists(folder));
    assert_int_equal(take(&fd), 0);
    close(fd);
    /* A folder that others can write to is none of this user's. */
    assert_int_equal(chown(folder, 0, 0), 0);
    assert_int_equal(taken_in_a_child(become_a_stranger, folder), -EPERM);
}

static void a_lun_without_identity_is_not_locked(void **state)
{
    struct errmsg err;
    int fd = 0;

    (void)state;
    assert_int_equal(sole_writer_take("", "file", &fd, &err), 0);
    assert_int_equal(fd, -1);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(a_second_sync_is_refused_and_the_first_named),
        IN_SCRATCH(the_holder_is_found_without_being_kept_out),
        IN_SCRATCH(a_network_namespace_is_no_other_machine),
        IN_SCRATCH(a_user_sees_the_superusers_copy_and_cannot_hold_it_up),
        IN_SCRATCH(a_lun_without_identity_is_not_locked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
