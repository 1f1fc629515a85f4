/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "fake_endpoint.h"
#include "track_view.h"

#define TRACK_BLOCKS 3
#define TRACKS       8
#define BLOCKS       (TRACKS * TRACK_BLOCKS)
#define BLOCK_BYTES  512

/* The home address and record zero of a track; a record follows. */
static void put_track(uint8_t *to, uint8_t number)
{
    const uint8_t begin[] = {0, 0, number, 0, 1, 0, number, 0, 1, 0, 0, 0, 8};

    memset(to, 0x5A, TRACK_BLOCKS * BLOCK_BYTES);
    memcpy(to, begin, sizeof(begin));
}

struct setup {
    struct fake_endpoint *fake;
    struct endpoint *view;
    struct extent_runs heads; /* every other track is free, from the second one on */
};

static struct setup set_up(void)
{
    struct setup setup = {.fake = fake_create("disk", BLOCKS)};

    for (uint8_t i = 0; i < TRACKS; i++) {
        put_track(setup.fake->data + i * TRACK_BLOCKS * BLOCK_BYTES, i);
        assert_int_equal(extent_runs_append(&setup.heads, 1,
                                            i % 2 ? EXTENT_MAPPED : EXTENT_DEALLOCATED),
                         0);
        assert_int_equal(extent_runs_append(&setup.heads, 2, EXTENT_DEALLOCATED), 0);
    }
    return setup;
}

static void open_view(struct setup *setup)
{
    assert_int_equal(track_view_create(&setup->fake->base, &setup->heads, &setup->view), 0);
}

static void tear_down(struct setup *setup)
{
    endpoint_close(setup->view);
    endpoint_close(&setup->fake->base);
    extent_runs_free(&setup->heads);
}

/* What each byte of the disk must read as. */
static uint8_t expected_byte(const struct setup *setup, size_t at)
{
    size_t track = at / (TRACK_BLOCKS * BLOCK_BYTES), within = at % (TRACK_BLOCKS * BLOCK_BYTES);

    if (track % 2 == 0 || within < 21 || within >= BLOCK_BYTES)
        return setup->fake->data[at];
    return within < 29 ? 0xFF : 0;
}

static void expect_read(struct setup *setup, uint64_t lba, uint64_t blocks, size_t first_bytes)
{
    uint8_t bytes[BLOCKS * BLOCK_BYTES];
    size_t block_size = setup->fake->base.info.block_size, length = blocks * block_size;
    struct iovec iov[2] = {{bytes, first_bytes}, {bytes + first_bytes, length - first_bytes}};
    struct endpoint_request request = {
        .op = ENDPOINT_READ, .lba = lba, .blocks = blocks, .iov = iov, .iov_count = 2};

    assert_int_equal(endpoint_run(setup->view, &request), 0);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(bytes[i], expected_byte(setup, lba * block_size + i));
}

static void free_tracks_read_as_empty_ones_however_they_are_read(void **state)
{
    struct setup setup = set_up();

    (void)state;
    open_view(&setup);
    for (uint64_t lba = 0; lba < BLOCKS; lba++)
        for (uint64_t blocks = 1; blocks <= BLOCKS - lba; blocks++)
            expect_read(&setup, lba, blocks, (lba * 37 + blocks * 101) % (blocks * BLOCK_BYTES));
    tear_down(&setup);
}

/* The begin of a track is a part of a block then. */
static void blocks_may_be_larger_than_what_is_looked_at(void **state)
{
    struct setup setup = set_up();

    (void)state;
    setup.fake->base.info.block_size = 4096;
    setup.fake->base.info.blocks = BLOCKS / 8;
    open_view(&setup);
    expect_read(&setup, 0, 3, 4095);
    expect_read(&setup, 1, 2, 700);
    tear_down(&setup);
}

static void a_track_that_is_none_stays_as_it_is(void **state)
{
    static const size_t places[] = {0, 1, 4, 5, 9, 10, 11, 12};
    uint8_t track[TRACK_BLOCKS * BLOCK_BYTES], copy[TRACK_HEAD_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        put_track(track, 1);
        track[places[i]] ^= 0x40;
        memcpy(copy, track, sizeof(copy));
        track_view_empty(copy);
        assert_memory_equal(copy, track, sizeof(copy));
    }
}

static void errors_and_other_requests_are_passed_on(void **state)
{
    struct setup setup = set_up();
    uint8_t bytes[BLOCK_BYTES];
    struct iovec iov = {bytes, sizeof(bytes)};
    struct endpoint_request request = {
        .op = ENDPOINT_READ, .lba = 3, .blocks = 1, .iov = &iov, .iov_count = 1};
    CLEANUP(extent_list_free) struct extent_list map = {0};
    struct endpoint_request question = {.op = ENDPOINT_MAP, .blocks = BLOCKS, .map = &map};
    const uint64_t bad[] = {3, UINT64_MAX};

    (void)state;
    open_view(&setup);
    setup.fake->bad = bad;
    assert_int_equal(endpoint_run(setup.view, &request), -EIO);
    assert_int_equal(request.error_lba, 3);
    assert_true(strlen(request.error.text) > 0);
    assert_int_equal(endpoint_run(setup.view, &question), 0);
    assert_int_equal(extent_list_end(&map), BLOCKS);
    request.lba = BLOCKS;
    assert_int_equal(endpoint_run(setup.view, &request), -ERANGE);
    tear_down(&setup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_tracks_read_as_empty_ones_however_they_are_read),
        cmocka_unit_test(blocks_may_be_larger_than_what_is_looked_at),
        cmocka_unit_test(a_track_that_is_none_stays_as_it_is),
        cmocka_unit_test(errors_and_other_requests_are_passed_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
