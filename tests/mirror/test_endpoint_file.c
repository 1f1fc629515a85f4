/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>

#include "endpoint.h"
#include "holes.h"

#define KIB        UINT64_C(1024)
#define MIB        (KIB * 1024)
#define FILE_BYTES (16 * MIB)

struct fixture {
    char directory[64];
    char path[128];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    int fd;

    assert_non_null(fixture);
    strcpy(fixture->directory, "/tmp/endpoint_file.XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof(fixture->path), "%s/volume.img", fixture->directory);
    fd = open(fixture->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, FILE_BYTES), 0);
    close(fd);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    unlink(fixture->path);
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static struct endpoint *open_ok(const char *path, unsigned flags)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};

    if (endpoint_open(path, flags, NULL, &endpoint, &err) < 0)
        fail_msg("%s", err.text);
    return endpoint;
}

static void open_fails(const char *path, unsigned flags, int error, const char *words)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};

    assert_int_equal(endpoint_open(path, flags, NULL, &endpoint, &err), error);
    if (!strstr(err.text, words) || !strstr(err.text, path))
        fail_msg("'%s' does not say '%s' and '%s'", err.text, words, path);
}

static int data_request(struct endpoint *endpoint, enum endpoint_op op, uint64_t lba,
                        uint64_t blocks, void *data)
{
    size_t bytes = blocks * endpoint->info.block_size;
    /* Three pieces, one of them empty: the data need not be in one buffer. */
    struct iovec iov[] = {{data, bytes / 3}, {NULL, 0}, {(char *)data + bytes / 3, 0}};
    struct endpoint_request request = {
        .op = op, .lba = lba, .blocks = blocks, .iov = iov, .iov_count = 3};

    iov[2].iov_len = bytes - iov[0].iov_len;
    return endpoint_run(endpoint, &request);
}

static bool zero_request(struct endpoint *endpoint, uint64_t lba, uint64_t blocks)
{
    struct endpoint_request request = {.op = ENDPOINT_ZERO, .lba = lba, .blocks = blocks};

    assert_int_equal(endpoint_run(endpoint, &request), 0);
    return request.deallocated;
}

/* "M16 D16 ...": the map in runs of blocks. */
static const char *map_text(struct endpoint *endpoint)
{
    static char text[256];
    struct extent_list map = {0};
    size_t used = 0;

    while (extent_list_end(&map) < endpoint->info.blocks) {
        uint64_t from = extent_list_end(&map);
        struct endpoint_request request = {.op = ENDPOINT_MAP,
                                           .lba = from,
                                           .blocks = endpoint->info.blocks - from,
                                           .map = &map};

        assert_int_equal(endpoint_run(endpoint, &request), 0);
        assert_true(extent_list_end(&map) > from);
    }
    for (size_t i = 0; i < map.count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%c%llu", i ? " " : "",
                                 map.items[i].status == EXTENT_MAPPED ? 'M' : 'D',
                                 (unsigned long long)map.items[i].length);
    extent_list_free(&map);
    return text;
}

static void info_of_a_raw_file(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->path, 0);
    const struct endpoint_info *info = &endpoint->info;
    struct stat st;
    char identity[64];

    assert_string_equal(info->name, fixture->path);
    assert_string_equal(info->kind, "file");
    assert_int_equal(info->block_size, 512);
    assert_int_equal(info->blocks, FILE_BYTES / 512);
    assert_true(info->thin && info->unmapped_reads_zeros && info->can_map);
    assert_true(!info->writable && info->can_unmap);
    assert_int_equal(stat(fixture->path, &st), 0);
    snprintf(identity, sizeof(identity), "file.%llx.%llu.", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    assert_memory_equal(info->identity, identity, strlen(identity));
    endpoint_close(endpoint);
}

static void only_the_kernels_own_file_systems_vouch_for_holes(void **state)
{
    struct fixture *fixture = *state;
    static const unsigned long by_others[] = {NFS_SUPER_MAGIC,  CIFS_SUPER_MAGIC,
                                              SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC,
                                              V9FS_MAGIC,       OVERLAYFS_SUPER_MAGIC};
    struct statfs system = {.f_type = EXT4_SUPER_MAGIC};
    struct endpoint *endpoint = open_ok(fixture->path, 0);

    assert_true(holes_are_certain(&system));
    for (size_t i = 0; i < sizeof(by_others) / sizeof(by_others[0]); i++) {
        system.f_type = (__fsword_t)by_others[i];
        assert_false(holes_are_certain(&system));
    }
    assert_int_equal(statfs(fixture->path, &system), 0);
    assert_int_equal(endpoint->info.unmapped_is_certain, holes_are_certain(&system));
    endpoint_close(endpoint);
}

/* The inode's number may well be used again. */
static void a_new_file_is_another_one(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->path, 0);
    char identity[ENDPOINT_IDENTITY_BYTES];

    strcpy(identity, endpoint->info.identity);
    endpoint_close(endpoint);
    assert_int_equal(unlink(fixture->path), 0);
    close(open(fixture->path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(truncate(fixture->path, FILE_BYTES), 0);
    endpoint = open_ok(fixture->path, 0);
    assert_string_not_equal(endpoint->info.identity, identity);
    endpoint_close(endpoint);
}

static void what_is_written_is_read_and_mapped(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->path, ENDPOINT_WRITABLE);
    static char data[MIB], back[MIB];
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};

    assert_string_equal(map_text(endpoint), "D32768");
    memset(data, 0x5A, sizeof(data));
    assert_int_equal(data_request(endpoint, ENDPOINT_WRITE, 2048, 2048, data), 0);
    assert_int_equal(endpoint_run(endpoint, &flush), 0);
    assert_int_equal(data_request(endpoint, ENDPOINT_READ, 2048, 2048, back), 0);
    assert_memory_equal(data, back, sizeof(data));
    assert_string_equal(map_text(endpoint), "D2048 M2048 D28672");
    assert_int_equal(endpoint->counters.reads, 1);
    assert_int_equal(endpoint->counters.writes, 1);
    assert_int_equal(endpoint->counters.written_blocks, 2048);
    assert_int_equal(endpoint->counters.flushes, 1);
    endpoint_close(endpoint);
}

static void zeroing_deallocates_whole_units(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->path, ENDPOINT_WRITABLE);
    uint32_t unit = endpoint->info.unmap_granularity_blocks;
    static char data[MIB], back[MIB], zeros[MIB];

    memset(data, 0x5A, sizeof(data));
    assert_int_equal(data_request(endpoint, ENDPOINT_WRITE, 0, 2048, data), 0);
    assert_true(zero_request(endpoint, 1024, 512));
    assert_string_equal(map_text(endpoint), "M1024 D512 M512 D30720");
    /* Less than a unit: zero all the same, but still there. */
    assert_true(unit > 1);
    assert_false(zero_request(endpoint, 1, 1));
    assert_string_equal(map_text(endpoint), "M1024 D512 M512 D30720");
    assert_int_equal(data_request(endpoint, ENDPOINT_READ, 0, 2048, back), 0);
    assert_memory_equal(back, data, 512);
    assert_memory_equal(back + 512, zeros, 512);
    assert_memory_equal(back + 1024, data, 512 * KIB - 1024);
    assert_memory_equal(back + 512 * KIB, zeros, 256 * KIB);
    assert_memory_equal(back + 768 * KIB, data, 256 * KIB);
    endpoint_close(endpoint);
}

static void map_keeps_to_the_range_asked_for(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->path, 0);
    struct extent_list map = {0};
    struct endpoint_request request = {.op = ENDPOINT_MAP, .lba = 100, .blocks = 50, .map = &map};

    assert_int_equal(endpoint_run(endpoint, &request), 0);
    assert_int_equal(map.count, 1);
    assert_int_equal(map.items[0].start, 100);
    assert_int_equal(map.items[0].length, 50);
    extent_list_free(&map);
    endpoint_close(endpoint);
}

static void block_size_follows_the_partner(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->path, ENDPOINT_WRITABLE);
    struct endpoint lun = {.info = {.name = "lun", .block_size = 4096, .blocks = 4096}};
    struct errmsg err;
    static char data[512];

    /* One half KiB makes a whole 4 KiB block mapped. */
    memset(data, 1, sizeof(data));
    assert_int_equal(data_request(endpoint, ENDPOINT_WRITE, 9, 1, data), 0);
    assert_int_equal(endpoint_match_block_size(endpoint, &lun, &err), 0);
    assert_int_equal(endpoint->info.block_size, 4096);
    assert_int_equal(endpoint->info.blocks, FILE_BYTES / 4096);
    assert_string_equal(map_text(endpoint), "D1 M1 D4094");
    lun.info.block_size = 512 * 3;
    assert_int_equal(endpoint_match_block_size(&lun, endpoint, &err), -EINVAL);
    assert_non_null(strstr(err.text, fixture->path));
    endpoint_close(endpoint);
}

static void fixed_block_sizes_must_agree(void **state)
{
    struct endpoint a = {.info = {.name = "a", .block_size = 512, .blocks = 8}};
    struct endpoint b = {.info = {.name = "b", .block_size = 4096, .blocks = 1}};
    struct errmsg err;

    (void)state;
    assert_int_equal(endpoint_match_block_size(&a, &b, &err), -EINVAL);
    b.info.block_size = 512;
    assert_int_equal(endpoint_match_block_size(&a, &b, &err), 0);
}

static void one_identity_is_one_lun(void **state)
{
    struct endpoint a = {.info = {.name = "a", .block_size = 512, .blocks = 8}};
    struct endpoint b = {.info = {.name = "b", .block_size = 512, .blocks = 8}};
    struct errmsg err;

    (void)state;
    strcpy(a.info.identity, "naa.60014050000000000000000000000001");
    assert_int_equal(endpoint_check_distinct(&a, &b, &err), 0);
    strcpy(b.info.identity, "naa.60014050000000000000000000000002");
    assert_int_equal(endpoint_check_distinct(&a, &b, &err), 0);
    strcpy(b.info.identity, a.info.identity);
    assert_int_equal(endpoint_check_distinct(&a, &b, &err), -ENOTUNIQ);
    assert_non_null(strstr(err.text, "naa.60014050000000000000000000000001"));
    /* Without any identity only the size is left. */
    a.info.identity[0] = b.info.identity[0] = '\0';
    assert_int_equal(endpoint_check_distinct(&a, &b, &err), -ENOTUNIQ);
    b.info.blocks = 9;
    assert_int_equal(endpoint_check_distinct(&a, &b, &err), 0);
}

static void requests_are_checked(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->path, ENDPOINT_WRITABLE);
    struct endpoint *reader;
    static char data[1024];
    struct iovec iov = {data, 512};
    struct endpoint_request request = {
        .op = ENDPOINT_READ, .lba = 0, .blocks = 2, .iov = &iov, .iov_count = 1};

    assert_int_equal(endpoint_submit(endpoint, &request), -EINVAL); /* buffer too short */
    request.blocks = 0;
    assert_int_equal(endpoint_submit(endpoint, &request), -EINVAL);
    request.blocks = 1;
    request.lba = endpoint->info.blocks;
    assert_int_equal(endpoint_submit(endpoint, &request), -ERANGE);
    request.lba = UINT64_MAX;
    assert_int_equal(endpoint_submit(endpoint, &request), -ERANGE);
    request = (struct endpoint_request){.op = ENDPOINT_ZERO,
                                        .blocks = endpoint->info.max_zero_blocks + 1};
    endpoint->info.blocks = UINT64_MAX; /* as if the file were large */
    assert_int_equal(endpoint_submit(endpoint, &request), -EINVAL);
    endpoint_close(endpoint);

    reader = open_ok(fixture->path, 0);
    assert_int_equal(data_request(reader, ENDPOINT_WRITE, 0, 1, data), -EROFS);
    assert_int_equal(reader->counters.writes, 0);
    endpoint_close(reader);
}

static void a_read_past_a_cut_file_fails(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->path, 0);
    char data[1024];
    struct iovec iov = {data, sizeof(data)};
    struct endpoint_request request = {
        .op = ENDPOINT_READ, .lba = 7, .blocks = 2, .iov = &iov, .iov_count = 1};

    assert_int_equal(truncate(fixture->path, 8 * 512), 0);
    assert_int_equal(endpoint_run(endpoint, &request), -EIO);
    assert_int_equal(request.error_lba, 8);
    assert_false(request.unreadable);
    assert_non_null(strstr(request.error.text, fixture->path));
    endpoint_close(endpoint);
}

static void what_was_cut_off_is_not_called_unmapped(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->path, ENDPOINT_WRITABLE);
    struct extent_list map = {0};
    struct endpoint_request request = {.op = ENDPOINT_MAP,
                                       .blocks = endpoint->info.blocks,
                                       .map = &map};
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};

    assert_int_equal(truncate(fixture->path, FILE_BYTES / 2), 0);
    assert_int_equal(endpoint_run(endpoint, &request), -EIO);
    assert_non_null(strstr(request.error.text, fixture->path));
    assert_int_equal(endpoint_run(endpoint, &flush), -EIO);
    assert_int_equal(truncate(fixture->path, FILE_BYTES), 0);
    assert_int_equal(endpoint_run(endpoint, &flush), 0);
    extent_list_free(&map);
    endpoint_close(endpoint);
}

static void what_is_written_to_a_deleted_file_is_not_kept(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->path, ENDPOINT_WRITABLE);
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};
    int nameless = open(fixture->path, O_RDONLY | O_CLOEXEC); /* one that writes would be refused */
    char by_number[64];

    assert_true(nameless >= 0);
    assert_int_equal(endpoint_run(endpoint, &flush), 0);
    assert_int_equal(unlink(fixture->path), 0);
    assert_int_equal(endpoint_run(endpoint, &flush), -ENOENT);
    assert_non_null(strstr(flush.error.text, "deleted"));
    endpoint_close(endpoint);
    /* Without a name from the beginning it is somebody's intention. */
    snprintf(by_number, sizeof(by_number), "/proc/self/fd/%d", nameless);
    endpoint = open_ok(by_number, ENDPOINT_WRITABLE);
    assert_int_equal(endpoint_run(endpoint, &flush), 0);
    endpoint_close(endpoint);
    close(nameless);
}

static void what_is_written_to_a_renamed_file_is_not_where_it_should_be(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->path, ENDPOINT_WRITABLE);
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};
    char other[4200];

    snprintf(other, sizeof(other), "%s.other", fixture->path);
    assert_int_equal(rename(fixture->path, other), 0);
    assert_int_equal(endpoint_run(endpoint, &flush), -ENOENT);
    assert_non_null(strstr(flush.error.text, "renamed"));
    assert_int_equal(rename(other, fixture->path), 0);
    assert_int_equal(endpoint_run(endpoint, &flush), 0);
    endpoint_close(endpoint);
}

static void what_is_no_disk_is_refused(void **state)
{
    (void)state;
    open_fails("/dev/full", ENDPOINT_WRITABLE, -EINVAL, "neither a disk nor a file");
}

static void bad_names_are_refused(void **state)
{
    struct fixture *fixture = *state;
    char missing[160];

    snprintf(missing, sizeof(missing), "%s/new.img", fixture->directory);
    open_fails(missing, 0, -ENOENT, "No such file");
    open_fails(missing, ENDPOINT_WRITABLE, -ENOENT, "truncate -s");
    assert_int_equal(access(missing, F_OK), -1); /* not created */
    open_fails(fixture->directory, 0, -EISDIR, "neither a file nor a block device");
    assert_int_equal(truncate(fixture->path, 1000), 0);
    open_fails(fixture->path, 0, -EINVAL, "1000 bytes");
    assert_int_equal(truncate(fixture->path, 0), 0);
    open_fails(fixture->path, 0, -EINVAL, "0 bytes");
}

static void a_locked_file_is_refused_naming_the_holder(void **state)
{
    struct fixture *fixture = *state;
    char holder[32];
    int fd = open(fixture->path, O_RDWR | O_CLOEXEC);
    struct endpoint *reader, *other;

    snprintf(holder, sizeof(holder), "process %d", getpid());
    assert_int_equal(flock(fd, LOCK_EX), 0);
    open_fails(fixture->path, 0, -EBUSY, holder);
    open_fails(fixture->path, ENDPOINT_WRITABLE, -EBUSY, holder);
    close(fd);

    reader = open_ok(fixture->path, 0);
    other = open_ok(fixture->path, 0); /* two may read */
    open_fails(fixture->path, ENDPOINT_WRITABLE, -EBUSY, holder);
    endpoint_close(reader);
    endpoint_close(other);
    endpoint_close(open_ok(fixture->path, ENDPOINT_WRITABLE));
}

static void count_done(struct endpoint_request *request)
{
    ++*(int *)request->opaque;
}

static void many_in_flight_on_two_endpoints(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *pair[2] = {open_ok(fixture->path, 0), open_ok(fixture->path, 0)};
    static char data[64][4096];
    static struct iovec iov[64];
    static struct endpoint_request requests[64];
    int done = 0;

    for (unsigned i = 0; i < 64; i++) {
        iov[i] = (struct iovec){data[i], sizeof(data[i])};
        memset(data[i], 1, sizeof(data[i]));
        requests[i] = (struct endpoint_request){.op = ENDPOINT_READ,
                                                .lba = i * 8,
                                                .blocks = 8,
                                                .iov = &iov[i],
                                                .iov_count = 1,
                                                .done = count_done,
                                                .opaque = &done};
        assert_int_equal(endpoint_submit(pair[i % 2], &requests[i]), 0);
    }
    while (done < 64)
        assert_int_equal(endpoint_wait(pair, 2, 10000), 0);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(requests[i].result, 0);
        assert_int_equal(data[i][4095], 0);
    }
    assert_int_equal(endpoint_wait(pair, 2, 0), 0); /* nothing to wait for */
    endpoint_close(pair[0]);
    endpoint_close(pair[1]);
}

/* What was asked of the kernel, in order. */
static char calls[64];

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_posix_fadvise64(int fd, off_t offset, off_t length, int advice);
int __wrap_posix_fadvise64(int fd, off_t offset, off_t length, int advice);

int __wrap_fdatasync(int fd)
{
    strcat(calls, "sync ");
    return __real_fdatasync(fd);
}

int __wrap_posix_fadvise64(int fd, off_t offset, off_t length, int advice)
{
    if (offset == 0 && length == 0 && advice == POSIX_FADV_DONTNEED)
        strcat(calls, "drop ");
    return __real_posix_fadvise64(fd, offset, length, advice);
}

/* Pages that are dirty stay, so they have to be written out first. */
static void what_is_cached_is_written_out_and_dropped(void **state)
{
    const struct fixture *fixture = *state;
    const unsigned flags[] = {0, ENDPOINT_WRITABLE};

    for (int i = 0; i < 2; i++) {
        struct endpoint *endpoint = open_ok(fixture->path, flags[i]);
        struct errmsg err;

        calls[0] = '\0';
        assert_int_equal(endpoint_forget(endpoint, &err), 0);
        assert_string_equal(calls, "sync drop ");
        endpoint_close(endpoint);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(info_of_a_raw_file),
        TEST(only_the_kernels_own_file_systems_vouch_for_holes),
        TEST(a_new_file_is_another_one),
        TEST(what_is_written_is_read_and_mapped),
        TEST(zeroing_deallocates_whole_units),
        TEST(map_keeps_to_the_range_asked_for),
        TEST(block_size_follows_the_partner),
        cmocka_unit_test(fixed_block_sizes_must_agree),
        cmocka_unit_test(one_identity_is_one_lun),
        TEST(requests_are_checked),
        TEST(a_read_past_a_cut_file_fails),
        TEST(what_was_cut_off_is_not_called_unmapped),
        TEST(what_is_written_to_a_deleted_file_is_not_kept),
        TEST(what_is_written_to_a_renamed_file_is_not_where_it_should_be),
        cmocka_unit_test(what_is_no_disk_is_refused),
        TEST(bad_names_are_refused),
        TEST(a_locked_file_is_refused_naming_the_holder),
        TEST(many_in_flight_on_two_endpoints),
        TEST(what_is_cached_is_written_out_and_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
