/* SPDX-License-Identifier: Apache-2.0 */

/* Who uses a file: real processes with it open, mapped and locked; the kernel's own users as procfs
 * and sysfs show them, from copies of what they say. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file_lock.h"
#include "file_users.h"
#include "proc_text.h"
#include "scratch.h"
#include "skip.h"

static int setup(void **state)
{
    struct scratch *scratch = malloc(sizeof(*scratch));

    assert_non_null(scratch);
    scratch_make(scratch);
    assert_int_equal(chdir(scratch->directory), 0);
    scratch_file("disk", 4096, 0);
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

/* Runs use in a child, which says when it has done so and stays until it is ended. */
static pid_t start(void (*use)(void))
{
    int ready[2];
    char byte = 0;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        use();
        if (write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* What is said of the file, "" for nothing. */
static const char *said(void)
{
    static char text[FILE_USERS_BYTES];
    int fd = open("disk", O_RDONLY | O_CLOEXEC);
    bool found = file_users_find(fd, text, sizeof(text));

    assert_true(fd >= 0);
    assert_int_equal(found, text[0] != '\0');
    close(fd);
    return text;
}

static void open_disk(int flags)
{
    if (open("disk", flags) < 0)
        _exit(1);
}

static void read_it(void)
{
    open_disk(O_RDONLY);
}

static void write_it(void)
{
    open_disk(O_WRONLY);
}

static void update_it(void)
{
    open_disk(O_RDWR);
}

static void map_it(void)
{
    int fd = open("disk", O_RDWR);

    if (fd < 0 || mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED)
        _exit(1);
    close(fd);
}

/* qemu locks single bytes from 100 on: what it does, and from 200 on what it lets others not do. */
static void lock_as_qemu(void)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 201, .l_len = 1};
    int fd = open("disk", O_RDONLY);

    if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0)
        _exit(1);
}

static void lock_as_posix(void)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd = open("disk", O_RDONLY);

    if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0)
        _exit(1);
}

static void whoever_has_it_open_for_writing_is_named(void **state)
{
    static const struct {
        void (*use)(void);
        const char *words;
    } uses[] = {
        {write_it, "is open for writing by process %d (test_file_users)"},
        {update_it, "is open for writing by process %d (test_file_users)"},
        {map_it, "is open for writing by process %d (test_file_users)"},
        {lock_as_qemu, "is locked by process %d (test_file_users)"},
        {lock_as_posix, "is locked by process %d (test_file_users)"},
        {read_it, ""},
    };
    char expected[128];

    (void)state;
    assert_string_equal(said(), "");
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        pid_t pid = start(uses[i].use);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(expected, sizeof(expected), uses[i].words, (int)pid);
#pragma GCC diagnostic pop
        assert_string_equal(said(), expected);
        end(pid);
        assert_string_equal(said(), "");
    }
}

static void asking_ends_no_process_and_leaves_no_lease(void **state)
{
    int fd = open("disk", O_RDONLY | O_CLOEXEC), writer;
    char text[FILE_USERS_BYTES];

    (void)state;
    assert_false(file_users_find(fd, text, sizeof(text)));
    assert_int_equal(fcntl(fd, F_GETLEASE), F_UNLCK);
    writer = open("disk", O_RDWR | O_CLOEXEC | O_NONBLOCK); /* a lease would be in the way */
    assert_true(writer >= 0);
    assert_true(file_users_find(fd, text, sizeof(text)));
    close(writer);
    close(fd);
}

static void a_writer_that_is_not_seen_is_told_all_the_same(void **state)
{
    char text[FILE_USERS_BYTES];
    int fd = open("disk", O_RDONLY | O_CLOEXEC);
    pid_t pid = start(update_it);

    (void)state;
    assert_int_equal(mkdir("proc", 0755), 0);
    assert_int_equal(mkdir("sys", 0755), 0);
    if (!file_users_find_in(fd, "proc", "sys", text, sizeof(text)))
        skip_because("this file system gives no leases");
    assert_string_equal(text, "is open for writing by a program that cannot be seen from here");
    end(pid);
    assert_false(file_users_find_in(fd, "proc", "sys", text, sizeof(text)));
    close(fd);
}

/* Writes text to an attribute below sys or proc, with the folders it takes. */
static void attribute(const char *path, const char *text)
{
    char folder[512];

    snprintf(folder, sizeof(folder), "%s", path);
    for (char *at = strchr(folder, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        assert_true(mkdir(folder, 0755) == 0 || errno == EEXIST);
        *at = '/';
    }
    scratch_text(path, text);
}

static void the_kernels_own_users_are_named(void **state)
{
    static const struct {
        const char *path, *form, *words;
    } users[] = {
        {"sys/block/loop3/loop/backing_file", "%s/a disk\n", "is in use as /dev/loop3"},
        {"sys/kernel/config/target/core/fileio_7/image/info",
         "Status: ACTIVATED  Max Queue Depth: 128  SectorSize: 512  HwMaxSectors: 16384\n"
         "        TCM FILEIO ID: 0        File: %s/a disk  Size: 4096  Mode: O_DSYNC Async: 0\n",
         "is served by the kernel's target as fileio_7/image"},
        {"sys/kernel/config/target/core/fileio_7/image/udev_path", "%s/a disk\n",
         "is served by the kernel's target as fileio_7/image"},
        {"sys/kernel/config/nvmet/subsystems/nqn.x/namespaces/1/device_path", "%s/a disk\n",
         "is served by the kernel's NVMe target as nqn.x/namespaces/1"},
        {"sys/kernel/config/usb_gadget/g/functions/mass_storage.0/lun.0/file", "%s/a disk\n",
         "is served as USB disk mass_storage.0/lun.0"},
        {"proc/swaps",
         "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
         "%s/a\\040disk                         file\t\t4\t\t0\t\t-2\n",
         "is used as swap"},
    };
    char text[FILE_USERS_BYTES], said_there[1024];
    int fd;

    assert_int_equal(rename("disk", "a disk"), 0);
    fd = open("a disk", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    attribute("sys/block/loop0/loop/backing_file", "/nowhere/a disk\n");
    attribute("sys/block/loop1/size", "0\n");
    attribute("sys/kernel/config/target/core/fileio_7/other/info", "Status: DEACTIVATED\n");
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        assert_false(file_users_find_in(fd, "proc", "sys", text, sizeof(text)));
        assert_string_equal(text, "");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(said_there, sizeof(said_there), users[i].form,
                 ((struct scratch *)*state)->directory);
#pragma GCC diagnostic pop
        attribute(users[i].path, said_there);
        assert_true(file_users_find_in(fd, "proc", "sys", text, sizeof(text)));
        assert_string_equal(text, users[i].words);
        assert_int_equal(unlink(users[i].path), 0);
    }
    close(fd);
}

static void locks_are_read_as_the_kernel_writes_them(void **state)
{
    static const struct {
        const char *line;
        enum proc_lock_kind kind;
        pid_t pid;
        uint64_t inode;
        bool exclusive;
    } lines[] = {
        {"1: FLOCK  ADVISORY  WRITE 123 08:01:4567 0 EOF\n", PROC_FLOCK, 123, 4567, true},
        {"lock:\t1: OFDLCK ADVISORY  READ -1 fd:2f:18446744073709551615 100 101\n", PROC_OFD, -1,
         UINT64_MAX, false},
        {"2: POSIX  ADVISORY  READ 0 00:1a:1 0 EOF\n", PROC_POSIX, 0, 1, false},
        {"3: LEASE  ACTIVE    READ 5 00:1a:9 0 EOF\n", PROC_LOCK_OTHER, 5, 9, false},
    };
    static const char *const others[] = {"",
                                         "\n",
                                         "1: -> FLOCK  ADVISORY  WRITE 1 08:01:4 0 EOF",
                                         "flags:\t0100002",
                                         "lock:",
                                         "1: FLOCK ADVISORY WRITE x"};
    struct proc_lock lock;

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_true(proc_parse_lock(lines[i].line, &lock));
        assert_int_equal(lock.kind, lines[i].kind);
        assert_int_equal(lock.pid, lines[i].pid);
        assert_true(lock.inode == lines[i].inode);
        assert_int_equal(lock.exclusive, lines[i].exclusive);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(proc_parse_lock(others[i], &lock));
}

static void other_lines_are_read_as_the_kernel_writes_them(void **state)
{
    char path[16];
    uint64_t inode;
    bool writable;

    (void)state;
    assert_true(proc_parse_flags("flags:\t0100000\n", &writable) && !writable);
    assert_true(proc_parse_flags("flags:\t0100001\n", &writable) && writable);
    assert_true(proc_parse_flags("flags:\t02100002\n", &writable) && writable);
    assert_false(proc_parse_flags("pos:\t0\n", &writable));
    assert_true(proc_parse_shared_map("7f00-7f01 rw-s 00000000 08:01 77    /a b\n", &inode));
    assert_int_equal(inode, 77);
    assert_false(proc_parse_shared_map("7f00-7f01 r--s 00000000 08:01 77 /a\n", &inode));
    assert_false(proc_parse_shared_map("7f00-7f01 rw-p 00000000 08:01 77 /a\n", &inode));
    assert_false(proc_parse_shared_map("", &inode));
    assert_true(proc_parse_swap("/a\\040b\\\\134c\tfile 1 2", path, sizeof(path)));
    assert_string_equal(path, "/a b\\\\c");
    assert_false(proc_parse_swap("Filename\tType", path, sizeof(path)));
    assert_true(proc_parse_swap("/23456789012345 file", path, sizeof(path)));
    assert_false(proc_parse_swap("/234567890123456 file", path, sizeof(path)));
    assert_true(proc_parse_fileio("File: /a  Size: b  Size: 1", path, sizeof(path)));
    assert_string_equal(path, "/a  Size: b");
    assert_false(proc_parse_fileio("File:   Size: 1", path, sizeof(path)));
    assert_false(proc_parse_fileio("File: /a", path, sizeof(path)));
    assert_true(proc_parse_fileio("File: /23456789012345  Size: 1", path, sizeof(path)));
    assert_false(proc_parse_fileio("File: /234567890123456  Size: 1", path, sizeof(path)));
}

static void lock_all(void)
{
    int fd = open("disk", O_RDONLY);

    if (fd < 0 || file_lock(fd, true, NULL, 0) < 0)
        _exit(1);
}

static void a_lock_names_its_holder(void **state)
{
    int fd = open("disk", O_RDONLY | O_CLOEXEC);
    char holder[80], expected[80];
    pid_t pid = start(lock_all);

    (void)state;
    snprintf(expected, sizeof(expected), "process %d (test_file_users)", (int)pid);
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        assert_int_equal(file_lock(fd, exclusive, holder, sizeof(holder)), -EBUSY);
        assert_string_equal(holder, expected);
    }
    assert_int_equal(file_lock(fd, true, NULL, 0), -EBUSY);
    assert_true(file_lock_holder(fd, holder, sizeof(holder)));
    assert_string_equal(holder, expected);
    end(pid);
    assert_false(file_lock_holder(fd, holder, sizeof(holder)));
    assert_int_equal(file_lock(fd, false, holder, sizeof(holder)), 0);
    assert_false(file_lock_holder(fd, holder, sizeof(holder))); /* it is shared */
    assert_int_equal(file_lock(-1, false, holder, sizeof(holder)), -EBADF);
    close(fd);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(whoever_has_it_open_for_writing_is_named),
        IN_SCRATCH(asking_ends_no_process_and_leaves_no_lease),
        IN_SCRATCH(a_writer_that_is_not_seen_is_told_all_the_same),
        IN_SCRATCH(the_kernels_own_users_are_named),
        IN_SCRATCH(a_lock_names_its_holder),
        cmocka_unit_test(locks_are_read_as_the_kernel_writes_them),
        cmocka_unit_test(other_lines_are_read_as_the_kernel_writes_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
