/* SPDX-License-Identifier: Apache-2.0 */

/* Volumes behind symbolic links: those of other users are not opened. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scratch.h"
#include "skip.h"
#include "volume.h"

#define MIB (1 << 20)

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

/* Makes a volume at "secret" and a folder of another user beside it. */
static void make_secret(void)
{
    struct volume *volume;
    struct errmsg err;

    assert_int_equal(volume_create("secret", 512, MIB, &volume, &err), 0);
    assert_int_equal(volume_close(volume), 0);
    assert_int_equal(mkdir("theirs", 0755), 0);
    assert_int_equal(chown("theirs", 65534, 65534), 0);
}

static void assert_link_refused(const char *path, const char *link)
{
    struct volume *volume;
    struct errmsg err;

    for (int read_only = 0; read_only < 2; read_only++) {
        assert_int_equal(volume_open(path, read_only, &volume, &err), -ELOOP);
        assert_non_null(strstr(err.text, link));
    }
}

static void what_another_user_has_linked_is_not_opened(void **state)
{
    struct volume *volume;
    struct errmsg err;

    (void)state;
    if (geteuid() != 0)
        skip_because("only the superuser can make files of other users");
    make_secret();
    assert_int_equal(symlink("../secret", "theirs/v"), 0);
    assert_int_equal(symlink("../secret.thin", "theirs/v.thin"), 0);
    assert_link_refused("theirs/v", "\"v\"");
    assert_int_equal(volume_adopt("theirs/v", 512, &volume, &err), -ELOOP);
    assert_int_equal(unlink("theirs/v"), 0);
    scratch_file("theirs/v", MIB, 0);
    assert_link_refused("theirs/v", "\"v.thin\"");
    assert_int_equal(symlink("..", "theirs/up"), 0);
    assert_link_refused("theirs/up/secret", "\"up\"");
    assert_int_equal(volume_create("theirs/up/new", 512, MIB, &volume, &err), -ELOOP);
    assert_false(scratch_exists("new"));
}

static void a_link_of_our_own_to_a_volume_is_followed(void **state)
{
    struct volume *volume;
    struct errmsg err;

    (void)state;
    assert_int_equal(volume_create("v", 512, MIB, &volume, &err), 0);
    assert_int_equal(volume_close(volume), 0);
    assert_int_equal(symlink("v", "link"), 0);
    assert_int_equal(volume_open("link", false, &volume, &err), -ENOENT); /* of link.thin */
    assert_int_equal(symlink("v.thin", "link.thin"), 0);
    assert_int_equal(volume_open("link", false, &volume, &err), 0);
    assert_int_equal(volume_save_mode_pages(volume, (const uint8_t *)"\x08", 1, &err), 0);
    assert_int_equal(volume_close(volume), 0);
    assert_int_equal(volume_open("v", true, &volume, &err), 0);
    assert_int_equal(volume_get_meta(volume)->mode_pages_bytes, 1);
    assert_int_equal(volume_close(volume), 0);
    assert_int_equal(symlink("nothing", "new"), 0);
    assert_int_equal(volume_create("new", 512, MIB, &volume, &err), -EEXIST);
    assert_false(scratch_exists("nothing"));
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(what_another_user_has_linked_is_not_opened),
        IN_SCRATCH(a_link_of_our_own_to_a_volume_is_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
