/* SPDX-License-Identifier: Apache-2.0 */

/* What thindoctor makes of the target port groups that LUNs' ports are in, over folders as the
 * kernel's target has them in configfs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "port_groups_check.h"
#include "scratch.h"

static int setup(void **state)
{
    struct scratch *scratch = malloc(sizeof(*scratch));

    assert_non_null(scratch);
    scratch_make(scratch);
    *state = scratch;
    return 0;
}

static int teardown(void **state)
{
    char command[256];

    snprintf(command, sizeof(command), "rm -rf '%s/user_0'", ((struct scratch *)*state)->directory);
    assert_int_equal(system(command), 0);
    scratch_remove(*state);
    free(*state);
    return 0;
}

static void write_text(const struct scratch *scratch, const char *name, const char *text)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", scratch->directory, name);
    for (char *at = path + strlen(scratch->directory) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

#define INFO "Status: ACTIVATED  Max Queue Depth: 128\n        Config: "

/* A LUN whose first group has one port. */
static void make_lun(const struct scratch *scratch)
{
    write_text(scratch, "user_0/disk1/info", INFO "thin//srv/disk1 Size: 16777216\n");
    write_text(scratch, "user_0/disk1/attrib/alua_support", "1\n");
    write_text(scratch, "user_0/disk1/alua/default_tg_pt_gp/members",
               "iSCSI/iqn.2024-01.org.example:a/tpgt_1/lun_0\n");
    write_text(scratch, "user_0/disk1/alua/other/members", "");
}

static void nothing_is_said_without_luns(void **state)
{
    const struct scratch *scratch = *state;
    struct findings findings = {0};

    check_port_groups(&findings, scratch->directory);
    write_text(scratch, "user_0/foreign/info", INFO "rbd/pool/image Size: 16777216\n");
    check_port_groups(&findings, scratch->directory);
    assert_int_equal(findings.count, 0);
}

static void ports_of_one_group_are_well(void **state)
{
    struct findings findings = {0};

    make_lun(*state);
    check_port_groups(&findings, ((struct scratch *)*state)->directory);
    assert_int_equal(findings.count, 1);
    assert_true(findings.items[0].ok);
    assert_string_equal(findings.items[0].state, "the ports of each LUN (1) are in one group");
}

static void ports_of_several_are_named(void **state)
{
    const struct scratch *scratch = *state;
    struct findings findings = {0};

    make_lun(scratch);
    write_text(scratch, "user_0/disk1/alua/other/members", "loopback/naa.5/tpgt_1/lun_0\n");
    check_port_groups(&findings, scratch->directory);
    assert_int_equal(findings.count, 1);
    assert_false(findings.items[0].ok);
    assert_int_equal(findings.items[0].need, NEED_OPTIONAL);
    assert_non_null(strstr(findings.items[0].state, "disk1"));
    assert_non_null(strstr(findings.items[0].state, "default_tg_pt_gp"));
    assert_non_null(strstr(findings.items[0].state, "other"));
    assert_non_null(strstr(findings.items[0].mend, "disk1/alua/*/members"));
}

static void without_alua_groups_do_not_matter(void **state)
{
    const struct scratch *scratch = *state;
    struct findings findings = {0};

    make_lun(scratch);
    write_text(scratch, "user_0/disk1/alua/other/members", "loopback/naa.5/tpgt_1/lun_0\n");
    write_text(scratch, "user_0/disk1/attrib/alua_support", "0\n");
    check_port_groups(&findings, scratch->directory);
    assert_int_equal(findings.count, 0);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(nothing_is_said_without_luns),
        IN_SCRATCH(ports_of_one_group_are_well),
        IN_SCRATCH(ports_of_several_are_named),
        IN_SCRATCH(without_alua_groups_do_not_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
