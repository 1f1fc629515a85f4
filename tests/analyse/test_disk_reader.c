/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "disk_reader.h"
#include "fake_endpoint.h"

#define BLOCKS ((uint64_t)65536) /* 32 MiB, four times what is kept */
#define BYTES  (BLOCKS * 512)

struct fixture {
    struct fake_endpoint *fake;
    struct disk_reader *reader;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture.fake = fake_create("fake", BLOCKS);
    fake_fill(fixture.fake, 0, BLOCKS, 1);
    assert_int_equal(disk_reader_create(&fixture.fake->base, &fixture.reader), 0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    disk_reader_free(fixture->reader);
    endpoint_close(&fixture->fake->base);
    return 0;
}

static void expect_bytes(struct fixture *fixture, uint64_t offset, size_t length)
{
    static uint8_t got[BYTES];

    assert_int_equal(disk_reader_read(fixture->reader, offset, got, length), 0);
    assert_memory_equal(got, fixture->fake->data + offset, length);
}

static void it_reads_at_any_offset_and_length(void **state)
{
    struct fixture *fixture = *state;

    fixture->fake->shuffle = true;
    expect_bytes(fixture, 1, 3);
    expect_bytes(fixture, 16383, 2);
    expect_bytes(fixture, 5, 300000);
    expect_bytes(fixture, BYTES - 7, 7);
    expect_bytes(fixture, 0, BYTES);
    expect_bytes(fixture, 123456, 0);
}

static void it_reads_nothing_beyond_the_end(void **state)
{
    struct fixture *fixture = *state;
    uint8_t byte;

    assert_int_equal(disk_reader_read(fixture->reader, BYTES, &byte, 1), -ERANGE);
    assert_int_equal(disk_reader_read(fixture->reader, BYTES - 1, &byte, 2), -ERANGE);
    assert_int_equal(disk_reader_read(fixture->reader, UINT64_MAX, &byte, 1), -ERANGE);
    assert_int_equal(fake_count(fixture->fake, ENDPOINT_READ), 0);
}

static void what_was_read_lately_is_not_read_again(void **state)
{
    struct fixture *fixture = *state;

    expect_bytes(fixture, 1024, 1024);
    expect_bytes(fixture, 1536, 4096);
    assert_string_equal(fake_ranges(fixture->fake, ENDPOINT_READ), "0+32");
}

static void what_is_planned_is_fetched_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct byte_range plan[64];

    for (unsigned i = 0; i < 64; i++)
        plan[i] = (struct byte_range){(uint64_t)i * 262144, 512};
    assert_int_equal(disk_reader_plan(fixture->reader, plan, 64), 0);
    assert_int_equal(fake_count(fixture->fake, ENDPOINT_READ), 0);
    expect_bytes(fixture, 0, 512);
    assert_int_equal(fake_count(fixture->fake, ENDPOINT_READ), 64);
    assert_int_equal(fixture->fake->high_water[ENDPOINT_READ], 32);
    for (unsigned i = 0; i < 64; i++)
        expect_bytes(fixture, plan[i].start, 512);
    assert_int_equal(fake_count(fixture->fake, ENDPOINT_READ), 64);
}

static void a_plan_larger_than_the_memory_is_followed_in_windows(void **state)
{
    struct fixture *fixture = *state;
    struct byte_range plan[512];

    for (unsigned i = 0; i < 512; i++)
        plan[i] = (struct byte_range){(uint64_t)i * 65536 + 100, 40000};
    assert_int_equal(disk_reader_plan(fixture->reader, plan, 512), 0);
    for (unsigned i = 0; i < 512; i++)
        expect_bytes(fixture, plan[i].start, 40000);
    /* Nothing twice: 40000 bytes at 100 take three pages of 16 KiB. */
    assert_true(fake_count(fixture->fake, ENDPOINT_READ) <= 1024);
    assert_non_null(fake_ranges(fixture->fake, ENDPOINT_READ));
}

static void a_bad_block_in_what_is_only_planned_is_no_matter(void **state)
{
    struct fixture *fixture = *state;
    const struct byte_range plan[] = {{65536, 512}, {1 << 20, 512}};

    fixture->fake->fault = (struct fake_fault){.op = ENDPOINT_READ, .skip = 2, .error = -EIO};
    assert_int_equal(disk_reader_plan(fixture->reader, plan, 2), 0);
    expect_bytes(fixture, 0, 512);
}

static void a_read_that_fails_twice_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[512];

    fixture->fake->base.info.max_transfer_blocks = 0; /* no request can be right */
    assert_true(disk_reader_read(fixture->reader, 0, bytes, sizeof(bytes)) < 0);
    fixture->fake->base.info.max_transfer_blocks = 64;
    expect_bytes(fixture, 0, 512);
}

static void a_lost_target_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[512];

    fixture->fake->gone_after = 0;
    assert_int_equal(disk_reader_read(fixture->reader, 0, bytes, sizeof(bytes)), -ENOTCONN);
}

static atomic_bool stop;

static size_t reads_left; /* until the stop */

static void count_down(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    (void)fake;
    (void)request;
    stop = --reads_left == 0;
}

/* What is in flight comes to its end, and nothing follows it. */
static void a_stop_ends_it(void **state)
{
    struct fixture *fixture = *state;
    struct byte_range plan[64];
    uint8_t bytes[512];

    stop = false;
    reads_left = 5;
    fixture->fake->on_submit = count_down;
    disk_reader_set_stop(fixture->reader, &stop);
    expect_bytes(fixture, 0, 512);
    assert_false(disk_reader_was_stopped(fixture->reader));
    for (unsigned i = 0; i < 64; i++)
        plan[i] = (struct byte_range){(uint64_t)(i + 1) * 262144, 512};
    assert_int_equal(disk_reader_plan(fixture->reader, plan, 64), 0);
    assert_int_equal(disk_reader_read(fixture->reader, 262144, bytes, sizeof(bytes)), -EINTR);
    assert_true(disk_reader_was_stopped(fixture->reader));
    assert_int_equal(fake_count(fixture->fake, ENDPOINT_READ), 5);
    assert_int_equal(fixture->fake->in_flight[ENDPOINT_READ], 0);
    /* Not even what is known. */
    assert_int_equal(disk_reader_read(fixture->reader, 0, bytes, sizeof(bytes)), -EINTR);
}

static void note_bytes(void *opaque, uint64_t read_bytes)
{
    uint64_t *noted = opaque;

    assert_true(read_bytes >= *noted);
    *noted = read_bytes;
}

static uint64_t blocks_read(const struct fake_endpoint *fake)
{
    uint64_t blocks = 0;

    for (size_t i = 0; i < fake->log_count; i++)
        blocks += fake->log[i].blocks;
    return blocks;
}

static void what_was_read_is_told_while_it_waits(void **state)
{
    struct fixture *fixture = *state;
    uint64_t noted = 0;

    disk_reader_set_watch(fixture->reader, note_bytes, &noted);
    expect_bytes(fixture, 0, 512);
    assert_int_equal(noted, blocks_read(fixture->fake) * 512);
    expect_bytes(fixture, BYTES - 512, 512);
    assert_int_equal(noted, blocks_read(fixture->fake) * 512);
    assert_true(noted > 512);
}

static void a_stop_while_the_target_is_away_is_no_loss(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[512];

    stop = false;
    reads_left = 1;
    fixture->fake->on_submit = count_down;
    disk_reader_set_stop(fixture->reader, &stop);
    fixture->fake->gone_after = 0;
    assert_int_equal(disk_reader_read(fixture->reader, 0, bytes, sizeof(bytes)), -EINTR);
    assert_true(disk_reader_was_stopped(fixture->reader));
}

static void reading_without_end_comes_to_an_end(void **state)
{
    struct fixture *fixture = *state;
    uint8_t byte;
    int r = 0;

    for (uint64_t i = 0; r == 0 && i < 1 << 20; i++)
        r = disk_reader_read(fixture->reader, i * (9 << 20) % BYTES, &byte, 1);
    assert_int_equal(r, 0); /* all of it is kept */
    for (uint64_t i = 0; r == 0 && i < 1 << 18; i++)
        r = disk_reader_read(fixture->reader, i * 16384 % BYTES, &byte, 1);
    assert_int_equal(r, -E2BIG);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(it_reads_at_any_offset_and_length),
        T(it_reads_nothing_beyond_the_end),
        T(what_was_read_lately_is_not_read_again),
        T(what_is_planned_is_fetched_at_once),
        T(a_plan_larger_than_the_memory_is_followed_in_windows),
        T(a_bad_block_in_what_is_only_planned_is_no_matter),
        T(a_read_that_fails_twice_is_an_error),
        T(a_lost_target_is_an_error),
        T(a_stop_ends_it),
        T(what_was_read_is_told_while_it_waits),
        T(a_stop_while_the_target_is_away_is_no_loss),
        T(reading_without_end_comes_to_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
