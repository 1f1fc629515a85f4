/* SPDX-License-Identifier: Apache-2.0 */

/* thin:PATH: the SCSI endpoint over a logical unit in this process. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>

#include "endpoint.h"
#include "volume.h"

#define VOLUME_BYTES (UINT64_C(64) << 20)

struct fixture {
    char directory[64];
    char path[96];
    char name[112];
    char description[112];
};

static int setup_of(void **state, uint32_t block_size)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct volume *volume;
    struct errmsg err;

    assert_non_null(fixture);
    strcpy(fixture->directory, "/tmp/endpoint_thin.XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof(fixture->path), "%s/volume", fixture->directory);
    snprintf(fixture->name, sizeof(fixture->name), "thin:%s", fixture->path);
    snprintf(fixture->description, sizeof(fixture->description), "%s.thin", fixture->path);
    if (volume_create(fixture->path, block_size, VOLUME_BYTES, &volume, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(volume_close(volume), 0);
    *state = fixture;
    return 0;
}

static int setup_512(void **state)
{
    return setup_of(state, 512);
}

static int setup_4096(void **state)
{
    return setup_of(state, 4096);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    unlink(fixture->path);
    unlink(fixture->description);
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static struct endpoint *open_ok(const char *name, unsigned flags)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};

    if (endpoint_open(name, flags, NULL, &endpoint, &err) < 0)
        fail_msg("%s", err.text);
    return endpoint;
}

static void open_fails(const char *name, unsigned flags, int error, const char *words)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};

    assert_int_equal(endpoint_open(name, flags, NULL, &endpoint, &err), error);
    if (!strstr(err.text, words))
        fail_msg("'%s' does not say '%s'", err.text, words);
}

static void transfer(struct endpoint *endpoint, enum endpoint_op op, uint64_t offset, char *data,
                     size_t bytes)
{
    struct iovec iov[2] = {{data, 777}, {data + 777, bytes - 777}};
    struct endpoint_request request = {.op = op,
                                       .lba = offset / endpoint->info.block_size,
                                       .blocks = bytes / endpoint->info.block_size,
                                       .iov = iov,
                                       .iov_count = 2};

    if (endpoint_run(endpoint, &request) < 0)
        fail_msg("%s", request.error.text);
}

/* The map in KiB, "M16 D100 ...". */
static const char *map_text(struct endpoint *endpoint)
{
    static char text[512];
    struct extent_list map = {0};
    size_t used = 0;

    while (extent_list_end(&map) < endpoint->info.blocks) {
        uint64_t from = extent_list_end(&map);
        struct endpoint_request request = {.op = ENDPOINT_MAP,
                                           .lba = from,
                                           .blocks = endpoint->info.blocks - from,
                                           .map = &map};

        assert_int_equal(endpoint_run(endpoint, &request), 0);
    }
    for (size_t i = 0; i < map.count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%c%llu", i ? " " : "",
                                 map.items[i].status == EXTENT_MAPPED ? 'M' : 'D',
                                 (unsigned long long)map.items[i].length *
                                     endpoint->info.block_size / 1024);
    extent_list_free(&map);
    return text;
}

static void a_volume_is_a_whole_thin_lun(void **state)
{
    static char data[1 << 20], back[1 << 20];
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->name, ENDPOINT_WRITABLE);
    uint32_t block_size = endpoint->info.block_size;
    struct endpoint_request zero = {.op = ENDPOINT_ZERO,
                                    .lba = (1 << 20) / block_size,
                                    .blocks = 65536 / block_size};
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};

    assert_string_equal(endpoint->info.kind, "thin");
    assert_int_equal(endpoint->info.blocks, VOLUME_BYTES / block_size);
    assert_int_equal(strncmp(endpoint->info.identity, "naa.6", 5), 0);
    assert_true(endpoint->info.thin && endpoint->info.can_map && endpoint->info.can_unmap &&
                endpoint->info.unmapped_reads_zeros && endpoint->info.writable);
    assert_string_equal(map_text(endpoint), "D65536");
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i % 251 + 1);
    transfer(endpoint, ENDPOINT_WRITE, 1 << 20, data, sizeof(data));
    assert_int_equal(endpoint_run(endpoint, &zero), 0);
    assert_true(zero.deallocated);
    assert_int_equal(endpoint_run(endpoint, &flush), 0);
    memset(data, 0, 65536);
    transfer(endpoint, ENDPOINT_READ, 1 << 20, back, sizeof(back));
    assert_memory_equal(data, back, sizeof(data));
    assert_string_equal(map_text(endpoint), "D1088 M960 D63488");
    endpoint_close(endpoint);
}

static void identity_stays(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->name, 0);
    char identity[ENDPOINT_IDENTITY_BYTES];

    strcpy(identity, endpoint->info.identity);
    endpoint_close(endpoint);
    endpoint = open_ok(fixture->name, ENDPOINT_WRITABLE);
    assert_string_equal(endpoint->info.identity, identity);
    endpoint_close(endpoint);
}

static void one_writer_or_many_readers(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *endpoint = open_ok(fixture->name, ENDPOINT_WRITABLE);
    struct endpoint *other;
    char holder[32];

    snprintf(holder, sizeof(holder), "%d", getpid());
    open_fails(fixture->name, 0, -EBUSY, holder);
    open_fails(fixture->path, 0, -EBUSY, holder); /* as a raw file neither */
    endpoint_close(endpoint);

    endpoint = open_ok(fixture->name, 0);
    other = open_ok(fixture->path, 0);
    open_fails(fixture->name, ENDPOINT_WRITABLE, -EBUSY, holder);
    endpoint_close(other);
    endpoint_close(endpoint);
}

static void what_is_no_volume_is_told(void **state)
{
    struct fixture *fixture = *state;
    char name[160];

    snprintf(name, sizeof(name), "thin:%s/missing", fixture->directory);
    open_fails(name, ENDPOINT_WRITABLE, -ENOENT, "thinvol create");
    open_fails("thin:", 0, -ENOENT, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_512, teardown)

static void what_is_written_to_a_deleted_volume_is_not_kept(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint *written = open_ok(fixture->name, ENDPOINT_WRITABLE);
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};
    char data[4096];
    struct iovec iov = {data, sizeof(data)};
    struct endpoint_request one = {.op = ENDPOINT_READ,
                                   .blocks = sizeof(data) / written->info.block_size,
                                   .iov = &iov,
                                   .iov_count = 1};

    assert_int_equal(endpoint_run(written, &flush), 0);
    assert_int_equal(unlink(fixture->path), 0);
    assert_int_equal(endpoint_run(written, &one), 0);
    assert_int_equal(endpoint_run(written, &flush), -ENOENT);
    assert_non_null(strstr(flush.error.text, fixture->name));
    assert_non_null(strstr(flush.error.text, "somebody has deleted the file"));
    endpoint_close(written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_volume_is_a_whole_thin_lun),
        cmocka_unit_test_setup_teardown(a_volume_is_a_whole_thin_lun, setup_4096, teardown),
        TEST(identity_stays),
        TEST(one_writer_or_many_readers),
        TEST(what_is_no_volume_is_told),
        TEST(what_is_written_to_a_deleted_volume_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
