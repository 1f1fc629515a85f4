/* SPDX-License-Identifier: Apache-2.0 */

/* What sysfs knows of a SCSI device node, over a tree as the kernel lays it out. /dev/null
 * (character device 1:3) stands in for /dev/sg0. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sg_device.h"

#define UNIT "devices/platform/host3/session7/target3:0:0/3:0:0:12"

static char sysfs[32];

/* One shell command in the tree; every path in it is relative. */
static void shell(const char *command)
{
    char line[1024];

    snprintf(line, sizeof(line), "cd %s && %s", sysfs, command);
    assert_int_equal(system(line), 0);
}

static int setup(void **state)
{
    (void)state;
    strcpy(sysfs, "/tmp/sysfs.XXXXXX");
    assert_non_null(mkdtemp(sysfs));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shell("rm -r ./*");
    rmdir(sysfs);
    return 0;
}

static void make_unit(const char *unit)
{
    char command[512];

    snprintf(command, sizeof(command),
             "mkdir -p %s/block/sdc block/sdc/queue dev/char/1:3 && ln -s ../../../%s "
             "dev/char/1:3/device && echo 512 >block/sdc/queue/max_sectors_kb && "
             "echo 4096 >block/sdc/queue/max_segments",
             unit, unit);
    shell(command);
}

static void a_unit_of_open_iscsi(void **state)
{
    struct sg_device device;

    (void)state;
    make_unit(UNIT);
    shell("mkdir -p class/iscsi_session/session7 && "
          "echo iqn.2026-11.org.example:disk >class/iscsi_session/session7/targetname");
    sg_device_look_up(sysfs, "/dev/null", &device);
    assert_string_equal(device.disk, "sdc");
    assert_string_equal(device.target, "iqn.2026-11.org.example:disk,L,0xc");
    assert_int_equal(device.max_transfer_bytes, 512 * 1024);
    assert_true(device.comes_back);
}

static void segments_limit_a_transfer_too(void **state)
{
    struct sg_device device;

    (void)state;
    make_unit(UNIT);
    shell("echo 64 >block/sdc/queue/max_segments");
    sg_device_look_up(sysfs, "/dev/null", &device);
    assert_int_equal(device.max_transfer_bytes, 64 * 4096);
    assert_string_equal(device.target, ""); /* the session is gone */
}

static void a_unit_of_another_adapter(void **state)
{
    struct sg_device device;

    (void)state;
    make_unit("devices/pseudo_0/adapter0/host3/target3:0:0/3:0:0:0");
    sg_device_look_up(sysfs, "/dev/null", &device);
    assert_string_equal(device.disk, "sdc");
    assert_string_equal(device.target, "");
    assert_false(device.comes_back);
}

static void a_unit_behind_fibre_channel(void **state)
{
    struct sg_device device;

    (void)state;
    make_unit("devices/pci0/host3/rport-3:0-0/target3:0:0/3:0:0:0");
    sg_device_look_up(sysfs, "/dev/null", &device);
    assert_string_equal(device.disk, "sdc");
    assert_true(device.comes_back);
}

static void nothing_is_known_of_nothing(void **state)
{
    struct sg_device device;

    (void)state;
    shell("mkdir empty");
    sg_device_look_up(sysfs, "/dev/null", &device);
    assert_string_equal(device.disk, "");
    assert_string_equal(device.target, "");
    assert_int_equal(device.max_transfer_bytes, 0);
    sg_device_look_up(sysfs, "/nowhere/at/all", &device);
    assert_string_equal(device.disk, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_unit_of_open_iscsi),        TEST(segments_limit_a_transfer_too),
        TEST(a_unit_of_another_adapter),   TEST(a_unit_behind_fibre_channel),
        TEST(nothing_is_known_of_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
