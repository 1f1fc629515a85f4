/* SPDX-License-Identifier: Apache-2.0 */

/* What the kernel's target shows in configfs, from a folder made like it. The texts are those of
 * Linux 6.1, as its configfs showed them. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel_access.h"
#include "kernel_alua.h"
#include "scratch.h"

#define NO_SPC3 "No SPC-3 Reservation holder\n"
#define ISCSI   "iscsi/iqn.2026-01.lab.thinmirror:one/tpgt_1"
#define LOOP    "loopback/naa.5001405000000001/tpgt_1"
#define MEMBERS                                           \
    "iSCSI/iqn.2026-01.lab.thinmirror:one/tpgt_1/lun_0\n" \
    "loopback/naa.5001405000000001/tpgt_1/lun_0\n"

static struct scratch scratch;
static struct kernel_device device;

static const char *in_root(const char *name)
{
    return scratch_path(&scratch, name);
}

/* Every folder on the way to name. */
static void make_folders(const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s", name);
    for (char *slash = path; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(in_root(path), 0700);
        *slash = '/';
    }
    mkdir(in_root(path), 0700);
}

static void put(const char *folder, const char *name, const char *text)
{
    char path[256];

    make_folders(folder);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    scratch_text(in_root(path), text);
}

static void say_reservation(const char *type, const char *holder)
{
    put("core/user_3/disk/pr", "res_pr_type", type);
    put("core/user_3/disk/pr", "res_holder", holder);
}

/* An ACL that maps its LUN mapped to the portal group's LUN lun. */
static void put_acl(const char *mapped, const char *lun, const char *write_protect)
{
    char folder[256], link[300], target[300];

    snprintf(folder, sizeof(folder), ISCSI "/acls/iqn.2026-01.lab.thinmirror:host/%s", mapped);
    put(folder, "write_protect", write_protect);
    snprintf(link, sizeof(link), "%s/any_name", folder);
    snprintf(target, sizeof(target), "../../../../../../../target/" ISCSI "/lun/%s", lun);
    assert_int_equal(symlink(target, in_root(link)), 0);
}

static int set_up(void **state)
{
    (void)state;
    scratch_make(&scratch);
    assert_int_equal(kernel_device_init(&device, scratch.directory,
                                        "tcm-user/3/disk/thin//srv/disk;ro\n"),
                     0);
    say_reservation(NO_SPC3, NO_SPC3);
    put("core/user_3/disk/alua/default_tg_pt_gp", "members", MEMBERS);
    put(ISCSI "/lun/lun_0", "alua_tg_pt_offline", "0\n");
    put(ISCSI "/attrib", "generate_node_acls", "1\n");
    put(ISCSI "/attrib", "demo_mode_write_protect", "0\n");
    make_folders(ISCSI "/acls");
    make_folders(LOOP "/lun/lun_0");
    make_folders(LOOP "/acls");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static struct lun_access look(void)
{
    struct lun_access access = {LUN_RESERVATION_UNKNOWN, true};

    kernel_access_look(&device, &access);
    return access;
}

static void assert_reservation(const char *type, const char *holder, enum lun_reservation expected)
{
    say_reservation(type, holder);
    assert_int_equal(look().reservation, expected);
}

static void a_device_is_found_by_its_name(void **state)
{
    struct kernel_device found;
    static const char *const wrong[] = {
        "",
        "tcm-user/",
        "tcm-user//disk/thin",
        "tcm-user/3",
        "tcm-user/3/",
        "uio/3/d/x",
        "tcm-user/3/disk",
        "tcm-user/x/disk/t",
        "tcm-user/3//thin",
        "tcm-user/3/../t",
    };

    char long_root[KERNEL_TARGET_PATH_BYTES + 1] = "";

    (void)state;
    memset(long_root, 'r', sizeof(long_root) - 1);
    assert_int_equal(kernel_device_init(&found, long_root, "tcm-user/17/a/thin"), -ENAMETOOLONG);
    long_root[sizeof(found.root) - 1] = '\0';
    assert_int_equal(kernel_device_init(&found, long_root, "tcm-user/17/a/thin"), 0);
    assert_int_equal(kernel_device_init(&found, "/root", "tcm-user/17/a b/thin//srv/a"), 0);
    assert_string_equal(found.folder, "/root/core/user_17/a b");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(kernel_device_init(&found, "/root", wrong[i]), -EINVAL);
}

static void every_reservation_is_known(void **state)
{
    static const char holder[] = "SPC-3 Reservation: iSCSI Initiator: iqn.x:y,i,0x00023d000001\n";

    (void)state;
    assert_reservation(NO_SPC3, NO_SPC3, LUN_NOT_RESERVED);
    assert_reservation(NO_SPC3, "SPC-2 Reservation: iSCSI Initiator: iqn.x:y\n", LUN_RESERVED);
    assert_reservation(NO_SPC3, "No SPC-2 Reservation holder\n", LUN_NOT_RESERVED);
    assert_reservation(NO_SPC3, "SPC_RESERVATIONS_DISABLED\n", LUN_NOT_RESERVED);
    assert_reservation(NO_SPC3, "Passthrough\n", LUN_NOT_RESERVED);
    assert_reservation("SPC-3 Reservation Type: Write Exclusive Access\n", holder,
                       LUN_RESERVED_FOR_WRITING);
    assert_reservation("SPC-3 Reservation Type: Write Exclusive Access, Registrants Only\n", holder,
                       LUN_RESERVED_FOR_WRITING);
    assert_reservation("SPC-3 Reservation Type: Write Exclusive Access, All Registrants\n", holder,
                       LUN_RESERVED_FOR_WRITING);
    assert_reservation("SPC-3 Reservation Type: Exclusive Access\n", holder, LUN_RESERVED);
    assert_reservation("SPC-3 Reservation Type: Exclusive Access, Registrants Only\n", holder,
                       LUN_RESERVED);
    assert_reservation("SPC-3 Reservation Type: Exclusive Access, All Registrants\n", holder,
                       LUN_RESERVED);
}

static void what_is_not_understood_is_unknown(void **state)
{
    char long_text[KERNEL_TARGET_TEXT_BYTES];

    (void)state;
    memset(long_text, ' ', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    memcpy(long_text, "No SPC-3 Reservation holder\n", 28);
    assert_reservation("", NO_SPC3, LUN_RESERVATION_UNKNOWN);
    assert_reservation(NO_SPC3, "", LUN_RESERVATION_UNKNOWN);
    assert_reservation("SPC-3 Reservation Type: Unknown SPC-3 PR Type\n", NO_SPC3,
                       LUN_RESERVATION_UNKNOWN);
    assert_reservation("SPC-3 Reservation Type: Exclusive Access, and more\n", NO_SPC3,
                       LUN_RESERVATION_UNKNOWN);
    assert_reservation(NO_SPC3, "SPC-3 Reservation: iSCSI Initiator: made just now\n",
                       LUN_RESERVATION_UNKNOWN);
    assert_reservation(NO_SPC3, "SPC-4 Reservation: something new\n", LUN_RESERVATION_UNKNOWN);
    assert_reservation(long_text, NO_SPC3, LUN_RESERVATION_UNKNOWN);
    say_reservation(NO_SPC3, NO_SPC3);
    unlink(in_root("core/user_3/disk/pr/res_holder"));
    assert_int_equal(look().reservation, LUN_RESERVATION_UNKNOWN);
    say_reservation(NO_SPC3, NO_SPC3);
    unlink(in_root("core/user_3/disk/pr/res_pr_type"));
    assert_int_equal(look().reservation, LUN_RESERVATION_UNKNOWN);
}

static void a_read_only_mapping_is_seen(void **state)
{
    (void)state;
    assert_false(look().read_only_for_some);
    put(ISCSI "/attrib", "demo_mode_write_protect", "1\n");
    assert_true(look().read_only_for_some);
    put(ISCSI "/attrib", "generate_node_acls", "0\n"); /* no initiator comes in that way */
    assert_false(look().read_only_for_some);
    put_acl("lun_7", "lun_0", "0\n");
    put_acl("lun_8", "lun_1", "1\n"); /* another LUN of the portal group */
    assert_false(look().read_only_for_some);
    put_acl("lun_9", "lun_0", "1\n");
    assert_true(look().read_only_for_some);
}

static void ports_that_cannot_be_told_may_be_read_only(void **state)
{
    static const char members[] = "core/user_3/disk/alua/default_tg_pt_gp";
    char many[KERNEL_TARGET_TEXT_BYTES] = "";

    (void)state;
    put(members, "members", "");
    assert_true(look().read_only_for_some);
    put(members, "members", "iSCSI/iqn.2026-01.lab.thinmirror:two/tpgt_1/lun_0\n");
    assert_true(look().read_only_for_some);
    put(members, "members", "something else\n");
    assert_true(look().read_only_for_some);
    put(members, "members", "iSCSI/../../tpgt_1/lun_0\n");
    assert_true(look().read_only_for_some);
    snprintf(many, sizeof(many), MEMBERS LOOP "/lun_%0100d\n", 0); /* longer than the kernel's */
    put(members, "members", many);
    assert_true(look().read_only_for_some);
    many[0] = '\0';
    for (size_t at = 0; at + sizeof(LOOP) + 8 < sizeof(many); at = strlen(many))
        strcat(many, LOOP "/lun_0\n");
    put(members, "members", many); /* the kernel may have had no room for more */
    assert_true(look().read_only_for_some);
    put(members, "members", MEMBERS);
    assert_false(look().read_only_for_some);
    put(ISCSI "/attrib", "generate_node_acls", "perhaps\n");
    assert_true(look().read_only_for_some);
    put(ISCSI "/attrib", "generate_node_acls", "1\n");
    put_acl("lun_9", "lun_0", "0\n");
    assert_false(look().read_only_for_some);
    unlink(in_root(ISCSI "/acls/iqn.2026-01.lab.thinmirror:host/lun_9/write_protect"));
    assert_true(look().read_only_for_some);
}

static void the_folder_of_reservations_is_named(void **state)
{
    char folder[KERNEL_TARGET_PATH_BYTES], expected[KERNEL_TARGET_PATH_BYTES];

    (void)state;
    assert_int_equal(kernel_reservation_folder(scratch.directory, folder), -EIO);
    snprintf(expected, sizeof(expected), "%s\n", in_root("etc"));
    put(".", "dbroot", expected);
    snprintf(expected, sizeof(expected), "%s/pr", in_root("etc"));
    assert_int_equal(kernel_reservation_folder(scratch.directory, folder), -ENOENT);
    assert_string_equal(folder, expected);
    make_folders("etc/pr");
    assert_int_equal(kernel_reservation_folder(scratch.directory, folder), 0);
}

/* What the alua folder of a backstore shows, as Linux 6.1 does. */
static void put_group(const char *name, const char *id, const char *state, const char *members)
{
    static const char *const supported[] = {"transitioning",    "offline",
                                            "unavailable",      "standby",
                                            "active_optimized", "active_nonoptimized"};
    char folder[256], file[64];

    snprintf(folder, sizeof(folder), "core/user_3/disk/alua/%s", name);
    put(folder, "tg_pt_gp_id", id);
    put(folder, "alua_access_state", state);
    put(folder, "alua_access_status", "Altered by Implicit ALUA\n");
    put(folder, "alua_access_type", "Implicit and Explicit\n");
    put(folder, "preferred", "1\n");
    put(folder, "implicit_trans_secs", "60\n");
    put(folder, "alua_support_lba_dependent", "0\n");
    put(folder, "members", members);
    for (size_t i = 0; i < 6; i++) {
        snprintf(file, sizeof(file), "alua_support_%s", supported[i]);
        put(folder, file, "1\n");
    }
}

static struct lun_ports look_at_ports(void)
{
    struct lun_ports ports = {0};

    kernel_ports_look(&device, &ports);
    return ports;
}

static void put_ports(void)
{
    put_group("default_tg_pt_gp", "0\n", "2\n", MEMBERS);
    put(ISCSI "/lun/lun_0/statistics/scsi_port", "indx", "1\n");
    put(LOOP "/lun/lun_0/statistics/scsi_port", "indx", "513\n");
    put("core/user_3/disk/attrib", "emulate_pr", "1\n");
    put("core/user_3/disk/attrib", "pgr_support", "1\n");
    put("core/user_3/disk/attrib", "alua_support", "1\n");
}

static void the_ports_and_their_group_are_found(void **state)
{
    struct lun_ports ports;

    (void)state;
    put_ports();
    put_group("spare", "17\n", "0\n", "");
    ports = look_at_ports();
    assert_true(ports.reservations && ports.alua && ports.preferred);
    assert_int_equal(ports.group, 0);
    assert_int_equal(ports.state, 2);
    assert_int_equal(ports.status, 2);
    assert_int_equal(ports.supported, 0xCF);
    assert_int_equal(ports.transition_seconds, 60);
    assert_int_equal(ports.count, 2);
    assert_int_equal(ports.ids[0], 1);
    assert_int_equal(ports.ids[1], 513);
}

static void what_is_not_told_for_certain_is_not_told(void **state)
{
    static const char group[] = "core/user_3/disk/alua/default_tg_pt_gp";
    static const struct {
        const char *folder, *name, *text, *sound;
    } wrong[] = {
        {group, "alua_access_type", "Explicit\n", "Implicit\n"},
        {group, "alua_access_type", "None\n", "Implicit\n"},
        {group, "alua_access_state", "16\n", "15\n"},
        {group, "alua_access_status", "Something\n", "None\n"},
        {group, "tg_pt_gp_id", "65536\n", "65535\n"},
        {group, "members", "", MEMBERS},
        {"core/user_3/disk/attrib", "alua_support", "0\n", "1\n"},
        {ISCSI "/lun/lun_0/statistics/scsi_port", "indx", "0\n", "65535\n"},
    };

    (void)state;
    put_ports();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        put(wrong[i].folder, wrong[i].name, wrong[i].text);
        assert_false(look_at_ports().alua);
        put(wrong[i].folder, wrong[i].name, wrong[i].sound);
        assert_true(look_at_ports().alua);
    }
    put_group("other", "5\n", "0\n", LOOP "/lun_0\n"); /* ports of two groups */
    put(group, "members", "iSCSI/iqn.2026-01.lab.thinmirror:one/tpgt_1/lun_0\n");
    assert_false(look_at_ports().alua);
    assert_true(look_at_ports().reservations);
    put("core/user_3/disk/attrib", "pgr_support", "0\n");
    assert_false(look_at_ports().reservations);
    put("core/user_3/disk/attrib", "emulate_pr", "0\n");
    assert_false(look_at_ports().reservations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_device_is_found_by_its_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_reservation_is_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_understood_is_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_read_only_mapping_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ports_that_cannot_be_told_may_be_read_only, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_ports_and_their_group_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_told_for_certain_is_not_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_folder_of_reservations_is_named, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
