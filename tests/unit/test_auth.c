/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>

#include "auth.h"
#include "skip.h"

#define IQN "iqn.2026-11.org.example:disk"

static char path[64];

static int setup(void **state)
{
    int fd;

    (void)state;
    strcpy(path, "/tmp/auth.XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    unsetenv("THINMIRROR_CHAP_USER");
    unsetenv("THINMIRROR_CHAP_SECRET");
    unsetenv("THINMIRROR_CHAP_TARGET_USER");
    unsetenv("THINMIRROR_CHAP_TARGET_SECRET");
    return 0;
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct auth_table *load(const char *text)
{
    struct auth_table *table = NULL;
    struct errmsg err = {{0}};

    write_file(text);
    if (auth_table_load(path, &table, &err) < 0)
        fail_msg("%s", err.text);
    return table;
}

static void load_fails(const char *text, int error, const char *words)
{
    struct auth_table *table;
    struct errmsg err = {{0}};

    write_file(text);
    assert_int_equal(auth_table_load(path, &table, &err), error);
    if (!strstr(err.text, words) || !strstr(err.text, path))
        fail_msg("'%s' does not say '%s' and '%s'", err.text, words, path);
    if (strstr(err.text, "s3cret"))
        fail_msg("'%s' gives a secret away", err.text);
}

static void an_exact_entry_comes_before_the_star(void **state)
{
    struct auth_table *table =
        load("# comment\n"
             "\n"
             "*  anyone  star-s3cret\n" IQN "\talice  alice-s3cret\n  # bob's\n" IQN
             " bob bob-s3cret disk disk-s3cret\r\n");
    const struct iscsi_credentials *found;

    (void)state;
    found = auth_table_find(table, IQN, NULL);
    assert_string_equal(found->user, "alice");
    assert_string_equal(found->secret, "alice-s3cret");
    assert_null(found->target_user);
    assert_null(found->target_secret);
    found = auth_table_find(table, IQN, "bob");
    assert_string_equal(found->secret, "bob-s3cret");
    assert_string_equal(found->target_user, "disk");
    assert_string_equal(found->target_secret, "disk-s3cret");
    found = auth_table_find(table, IQN, "anyone");
    assert_string_equal(found->secret, "star-s3cret");
    assert_null(auth_table_find(table, IQN, "nobody"));
    found = auth_table_find(table, "iqn.2026-11.org.example:other", NULL);
    assert_string_equal(found->user, "anyone");
    /* iSCSI names are the same in whatever case (RFC 7143 4.2.7.1). */
    found = auth_table_find(table, "IQN.2026-11.ORG.example:DISK", NULL);
    assert_string_equal(found->user, "alice");
    auth_table_free(table);
}

static void a_line_needs_no_end(void **state)
{
    struct auth_table *table = load(IQN " alice alice-s3cret");

    (void)state;
    assert_string_equal(auth_table_find(table, IQN, NULL)->secret, "alice-s3cret");
    auth_table_free(table);
}

static void a_zero_byte_is_no_end_of_a_secret(void **state)
{
    static const char text[] = "\n" IQN " alice alice-s3cret\0-and-more\n";
    struct auth_table *table;
    struct errmsg err;
    FILE *file = fopen(path, "w");

    (void)state;
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, sizeof(text) - 1, file), sizeof(text) - 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(auth_table_load(path, &table, &err), -EINVAL);
    assert_non_null(strstr(err.text, "line 2: a zero byte"));
}

static void a_huge_file_is_not_read(void **state)
{
    struct auth_table *table;
    struct errmsg err;

    (void)state;
    assert_int_equal(truncate(path, (1 << 20) + 1), 0);
    assert_int_equal(auth_table_load(path, &table, &err), -EFBIG);
    assert_non_null(strstr(err.text, "too large"));
}

static void only_a_file_will_do(void **state)
{
    struct auth_table *table;
    struct errmsg err;

    (void)state;
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(auth_table_load(path, &table, &err), -EINVAL);
    assert_non_null(strstr(err.text, "no regular file"));
    assert_int_equal(auth_table_load("/tmp", &table, &err), -EINVAL);
    assert_int_equal(auth_table_load("/dev/zero", &table, &err), -EINVAL);
}

/* Of a symbolic link it is the file that counts. */
static void a_link_to_a_file_that_others_can_read_is_refused(void **state)
{
    char link[sizeof(path) + 8];
    struct auth_table *table;
    struct errmsg err;

    (void)state;
    snprintf(link, sizeof(link), "%s.link", path);
    write_file(IQN " alice alice-s3cret\n");
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(auth_table_load(link, &table, &err), 0);
    auth_table_free(table);
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(auth_table_load(link, &table, &err), -EPERM);
    unlink(link);
}

static void the_environment_is_for_every_target(void **state)
{
    struct auth_table *table;
    const struct iscsi_credentials *found;

    (void)state;
    setenv("THINMIRROR_CHAP_USER", "carol", 1);
    setenv("THINMIRROR_CHAP_SECRET", "carol-s3cret", 1);
    assert_int_equal(auth_table_load(NULL, &table, NULL), 0);
    found = auth_table_find(table, IQN, NULL);
    assert_string_equal(found->secret, "carol-s3cret");
    assert_null(found->target_user);
    auth_table_free(table);

    setenv("THINMIRROR_CHAP_USER", "carol", 1);
    setenv("THINMIRROR_CHAP_SECRET", "carol-s3cret", 1);
    setenv("THINMIRROR_CHAP_TARGET_USER", "disk", 1);
    setenv("THINMIRROR_CHAP_TARGET_SECRET", "disk-s3cret", 1);
    table = load(IQN " alice alice-s3cret\n");
    assert_string_equal(auth_table_find(table, IQN, NULL)->user, "alice");
    found = auth_table_find(table, "iqn.2026-11.org.example:other", NULL);
    assert_string_equal(found->target_secret, "disk-s3cret");
    auth_table_free(table);
}

static void half_an_environment_is_refused(void **state)
{
    struct auth_table *table;
    struct errmsg err;

    (void)state;
    setenv("THINMIRROR_CHAP_SECRET", "carol-s3cret", 1);
    assert_int_equal(auth_table_load(NULL, &table, &err), -EINVAL);
    assert_non_null(strstr(err.text, "THINMIRROR_CHAP_USER"));
    setenv("THINMIRROR_CHAP_USER", "carol", 1);
    setenv("THINMIRROR_CHAP_SECRET", "carol-s3cret", 1);
    setenv("THINMIRROR_CHAP_TARGET_USER", "disk", 1);
    assert_int_equal(auth_table_load(NULL, &table, &err), -EINVAL);
    assert_non_null(strstr(err.text, "THINMIRROR_CHAP_TARGET_SECRET"));
}

/* libiscsi would log in without CHAP, or without a proof of the target's. */
static void an_empty_variable_is_refused(void **state)
{
    static const char *const names[] = {"THINMIRROR_CHAP_USER", "THINMIRROR_CHAP_SECRET",
                                        "THINMIRROR_CHAP_TARGET_USER",
                                        "THINMIRROR_CHAP_TARGET_SECRET"};

    (void)state;
    for (int empty = 0; empty < 4; empty++) {
        struct auth_table *table;
        struct errmsg err;

        for (int i = 0; i < 4; i++)
            setenv(names[i], i == empty ? "" : names[i], 1);
        assert_int_equal(auth_table_load(NULL, &table, &err), -EINVAL);
        assert_non_null(strstr(err.text, names[empty]));
        assert_non_null(strstr(err.text, "empty"));
    }
}

/* What the process shows of its environment in /proc is this memory. */
static void a_secret_does_not_stay_in_the_environment(void **state)
{
    char text[] = "THINMIRROR_CHAP_SECRET=carol-s3cret";
    struct auth_table *table;

    (void)state;
    setenv("THINMIRROR_CHAP_USER", "carol", 1);
    assert_int_equal(putenv(text), 0);
    assert_int_equal(auth_table_load(NULL, &table, NULL), 0);
    assert_null(getenv("THINMIRROR_CHAP_SECRET"));
    assert_null(memmem(text, sizeof(text), "s3cret", 6));
    assert_string_equal(auth_table_find(table, IQN, NULL)->secret, "carol-s3cret");
    auth_table_free(table);
}

static void a_number_sign_within_a_line_is_a_part_of_its_field(void **state)
{
    struct auth_table *table =
        load("  # a comment\n\t#another\n" IQN " #alice #alice-s3cret #disk #disk-s3cret\n");
    const struct iscsi_credentials *found = auth_table_find(table, IQN, NULL);

    (void)state;
    assert_string_equal(found->user, "#alice");
    assert_string_equal(found->secret, "#alice-s3cret");
    assert_string_equal(found->target_user, "#disk");
    assert_string_equal(found->target_secret, "#disk-s3cret");
    auth_table_free(table);
}

static void a_comment_behind_fields_is_refused(void **state)
{
    (void)state;
    load_fails(IQN " alice alice-s3cret # hers\n", -EINVAL, "line 1: a comment needs a line");
    load_fails("\n" IQN " alice alice-s3cret #hers\n", -EINVAL,
               "a comment needs a line of its own");
    load_fails(IQN " alice alice-s3cret disk disk-s3cret # both\n", -EINVAL, "more than 5");
}

static void what_is_no_target_is_named(void **state)
{
    char line[2 * 256 + 64], long_field[257];

    (void)state;
    load_fails("* a a-s3cret\nalice alice-s3cret " IQN "\n", -EINVAL, "line 2: a line begins with");
    load_fails("\xEF\xBB\xBF" IQN " alice alice-s3cret\n", -EINVAL, "line 1: a line begins with");
    load_fails(IQN " alice alice-\x01s3cret\n", -EINVAL, "line 1: a control character");
    /* libiscsi keeps 255 bytes of a secret. */
    memset(long_field, 'x', 256);
    long_field[256] = '\0';
    snprintf(line, sizeof(line), IQN " alice %s\n", long_field);
    load_fails(line, -EINVAL, "field 3 is longer than 255 bytes");
    long_field[255] = '\0';
    snprintf(line, sizeof(line), "eui.02004567A425678D alice %s\n", long_field);
    auth_table_free(load(line));
}

static void two_entries_for_one_user_are_refused(void **state)
{
    (void)state;
    load_fails(IQN " alice alice-s3cret\n* alice star-s3cret\n"
                   "IQN.2026-11.org.example:DISK alice alice-s3cret disk disk-s3cret\n",
               -EINVAL, "line 3: the same target and user as in");
    setenv("THINMIRROR_CHAP_USER", "alice", 1);
    setenv("THINMIRROR_CHAP_SECRET", "other-s3cret", 1);
    load_fails("* alice star-s3cret\n", -EINVAL, "the environment");
}

/* RFC 7143 9.2.1. */
static void a_secret_is_for_one_direction_only(void **state)
{
    struct auth_table *table;
    struct errmsg err;

    (void)state;
    load_fails(IQN " alice same-s3cret disk same-s3cret\n", -EINVAL, "line 1: the secret of the");
    load_fails(IQN " alice same-s3cret\n* bob bob-s3cret disk same-s3cret\n", -EINVAL,
               "line 2: the secret of the target is the secret of a user in");
    auth_table_free(load(IQN " alice user-s3cret disk disk-s3cret\n"
                             "* alice user-s3cret disk disk-s3cret\n"));
    setenv("THINMIRROR_CHAP_USER", "alice", 1);
    setenv("THINMIRROR_CHAP_SECRET", "same-s3cret", 1);
    setenv("THINMIRROR_CHAP_TARGET_USER", "disk", 1);
    setenv("THINMIRROR_CHAP_TARGET_SECRET", "same-s3cret", 1);
    assert_int_equal(auth_table_load(NULL, &table, &err), -EINVAL);
    assert_non_null(strstr(err.text, "they have to differ"));
    assert_null(strstr(err.text, "same-s3cret"));
}

static void a_file_of_another_user_is_refused(void **state)
{
    struct auth_table *table;
    struct errmsg err;

    (void)state;
    if (geteuid() != 0)
        skip_because("only root can give a file away");
    write_file(IQN " alice alice-s3cret\n");
    assert_int_equal(chown(path, 65534, (gid_t)-1), 0);
    assert_int_equal(auth_table_load(path, &table, &err), -EPERM);
    assert_non_null(strstr(err.text, "chown 0 /tmp/auth."));
    /* The owner himself may. */
    assert_int_equal(seteuid(65534), 0);
    assert_int_equal(auth_table_load(path, &table, &err), 0);
    auth_table_free(table);
    assert_int_equal(seteuid(0), 0);
}

static void no_table_and_no_entry_are_nothing(void **state)
{
    struct auth_table *table;

    (void)state;
    assert_int_equal(auth_table_load(NULL, &table, NULL), 0);
    assert_null(auth_table_find(table, IQN, NULL));
    auth_table_free(table);
    auth_table_free(NULL);
    assert_null(auth_table_find(NULL, IQN, NULL));
}

static void wrong_lines_are_named(void **state)
{
    (void)state;
    load_fails("* a s3cret\n" IQN " alice\n", -EINVAL, "line 2");
    load_fails(IQN " alice s3cret target\n", -EINVAL, "line 1");
    load_fails(IQN " alice s3cret target s3cret more\n", -EINVAL, "more than 5");
}

static void a_file_that_others_may_read_is_refused(void **state)
{
    (void)state;
    chmod(path, 0640);
    load_fails("* a s3cret\n", -EPERM, "chmod 600");
    chmod(path, 0602);
    load_fails("* a s3cret\n", -EPERM, "chmod 600");
}

static void a_missing_file_is_told(void **state)
{
    struct auth_table *table;
    struct errmsg err;

    (void)state;
    assert_int_equal(auth_table_load("/nowhere/at/all", &table, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    assert_int_equal(auth_table_load("/tmp", &table, &err), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_exact_entry_comes_before_the_star),
        TEST(a_line_needs_no_end),
        TEST(a_zero_byte_is_no_end_of_a_secret),
        TEST(a_huge_file_is_not_read),
        TEST(only_a_file_will_do),
        TEST(a_link_to_a_file_that_others_can_read_is_refused),
        TEST(the_environment_is_for_every_target),
        TEST(half_an_environment_is_refused),
        TEST(an_empty_variable_is_refused),
        TEST(a_secret_does_not_stay_in_the_environment),
        TEST(a_number_sign_within_a_line_is_a_part_of_its_field),
        TEST(a_comment_behind_fields_is_refused),
        TEST(what_is_no_target_is_named),
        TEST(two_entries_for_one_user_are_refused),
        TEST(a_secret_is_for_one_direction_only),
        TEST(a_file_of_another_user_is_refused),
        TEST(no_table_and_no_entry_are_nothing),
        TEST(wrong_lines_are_named),
        TEST(a_file_that_others_may_read_is_refused),
        TEST(a_missing_file_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
