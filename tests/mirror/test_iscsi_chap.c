/* SPDX-License-Identifier: Apache-2.0 */

/* CHAP with a real target (tgtd) on the loopback. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>

#include "auth.h"
#include "endpoint.h"
#include "skip.h"
#include "tgtd.h"

static bool available;
static struct tgtd target; /* "plain", "chap", and "both" with mutual CHAP */

static int start_target(void **state)
{
    static const char *const chap[] = {
        "--lld iscsi --op new --mode account --user alice --password alice-secret-1",
        "--lld iscsi --op new --mode account --user target --password target-secret-1",
        "--lld iscsi --op bind --mode account --tid 2 --user alice",
        "--lld iscsi --op bind --mode account --tid 3 --user alice",
        "--lld iscsi --op bind --mode account --tid 3 --user target --outgoing",
    };

    (void)state;
    available = tgtd_available();
    if (!available)
        return 0;
    tgtd_start(&target);
    tgtd_add_target(&target, 1, "plain", "1M", 512);
    tgtd_add_target(&target, 2, "chap", "1M", 512);
    tgtd_add_target(&target, 3, "both", "1M", 512);
    for (size_t i = 0; i < sizeof(chap) / sizeof(chap[0]); i++)
        tgtd_admin(&target, chap[i]);
    return 0;
}

static int stop_target(void **state)
{
    (void)state;
    if (available)
        tgtd_stop(&target);
    return 0;
}

static struct auth_table *auth_from_environment(const char *user, const char *secret,
                                                const char *target_user, const char *target_secret)
{
    static const char *const names[] = {"THINMIRROR_CHAP_USER", "THINMIRROR_CHAP_SECRET",
                                        "THINMIRROR_CHAP_TARGET_USER",
                                        "THINMIRROR_CHAP_TARGET_SECRET"};
    const char *const values[] = {user, secret, target_user, target_secret};
    struct auth_table *table;
    struct errmsg err;

    for (int i = 0; i < 4; i++)
        if (values[i])
            setenv(names[i], values[i], 1);
    assert_int_equal(auth_table_load(NULL, &table, &err), 0);
    for (int i = 0; i < 4; i++)
        unsetenv(names[i]);
    return table;
}

static struct endpoint *open_with(const char *name, struct auth_table *auth)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};
    char url[256];

    if (endpoint_open(tgtd_url(&target, name, 1, url), 0, auth, &endpoint, &err) < 0)
        fail_msg("%s", err.text);
    return endpoint;
}

static void open_fails(const char *url, struct auth_table *auth, int error, const char *words)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};

    assert_int_equal(endpoint_open(url, 0, auth, &endpoint, &err), error);
    if (!strstr(err.text, words) || !strstr(err.text, "iscsi://"))
        fail_msg("'%s' does not say '%s' and the name", err.text, words);
    if (strstr(err.text, "secret-1"))
        fail_msg("'%s' gives the secret away", err.text);
}

static void chap_opens_with_the_right_secret_only(void **state)
{
    struct auth_table *auth;
    char url[256], with_user[300];

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    tgtd_url(&target, "chap", 1, url);
    snprintf(with_user, sizeof(with_user), "iscsi://alice@%s", url + strlen("iscsi://"));
    open_fails(url, NULL, -ENOKEY, "wants CHAP: give user and secret");
    open_fails(with_user, NULL, -EACCES, "no secret is known for the user alice");

    auth = auth_from_environment("alice", "wrong-secret-1", NULL, NULL);
    open_fails(url, auth, -EACCES, "refuses this user or CHAP secret");
    auth_table_free(auth);
    auth = auth_from_environment("bob", "alice-secret-1", NULL, NULL);
    open_fails(url, auth, -EACCES, "refuses this user or CHAP secret");
    auth_table_free(auth);

    auth = auth_from_environment("alice", "alice-secret-1", NULL, NULL);
    endpoint_close(open_with("chap", auth));
    auth_table_free(auth);
}

/* It may be another one in its place. */
static void a_target_that_wants_no_chap_is_refused_when_there_is_a_secret(void **state)
{
    struct auth_table *auth;
    char url[256];

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    auth = auth_from_environment("alice", "alice-secret-1", NULL, NULL);
    open_fails(tgtd_url(&target, "plain", 1, url), auth, -EKEYREJECTED, "--chap-optional");
    auth_table_make_optional(auth);
    endpoint_close(open_with("plain", auth));
    endpoint_close(open_with("chap", auth));
    auth_table_free(auth);
    endpoint_close(open_with("plain", NULL));

    /* A target that has to prove who it is does so, whatever is allowed. */
    auth = auth_from_environment("alice", "alice-secret-1", "target", "target-secret-1");
    auth_table_make_optional(auth);
    open_fails(url, auth, -EACCES, "mutual CHAP");
    endpoint_close(open_with("both", auth));
    auth_table_free(auth);
}

static void mutual_chap_checks_the_target(void **state)
{
    struct auth_table *auth;
    char url[256];

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    tgtd_url(&target, "both", 1, url);
    auth = auth_from_environment("alice", "alice-secret-1", "target", "target-secret-1");
    endpoint_close(open_with("both", auth));
    auth_table_free(auth);
    auth = auth_from_environment("alice", "alice-secret-1", "target", "other-secret-1");
    open_fails(url, auth, -EACCES, "could not prove who it is");
    auth_table_free(auth);
}

/* Either may be the reason, and the target does not say which. */
static void mutual_chap_that_the_target_has_not_is_told(void **state)
{
    struct auth_table *auth;
    char url[256];

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    auth = auth_from_environment("alice", "alice-secret-1", "target", "target-secret-1");
    open_fails(tgtd_url(&target, "chap", 1, url), auth, -EACCES,
               "refuses this user or CHAP secret, or has no mutual CHAP");
    auth_table_free(auth);
}

static void a_file_of_secrets_without_a_line_for_the_target_is_named(void **state)
{
    char path[] = "/tmp/secrets.XXXXXX", url[256], with_user[300];
    struct auth_table *auth;
    struct errmsg err;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_true(dprintf(fd, TGTD_IQN "other alice alice-secret-1\n") > 0);
    close(fd);
    assert_int_equal(auth_table_load(path, &auth, &err), 0);
    unlink(path);
    if (!available) {
        auth_table_free(auth);
        skip_because("there is no tgtd that may run here");
    }
    tgtd_url(&target, "chap", 1, url);
    open_fails(url, auth, -ENOKEY, path);
    open_fails(url, auth, -ENOKEY, "has no line for " TGTD_IQN "chap");
    snprintf(with_user, sizeof(with_user), "iscsi://alice@%s", url + strlen("iscsi://"));
    open_fails(with_user, auth, -EACCES, path);
    open_fails(with_user, auth, -EACCES, "has no line for this target and the user alice");
    auth_table_free(auth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chap_opens_with_the_right_secret_only),
        cmocka_unit_test(a_target_that_wants_no_chap_is_refused_when_there_is_a_secret),
        cmocka_unit_test(mutual_chap_checks_the_target),
        cmocka_unit_test(mutual_chap_that_the_target_has_not_is_told),
        cmocka_unit_test(a_file_of_secrets_without_a_line_for_the_target_is_named),
    };

    return cmocka_run_group_tests(tests, start_target, stop_target);
}
