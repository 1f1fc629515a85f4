/* SPDX-License-Identifier: Apache-2.0 */

/* A block device that is no SCSI device: a loop device over a sparse file. */

#include <fcntl.h>
#include <linux/loop.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>

#include "device.h"
#include "endpoint.h"
#include "skip.h"

#define FILE_BYTES (INT64_C(16) << 20)

static bool available;
static char directory[32], image[64], mountpoint[64], device[32];
static int loop_fd = -1;

/* A loop device over the file or device, its name in to; -1 when this machine has none to give. */
static int attach_over(const char *lower, char to[static 32])
{
    struct loop_config config = {.block_size = 512};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), fd = -1;

    for (int attempt = 0; control >= 0 && attempt < 8 && fd < 0; attempt++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);

        if (number < 0)
            break;
        snprintf(to, 32, "/dev/loop%d", number);
        fd = open(to, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            break;
        config.fd = (unsigned)open(lower, O_RDWR | O_CLOEXEC);
        /* Somebody else may have been faster. */
        if (ioctl(fd, LOOP_CONFIGURE, &config) < 0) {
            close(fd);
            fd = -1;
        }
        close((int)config.fd);
    }
    if (control >= 0)
        close(control);
    return fd;
}

static bool attach(void)
{
    loop_fd = attach_over(image, device);
    return loop_fd >= 0;
}

static int setup(void **state)
{
    int fd;

    (void)state;
    strcpy(directory, "/tmp/block.XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(image, sizeof(image), "%s/image", directory);
    snprintf(mountpoint, sizeof(mountpoint), "%s/mnt", directory);
    fd = open(image, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, FILE_BYTES), 0);
    close(fd);
    available = attach();
    if (!available)
        printf("# not run: no loop device can be had here: %s\n", strerror(errno));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (loop_fd >= 0) {
        ioctl(loop_fd, LOOP_CLR_FD, 0);
        close(loop_fd);
    }
    unlink(image);
    rmdir(mountpoint);
    rmdir(directory);
    return 0;
}

static struct endpoint *open_ok(unsigned flags)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};

    if (endpoint_open(device, flags, NULL, &endpoint, &err) < 0)
        fail_msg("%s", err.text);
    return endpoint;
}

static void open_fails(const char *path, const char *words)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};

    assert_int_equal(endpoint_open(path, ENDPOINT_WRITABLE, NULL, &endpoint, &err), -EBUSY);
    if (!strstr(err.text, words) || !strstr(err.text, path))
        fail_msg("'%s' does not say '%s' and '%s'", err.text, words, path);
}

static void transfer(struct endpoint *endpoint, enum endpoint_op op, void *data, size_t bytes)
{
    struct iovec iov = {data, bytes};
    struct endpoint_request request = {.op = op,
                                       .blocks = bytes / 512,
                                       .iov = &iov,
                                       .iov_count = 1};

    assert_int_equal(endpoint_run(endpoint, &request), 0);
}

static void it_lies_on_its_file(void **state)
{
    struct stat file, loop, other;

    (void)state;
    if (!available)
        skip_because("no loop device can be had here");
    assert_int_equal(stat(image, &file), 0);
    assert_int_equal(stat(device, &loop), 0);
    assert_int_equal(stat(directory, &other), 0);
    assert_true(device_lies_on(&loop, &file));
    assert_true(device_lies_on(&loop, &loop));
    assert_true(device_lies_on(&file, &file));
    assert_false(device_lies_on(&file, &loop));
    assert_false(device_lies_on(&loop, &other));
}

/* A cache lives as long as anyone has the device open, as this program has. */
static void what_is_cached_of_it_is_not_believed(void **state)
{
    char data[4096];

    (void)state;
    if (!available)
        skip_because("no loop device can be had here");
    for (int writable = 0; writable < 2; writable++) {
        const char byte = (char)('a' + writable);
        struct endpoint *endpoint;
        int fd = open(image, O_WRONLY | O_CLOEXEC);

        assert_int_equal(pread(loop_fd, data, sizeof(data), 0), sizeof(data));
        assert_int_equal(pwrite(fd, &byte, 1, 100), 1);
        close(fd);
        endpoint = open_ok(writable ? ENDPOINT_WRITABLE : 0);
        transfer(endpoint, ENDPOINT_READ, data, sizeof(data));
        assert_int_equal(data[100], byte);
        memset(data, 0, sizeof(data));
        endpoint_close(endpoint);
    }
    assert_int_equal(pwrite(loop_fd, data, sizeof(data), 0), sizeof(data));
}

static void all_of_it_counts_as_mapped(void **state)
{
    struct extent_list map = {0};
    struct endpoint_request request = {.op = ENDPOINT_MAP, .blocks = FILE_BYTES / 512, .map = &map};
    struct endpoint *endpoint;

    (void)state;
    if (!available)
        skip_because("no loop device can be had here");
    endpoint = open_ok(0);
    assert_string_equal(endpoint->info.kind, "block");
    assert_int_equal(endpoint->info.block_size, 512);
    assert_int_equal(endpoint->info.blocks, FILE_BYTES / 512);
    assert_false(endpoint->info.can_map || endpoint->info.any_block_size ||
                 endpoint->info.unmapped_reads_zeros || endpoint->info.writable);
    assert_int_equal(strncmp(endpoint->info.identity, "block.7.", 8), 0);
    assert_int_equal(endpoint_run(endpoint, &request), 0);
    assert_int_equal(map.count, 1);
    assert_int_equal(map.items[0].length, FILE_BYTES / 512);
    assert_int_equal(map.items[0].status, EXTENT_MAPPED);
    extent_list_free(&map);
    endpoint_close(endpoint);
}

static void zeroing_gives_blocks_back(void **state)
{
    static char data[1 << 20], back[1 << 20], zeros[1 << 20];
    struct endpoint_request zero = {.op = ENDPOINT_ZERO, .lba = 128, .blocks = 1024};
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};
    struct endpoint *endpoint;
    struct stat before, after;

    (void)state;
    if (!available)
        skip_because("no loop device can be had here");
    endpoint = open_ok(ENDPOINT_WRITABLE);
    memset(data, 0x5A, sizeof(data));
    transfer(endpoint, ENDPOINT_WRITE, data, sizeof(data));
    assert_int_equal(endpoint_run(endpoint, &flush), 0);
    assert_int_equal(stat(image, &before), 0);
    assert_int_equal(endpoint_run(endpoint, &zero), 0);
    assert_int_equal(endpoint_run(endpoint, &flush), 0);
    transfer(endpoint, ENDPOINT_READ, back, sizeof(back));
    assert_memory_equal(back, data, 65536);
    assert_memory_equal(back + 65536, zeros, 524288);
    assert_memory_equal(back + 589824, data, sizeof(data) - 589824);
    assert_int_equal(stat(image, &after), 0);
    if (endpoint->info.can_unmap) {
        assert_true(zero.deallocated);
        assert_int_equal(before.st_blocks - after.st_blocks, 1024);
        /* Part of a unit is zeroed but not given back. */
        assert_true(endpoint->info.unmap_granularity_blocks > 1);
        zero.lba = 1;
        zero.blocks = 1;
        assert_int_equal(endpoint_run(endpoint, &zero), 0);
        assert_false(zero.deallocated);
    }
    endpoint_close(endpoint);
}

static void a_device_number_used_again_is_another_device(void **state)
{
    char before[ENDPOINT_IDENTITY_BYTES];
    struct endpoint *endpoint;

    (void)state;
    if (!available)
        skip_because("no loop device can be had here");
    endpoint = open_ok(0);
    strcpy(before, endpoint->info.identity);
    endpoint_close(endpoint);
    endpoint = open_ok(0);
    assert_string_equal(endpoint->info.identity, before);
    endpoint_close(endpoint);
    /* Off and on again. */
    assert_int_equal(ioctl(loop_fd, LOOP_CLR_FD, 0), 0);
    close(loop_fd);
    loop_fd = -1;
    assert_true(attach());
    endpoint = open_ok(0);
    assert_string_not_equal(endpoint->info.identity, before);
    endpoint_close(endpoint);
}

static void a_held_device_is_refused(void **state)
{
    int fd;

    (void)state;
    if (!available)
        skip_because("no loop device can be had here");
    fd = open(device, O_RDWR | O_EXCL | O_CLOEXEC);
    assert_true(fd >= 0);
    open_fails(device, "held by another program");
    endpoint_close(open_ok(0)); /* reading does no harm */
    close(fd);
}

static void a_file_under_a_loop_device_is_refused(void **state)
{
    char words[64];

    (void)state;
    if (!available)
        skip_because("no loop device can be had here");
    snprintf(words, sizeof(words), "in use as %s", device);
    open_fails(image, words);
}

/* Which a loop device does not bring about by having it open. */
static void a_device_under_a_loop_device_is_refused(void **state)
{
    char upper[32], words[64];
    int fd;

    (void)state;
    if (!available)
        skip_because("no loop device can be had here");
    fd = attach_over(device, upper);
    assert_true(fd >= 0);
    snprintf(words, sizeof(words), "in use as %s", upper);
    open_fails(device, words);
    endpoint_close(open_ok(0));
    assert_int_equal(ioctl(fd, LOOP_CLR_FD, 0), 0);
    close(fd);
    endpoint_close(open_ok(ENDPOINT_WRITABLE));
}

static void a_mounted_device_is_refused(void **state)
{
    char command[128], words[96];

    (void)state;
    if (!available)
        skip_because("no loop device can be had here");
    snprintf(command, sizeof(command), "mkfs.ext4 -q -F %s >/dev/null 2>&1", device);
    assert_int_equal(mkdir(mountpoint, 0700), 0);
    if (system(command) != 0 || mount(device, mountpoint, "ext4", 0, NULL) < 0)
        skip_because("no ext4 can be mounted here");
    snprintf(words, sizeof(words), " is mounted on %s; it would be overwritten", mountpoint);
    open_fails(device, words);
    assert_int_equal(umount(mountpoint), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_lies_on_its_file),
        cmocka_unit_test(what_is_cached_of_it_is_not_believed),
        cmocka_unit_test(all_of_it_counts_as_mapped),
        cmocka_unit_test(zeroing_gives_blocks_back),
        cmocka_unit_test(a_device_number_used_again_is_another_device),
        cmocka_unit_test(a_held_device_is_refused),
        cmocka_unit_test(a_file_under_a_loop_device_is_refused),
        cmocka_unit_test(a_device_under_a_loop_device_is_refused),
        cmocka_unit_test(a_mounted_device_is_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
