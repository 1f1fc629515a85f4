/* SPDX-License-Identifier: Apache-2.0 */
/* The SCSI disks of this machine, by a sysfs made for the test. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "local_disks.h"
#include "vpd.h"

#define PAGE_BYTES 1024
#define FIRST      "naa.6001405000000000000000000000000a"
#define SECOND     "naa.6001405000000000000000000000000b"

static char root[PATH_MAX];
static struct local_disks disks;

static const char *in_root(const char *name)
{
    static char path[PATH_MAX + 256];

    snprintf(path, sizeof(path), "%s/%s", root, name);
    return path;
}

static void make_folders(const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s", in_root(name));
    for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    mkdir(path, 0700);
}

static void put(const char *folder, const char *name, const void *bytes, size_t length)
{
    char path[512];
    FILE *file;

    make_folders(folder);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(in_root(path), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

static void put_text(const char *folder, const char *name, const char *text)
{
    put(folder, name, text, strlen(text));
}

/* A block device "DEVICES/name" with its number, as /sys/dev/block knows it. */
static void put_device(const char *folder, const char *number)
{
    char link[64], target[256];

    put_text(folder, "dev", number);
    make_folders("dev/block");
    snprintf(link, sizeof(link), "dev/block/%.*s", (int)strcspn(number, "\n"), number);
    snprintf(target, sizeof(target), "../../%s", folder);
    assert_int_equal(symlink(target, in_root(link)), 0);
}

static void put_part(const char *name, const char *number, const char *start, const char *size)
{
    char folder[64];

    snprintf(folder, sizeof(folder), "devices/%.3s/%s", name, name);
    put_device(folder, number);
    put_text(folder, "partition", name + 3);
    put_text(folder, "start", start);
    put_text(folder, "size", size);
}

static void put_disk(const char *name, const char *number, uint8_t last)
{
    uint8_t naa[16] = {0x60, 0x01, 0x40, 0x50, [15] = last}, page[PAGE_BYTES];
    char folder[64], device[64], link[128], target[128];

    snprintf(folder, sizeof(folder), "devices/%s", name);
    snprintf(device, sizeof(device), "units/%s", name);
    put_device(folder, number);
    put_text(folder, "size", "10000\n");
    put(device, "vpd_pg83", page, vpd_encode_identification(page, naa, "FAKE", name));
    put_text(device, "vendor", "FAKE    \n");
    put_text(device, "model", "UNIT            \n");
    snprintf(link, sizeof(link), "%s/device", folder);
    snprintf(target, sizeof(target), "../../%s", device);
    assert_int_equal(symlink(target, in_root(link)), 0);
    make_folders("block");
    snprintf(link, sizeof(link), "block/%s", name);
    snprintf(target, sizeof(target), "../%s", folder);
    assert_int_equal(symlink(target, in_root(link)), 0);
}

static void put_slave(const char *folder, const char *slave)
{
    char path[128], target[128];

    snprintf(path, sizeof(path), "%s/slaves", folder);
    make_folders(path);
    snprintf(path, sizeof(path), "%s/slaves/%s", folder, strrchr(slave, '/') + 1);
    snprintf(target, sizeof(target), "../../../%s", slave);
    assert_int_equal(symlink(target, in_root(path)), 0);
}

static void put_mapped(const char *folder, const char *number, const char *size)
{
    put_device(folder, number);
    put_text(folder, "size", size);
}

/* sda and sdb are one LUN, sdc is another; sda1 and sda2 are partitions, and so they are by sdb;
 * dm-0 lies on sda1 and sdc, dm-1 on dm-0. dm-2 is sda and sdb together, dm-3 and dm-4 are parts of
 * it. dm-5 is all of sda, dm-6 and dm-7 are parts of it; dm-8 lies on nothing. */
static int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/sysfs.XXXXXX");
    assert_non_null(mkdtemp(root));
    put_disk("sda", "8:0\n", 0x0a);
    put_disk("sdb", "8:16\n", 0x0a);
    put_disk("sdc", "8:32\n", 0x0b);
    put_part("sda1", "8:1\n", "2048\n", "1000\n");
    put_part("sda2", "8:2\n", "3048\n", "6952\n");
    put_part("sdb1", "8:17\n", "2048\n", "1000\n");
    put_part("sdb2", "8:18\n", "3048\n", "6952\n");
    put_device("devices/dm-0", "253:0\n");
    put_slave("devices/dm-0", "devices/sda/sda1");
    put_slave("devices/dm-0", "devices/sdc");
    put_device("devices/dm-1", "253:1\n");
    put_slave("devices/dm-1", "devices/dm-0");
    put_mapped("devices/dm-2", "253:2\n", "10000\n");
    put_slave("devices/dm-2", "devices/sda");
    put_slave("devices/dm-2", "devices/sdb");
    put_mapped("devices/dm-3", "253:3\n", "1000\n");
    put_slave("devices/dm-3", "devices/dm-2");
    put_mapped("devices/dm-4", "253:4\n", "1000\n");
    put_slave("devices/dm-4", "devices/dm-2");
    put_mapped("devices/dm-5", "253:5\n", "10000\n");
    put_slave("devices/dm-5", "devices/sda");
    put_mapped("devices/dm-6", "253:6\n", "1000\n");
    put_slave("devices/dm-6", "devices/sda");
    put_mapped("devices/dm-7", "253:7\n", "1000\n");
    put_slave("devices/dm-7", "devices/sda");
    put_mapped("devices/dm-8", "253:8\n", "10000\n");
    return 0;
}

static int teardown(void **state)
{
    char command[PATH_MAX + 16];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", root);
    return system(command);
}

static void expect_below(dev_t device, const char *names)
{
    char found[256] = "";

    local_disks_below(root, device, &disks);
    for (size_t i = 0; i < disks.count; i++)
        snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", i ? " " : "",
                 disks.items[i].name);
    assert_string_equal(found, names);
}

static void a_disk_is_itself(void **state)
{
    (void)state;
    expect_below(makedev(8, 0), "sda");
    assert_string_equal(disks.items[0].identity, FIRST);
    assert_int_equal(disks.items[0].device, makedev(8, 0));
    expect_below(makedev(8, 32), "sdc");
    assert_string_equal(disks.items[0].identity, SECOND);
}

static void a_partition_lies_on_its_disk(void **state)
{
    (void)state;
    expect_below(makedev(8, 1), "sda");
}

static void a_mapped_device_lies_on_all_that_is_below_it(void **state)
{
    (void)state;
    local_disks_below(root, makedev(253, 1), &disks);
    assert_int_equal(disks.count, 2);
    assert_true(disks.items[0].device + disks.items[1].device == makedev(8, 0) + makedev(8, 32));
}

static void what_is_not_there_lies_on_nothing(void **state)
{
    (void)state;
    expect_below(makedev(9, 9), "");
}

static void all_paths_to_a_lun_are_found(void **state)
{
    (void)state;
    local_disks_of(root, FIRST, &disks);
    assert_int_equal(disks.count, 2);
    assert_string_not_equal(disks.items[0].name, disks.items[1].name);
    local_disks_of(root, SECOND, &disks);
    assert_int_equal(disks.count, 1);
    assert_string_equal(disks.items[0].name, "sdc");
    local_disks_of(root, "naa.6001405000000000000000000000000c", &disks);
    assert_int_equal(disks.count, 0);
    local_disks_of(root, "", &disks);
    assert_int_equal(disks.count, 0);
}

static struct local_disks others;

/* In either order. */
static bool share(dev_t a, dev_t b)
{
    const struct local_disk *disk;
    bool shared;

    local_disks_below(root, a, &disks);
    local_disks_below(root, b, &others);
    shared = local_disks_share(&disks, &others, &disk);
    assert_int_equal(local_disks_share(&others, &disks, &disk), shared);
    return shared;
}

static void partitions_are_told_apart_by_where_they_lie(void **state)
{
    (void)state;
    assert_false(share(makedev(8, 1), makedev(8, 2)));
    assert_false(share(makedev(8, 1), makedev(8, 18)));
    assert_true(share(makedev(8, 1), makedev(8, 17)));
    put_text("devices/sdb/sdb2", "start", "3047\n");
    assert_true(share(makedev(8, 1), makedev(8, 18)));
}

static void multipath_is_the_whole_of_its_lun(void **state)
{
    (void)state;
    assert_true(share(makedev(253, 2), makedev(8, 1)));
    assert_true(share(makedev(253, 2), makedev(8, 18)));
    assert_true(share(makedev(253, 2), makedev(253, 6)));
    assert_true(share(makedev(253, 2), makedev(253, 1)));
}

static void what_takes_a_whole_disk_shares_it_with_all_that_lies_on_it(void **state)
{
    (void)state;
    assert_true(share(makedev(253, 5), makedev(253, 6)));
    assert_true(share(makedev(253, 5), makedev(8, 2)));
    assert_true(share(makedev(253, 5), makedev(253, 3)));
}

static void volumes_side_by_side_share_nothing(void **state)
{
    (void)state;
    assert_false(share(makedev(253, 3), makedev(253, 4)));
    assert_false(share(makedev(253, 6), makedev(253, 7)));
    assert_false(share(makedev(253, 3), makedev(253, 6)));
}

/* Of a mapped device only the disk is known, not where on it. */
static void a_volume_may_lie_where_a_partition_is(void **state)
{
    (void)state;
    assert_true(share(makedev(253, 6), makedev(8, 2)));
    assert_true(share(makedev(253, 3), makedev(8, 1)));
}

static void volumes_on_different_paths_may_be_one(void **state)
{
    (void)state;
    put_mapped("devices/dm-9", "253:9\n", "1000\n");
    put_slave("devices/dm-9", "devices/sdb");
    assert_true(share(makedev(253, 6), makedev(253, 9)));
}

static void different_luns_share_nothing(void **state)
{
    (void)state;
    assert_false(share(makedev(8, 32), makedev(253, 2)));
    assert_false(share(makedev(8, 32), makedev(8, 1)));
}

static void of_what_is_not_known_nothing_is_said(void **state)
{
    (void)state;
    local_disks_below(root, makedev(253, 8), &disks);
    assert_true(disks.incomplete);
    assert_false(share(makedev(253, 8), makedev(8, 1)));
    assert_false(share(makedev(9, 9), makedev(9, 9)));
}

/* A volume of several disks is no smaller than one of them, and yet has not all of it. */
static void a_volume_that_has_more_than_a_disk_is_no_whole_one(void **state)
{
    (void)state;
    put_mapped("devices/dm-9", "253:9\n", "12000\n");
    put_slave("devices/dm-9", "devices/sda");
    put_slave("devices/dm-9", "devices/sdc");
    assert_false(share(makedev(253, 6), makedev(253, 9)));
    put_mapped("devices/dm-10", "253:10\n", "12000\n");
    put_slave("devices/dm-10", "devices/sda");
    put_slave("devices/dm-10", "devices/dm-8");
    assert_false(share(makedev(253, 6), makedev(253, 10)));
}

static void a_size_that_is_not_known_is_no_end(void **state)
{
    (void)state;
    assert_int_equal(unlink(in_root("devices/sda/size")), 0);
    assert_int_equal(unlink(in_root("devices/sda/sda1/size")), 0);
    assert_true(share(makedev(253, 2), makedev(8, 1)));
    assert_true(share(makedev(8, 1), makedev(8, 2)));
}

/* A file takes a part of what it lies on, of a size that does not matter. */
static void files_side_by_side_share_nothing(void **state)
{
    const struct local_disk *disk;

    (void)state;
    local_disks_below(root, makedev(8, 1), &disks);
    disks.sectors = 0;
    others = disks;
    assert_false(local_disks_share(&disks, &others, &disk));
    local_disks_below(root, makedev(8, 2), &others);
    assert_false(local_disks_share(&disks, &others, &disk));
    local_disks_below(root, makedev(8, 1), &others);
    assert_true(local_disks_share(&disks, &others, &disk));
    assert_string_equal(disk->name, "sda");
}

/* None that is there, and none of a file system without one. */
static void a_file_without_a_disk_lies_on_nothing(void **state)
{
    (void)state;
    local_disks_below_file(root, "/proc/self/status", &disks);
    assert_int_equal(disks.count, 0);
    local_disks_below_file(root, in_root("no such file"), &disks);
    assert_int_equal(disks.count, 0);
    assert_int_equal(disks.sectors, 0);
}

static void what_lies_on_itself_has_an_end(void **state)
{
    (void)state;
    put_slave("devices/dm-8", "devices/dm-8");
    put_slave("devices/dm-8", "devices/sdc");
    expect_below(makedev(253, 8), "sdc");
}

/* Bytes that make no sense name no user. */
static void a_damaged_page_is_no_name(void **state)
{
    const uint8_t wild[] = {0, 0x83, 0xFF, 0xFF, 1, 3, 0, 0xFF, 0x60};

    (void)state;
    put("units/sda", "vpd_pg83", wild, sizeof(wild));
    expect_below(makedev(8, 0), "");
    put("units/sda", "vpd_pg83", wild, 0);
    expect_below(makedev(8, 0), "");
}

/* Then it has to be the serial number. */
static void without_a_page_83_the_serial_number_names_it(void **state)
{
    uint8_t page[PAGE_BYTES];

    (void)state;
    assert_int_equal(unlink(in_root("units/sda/vpd_pg83")), 0);
    put("units/sda", "vpd_pg80", page, vpd_encode_serial(page, "s-1"));
    expect_below(makedev(8, 0), "sda");
    assert_string_equal(disks.items[0].identity, "serial.FAKE.UNIT.s-1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_disk_is_itself),
        TEST(a_partition_lies_on_its_disk),
        TEST(a_mapped_device_lies_on_all_that_is_below_it),
        TEST(what_is_not_there_lies_on_nothing),
        TEST(all_paths_to_a_lun_are_found),
        TEST(partitions_are_told_apart_by_where_they_lie),
        TEST(multipath_is_the_whole_of_its_lun),
        TEST(what_takes_a_whole_disk_shares_it_with_all_that_lies_on_it),
        TEST(volumes_side_by_side_share_nothing),
        TEST(a_volume_may_lie_where_a_partition_is),
        TEST(volumes_on_different_paths_may_be_one),
        TEST(different_luns_share_nothing),
        TEST(of_what_is_not_known_nothing_is_said),
        TEST(a_volume_that_has_more_than_a_disk_is_no_whole_one),
        TEST(a_size_that_is_not_known_is_no_end),
        TEST(files_side_by_side_share_nothing),
        TEST(a_file_without_a_disk_lies_on_nothing),
        TEST(what_lies_on_itself_has_an_end),
        TEST(a_damaged_page_is_no_name),
        TEST(without_a_page_83_the_serial_number_names_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
