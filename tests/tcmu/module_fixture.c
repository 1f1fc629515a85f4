/* SPDX-License-Identifier: Apache-2.0 */
#include "module_fixture.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cdb.h"
#include "sense.h"
#include "volume.h"

struct tcmur_handler *handler;
char folder[] = "/tmp/test_module.XXXXXX";
static char sys_folder[] = "/tmp/test_module_sys.XXXXXX";
char volume_path[64];
char cfgstring[128];

void make_volume(uint32_t block_size)
{
    struct volume *volume;
    struct errmsg err = {0};
    char description[96];

    snprintf(description, sizeof(description), "%s" VOLUME_META_SUFFIX, volume_path);
    unlink(volume_path);
    unlink(description);
    if (volume_create(volume_path, block_size, VOLUME_BYTES, &volume, &err) != 0)
        fail_msg("%s", err.text);
    volume_close(volume);
    snprintf(cfgstring, sizeof(cfgstring), "thin/%s", volume_path);
}

int fresh_volume(void **state)
{
    (void)state;
    make_volume(512);
    host_log_clear();
    return 0;
}

/* The unit attention that the first command meets. */
static void take_power_on(struct host_device *device)
{
    struct host_command command = {0};
    struct sense sense;

    cdb_test_unit_ready(command.cdb);
    assert_int_equal(host_execute(device, &command, NULL, 0), TCMU_STS_PASSTHROUGH_ERR);
    assert_int_equal(sense_decode(command.sense, sizeof(command.sense), &sense), 0);
    assert_int_equal(sense.asc_ascq, ASC_POWER_ON_RESET);
}

struct host_device *serve(const char *config, uint32_t block_size)
{
    struct host_device *device;
    int error = host_add(config, block_size, VOLUME_BYTES, &device);

    if (error)
        fail_msg("'%s' does not open: %d, %s", config, error, host_log());
    take_power_on(device);
    return device;
}

void read_blocks(struct host_device *device, uint64_t lba, void *to, uint32_t blocks,
                 uint32_t block_size)
{
    struct host_command command = {0};

    cdb_read_16(command.cdb, lba, blocks);
    assert_int_equal(host_execute(device, &command, to, (size_t)blocks * block_size), 0);
}

void write_blocks(struct host_device *device, uint64_t lba, void *from, uint32_t blocks,
                  uint32_t block_size)
{
    struct host_command command = {0};

    cdb_write_16(command.cdb, lba, blocks, false);
    assert_int_equal(host_execute(device, &command, from, (size_t)blocks * block_size), 0);
}

/* Writes a file of the folder that stands in for /sys, and the folders above it. */
static void put_in_sys(const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", sys_folder, name);
    for (char *slash = path + sizeof(sys_folder) - 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    file = fopen(path, "we");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        fail_msg("%s: %m", path);
}

void say_reservation(const char *type)
{
    put_in_sys("kernel/config/target/core/user_0/disk/pr/res_pr_type", type);
}

/* One device, whatever is served, and one port to it. */
static void make_sys(void)
{
    if (!mkdtemp(sys_folder))
        fail_msg("%s: %m", sys_folder);
    put_in_sys("class/uio/name", "tcm-user/0/disk/thin//any\n");
    say_reservation(NO_RESERVATION);
    put_in_sys("kernel/config/target/core/user_0/disk/pr/res_holder", NO_RESERVATION);
    put_in_sys("kernel/config/target/core/user_0/disk/alua/default_tg_pt_gp/members",
               "loopback/naa.5001405000000001/tpgt_1/lun_0\n");
    put_in_sys("kernel/config/target/loopback/naa.5001405000000001/tpgt_1/lun/lun_0/any", "");
    setenv("THINMIRROR_SYS", sys_folder, 1);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int set_up(void **state)
{
    (void)state;
    make_sys();
    if (!mkdtemp(folder))
        return -1;
    snprintf(volume_path, sizeof(volume_path), "%s/volume", folder);
    return 0;
}

int tear_down(void **state)
{
    char description[96];

    (void)state;
    snprintf(description, sizeof(description), "%s" VOLUME_META_SUFFIX, volume_path);
    unlink(volume_path);
    unlink(description);
    return nftw(sys_folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) | rmdir(folder);
}
