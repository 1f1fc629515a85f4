/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "target_url.h"

#define IQN "iqn.2026-11.org.example:disk"

static void whole_urls_are_taken_apart(void **state)
{
    static const struct {
        const char *text, *user, *host, *port, *target;
        unsigned lun;
    } cases[] = {
        {"iscsi://host/" IQN "/1", "", "host", "3260", IQN, 1},
        {"iscsi://127.0.0.1:13000/" IQN "/0", "", "127.0.0.1", "13000", IQN, 0},
        {"iscsi://alice@host.example:1/" IQN "/255", "alice", "host.example", "1", IQN, 255},
        {"iscsi://[::1]/" IQN "/16383", "", "::1", "3260", IQN, 16383},
        {"ISCSI://host/" IQN "/1", "", "host", "3260", IQN, 1},
        {"iscsi://alice@[fe80::1%eth0]:9/eui.0123456789ABCDEF/7", "alice", "fe80::1%eth0", "9",
         "eui.0123456789ABCDEF", 7},
        {"iscsi://[fe80::1]:65535/eui.0123456789ABCDEF/7", "", "fe80::1", "65535",
         "eui.0123456789ABCDEF", 7},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct target_url url;
        struct errmsg err;

        if (target_url_parse(cases[i].text, &url, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(url.user, cases[i].user);
        assert_string_equal(url.portals[0].host, cases[i].host);
        assert_string_equal(url.portals[0].port, cases[i].port);
        assert_string_equal(url.target, cases[i].target);
        assert_int_equal(url.lun, cases[i].lun);
        assert_int_equal(url.portal_count, 1);
    }
}

static void portals_are_separated_by_commas(void **state)
{
    struct target_url url;
    struct errmsg err;

    (void)state;
    assert_int_equal(target_url_parse("iscsi://u@a,[fe80::1]:7,b.example:3261/" IQN "/1", &url,
                                      &err),
                     0);
    assert_int_equal(url.portal_count, 3);
    assert_string_equal(url.user, "u");
    assert_string_equal(url.portals[0].host, "a");
    assert_string_equal(url.portals[0].port, "3260");
    assert_string_equal(url.portals[1].host, "fe80::1");
    assert_string_equal(url.portals[1].port, "7");
    assert_string_equal(url.portals[2].host, "b.example");
    assert_string_equal(url.portals[2].port, "3261");
    assert_int_equal(target_url_parse("iscsi://a,b,c,d,e,f,g,h/" IQN "/1", &url, &err), 0);
    assert_int_equal(url.portal_count, TARGET_PORTALS_MAX);
}

/* As iscsiadm -m node and -m discovery print portals. */
static void the_tag_of_a_portal_group_is_passed_over(void **state)
{
    static const char *const texts[] = {"iscsi://10.0.0.1:3261,1/" IQN "/1",
                                        "iscsi://10.0.0.1:3261,-1/" IQN "/1",
                                        "iscsi://10.0.0.1:3261,65535/" IQN "/1"};
    struct target_url url;
    struct errmsg err;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(target_url_parse(texts[i], &url, &err), 0);
        assert_int_equal(url.portal_count, 1);
        assert_string_equal(url.portals[0].host, "10.0.0.1");
        assert_string_equal(url.portals[0].port, "3261");
    }
    assert_int_equal(target_url_parse("iscsi://[fe80::1]:3260,1,10.0.0.2:3260,2/" IQN "/1", &url,
                                      &err),
                     0);
    assert_int_equal(url.portal_count, 2);
    assert_string_equal(url.portals[0].host, "fe80::1");
    assert_string_equal(url.portals[1].host, "10.0.0.2");
    assert_int_equal(target_url_parse("iscsi://1/" IQN "/1", &url, &err), 0);
    assert_string_equal(url.portals[0].host, "1");
}

static void what_was_meant_for_a_url_gets_advice(void **state)
{
    static const char *const meant[] = {
        "10.0.0.1:3260,1 " IQN, "host/" IQN "/0",    IQN,          "//host/" IQN "/1",
        "nvme://host/nqn",      "https://host/disk", "scsi://" IQN};
    static const char *const files[] = {"/srv/iqn",   "disk.img", "a:b",        "/dev/sdz",
                                        "/srv/iqn.2", "./iqn.2",  "x/iqnx.img", "iscsi://host"};

    (void)state;
    for (size_t i = 0; i < sizeof(meant) / sizeof(meant[0]); i++)
        if (!target_url_advice(meant[i]))
            fail_msg("nothing is said of %s", meant[i]);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (target_url_advice(files[i]))
            fail_msg("%s is taken for a URL", files[i]);
}

static void what_is_no_url_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "iscsi:",
        "http://host/" IQN "/1",
        "iscsi://",
        "iscsi://host",
        "iscsi://host/",
        "iscsi://host/" IQN,
        "iscsi://host/" IQN "/",
        "iscsi://host//1",
        "iscsi:///" IQN "/1",
        "iscsi://host:/" IQN "/1",
        "iscsi://host:0/" IQN "/1",
        "iscsi://,host/" IQN "/1",
        "iscsi://host,/" IQN "/1",
        "iscsi://a,,b/" IQN "/1",
        "iscsi://a,b:0/" IQN "/1",
        "iscsi://a,b,c,d,e,f,g,h,i/" IQN "/1",
        "iscsi://host:65536/" IQN "/1",
        "iscsi://host:http/" IQN "/1",
        "iscsi://host:-1/" IQN "/1",
        "iscsi://[::1/" IQN "/1",
        "iscsi://[::1]x/" IQN "/1",
        "iscsi://[]/" IQN "/1",
        "iscsi://@host/" IQN "/1",
        "iscsi://host/" IQN "/x",
        "iscsi://host/" IQN "/1x",
        "iscsi://host/" IQN "/-1",
        "iscsi://host/" IQN "/16384",
        "iscsi://host/" IQN "/99999999999999999999",
        "iscsi://host/" IQN "/1?header_digest=crc32c",
        "iscsi://host/" IQN "/1/2",
    };
    struct target_url url;
    struct errmsg err;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (target_url_parse(texts[i], &url, &err) != -EINVAL)
            fail_msg("'%s' was taken", texts[i]);
        assert_non_null(strstr(err.text, texts[i]));
    }
}

static void long_parts_are_refused(void **state)
{
    char text[1024], name[301] = {0};
    struct target_url url;
    struct errmsg err;

    (void)state;
    memset(name, 'x', 300);
    snprintf(text, sizeof(text), "iscsi://%s/" IQN "/1", name);
    assert_int_equal(target_url_parse(text, &url, &err), -EINVAL);
    snprintf(text, sizeof(text), "iscsi://host/%s/1", name);
    assert_int_equal(target_url_parse(text, &url, &err), -EINVAL);
    snprintf(text, sizeof(text), "iscsi://%s@host/" IQN "/1", name);
    assert_int_equal(target_url_parse(text, &url, &err), -EINVAL);
    name[223] = '\0';
    snprintf(text, sizeof(text), "iscsi://host/%s/1", name);
    assert_int_equal(target_url_parse(text, &url, &err), 0);
}

static void a_secret_is_refused_and_never_repeated(void **state)
{
    static const char *const texts[] = {
        "iscsi://alice%s3cret@host/" IQN "/1",
        "iscsi://alice:s3cret@host/" IQN "/1",
        "iscsi://alice%s3/cret@host/" IQN "/1",
        "iscsi://alice%s3@cret@host/" IQN "/1",
        "iscsi://alice%s3cret@host",
    };
    struct target_url url;
    struct errmsg err;
    char shown[256];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(target_url_parse(texts[i], &url, &err), -EINVAL);
        assert_non_null(strstr(err.text, "--auth-file"));
        assert_null(strstr(err.text, "s3"));
        assert_null(strstr(err.text, "cret@"));
        assert_non_null(strstr(err.text, "iscsi://alice@host"));
    }
    target_url_without_secret("iscsi://alice@host/" IQN "/1", shown, sizeof(shown));
    assert_string_equal(shown, "iscsi://alice@host/" IQN "/1");
    target_url_without_secret("/dev/sda", shown, sizeof(shown));
    assert_string_equal(shown, "/dev/sda");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(portals_are_separated_by_commas),
        cmocka_unit_test(whole_urls_are_taken_apart),
        cmocka_unit_test(the_tag_of_a_portal_group_is_passed_over),
        cmocka_unit_test(what_was_meant_for_a_url_gets_advice),
        cmocka_unit_test(what_is_no_url_is_refused),
        cmocka_unit_test(long_parts_are_refused),
        cmocka_unit_test(a_secret_is_refused_and_never_repeated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
