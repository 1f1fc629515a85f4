/* SPDX-License-Identifier: Apache-2.0 */

/* Several endpoints of one LUN, used as one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "endpoint_sessions.h"
#include "fake_endpoint.h"

enum { SESSIONS = 3, BLOCKS = 4096, EACH = 8 };

struct joined {
    struct fake_endpoint *fakes[SESSIONS];
    struct endpoint *endpoint;
};

static void make(struct joined *joined)
{
    for (int i = 0; i < SESSIONS; i++) {
        joined->fakes[i] = fake_create("fake", BLOCKS);
        joined->fakes[i]->base.info.writable = true;
        snprintf(joined->fakes[i]->base.info.identity, sizeof(joined->fakes[i]->base.info.identity),
                 "naa.1");
    }
}

static void join(struct joined *joined)
{
    struct endpoint *endpoints[SESSIONS];
    struct errmsg err = {{0}};

    for (int i = 0; i < SESSIONS; i++)
        endpoints[i] = &joined->fakes[i]->base;
    if (endpoint_sessions_join(endpoints, SESSIONS, &joined->endpoint, &err) < 0)
        fail_msg("%s", err.text);
}

static void count_done(struct endpoint_request *request)
{
    assert_int_equal(request->result, 0);
    ++*(unsigned *)request->opaque;
}

static void transfers_are_shared_evenly(void **state)
{
    enum { REQUESTS = 96 };
    static uint8_t data[EACH * 512];
    struct endpoint_request requests[REQUESTS];
    struct iovec iov[REQUESTS];
    struct joined joined;
    unsigned done = 0;

    (void)state;
    make(&joined);
    join(&joined);
    for (unsigned i = 0; i < REQUESTS; i++) {
        iov[i] = (struct iovec){data, sizeof(data)};
        requests[i] = (struct endpoint_request){.op = ENDPOINT_WRITE,
                                                .lba = i * EACH,
                                                .blocks = EACH,
                                                .iov = &iov[i],
                                                .iov_count = 1,
                                                .done = count_done,
                                                .opaque = &done};
        assert_int_equal(endpoint_submit(joined.endpoint, &requests[i]), 0);
        assert_int_equal(done, 0); /* never from within submit */
    }
    while (done < REQUESTS)
        assert_int_equal(endpoint_wait(&joined.endpoint, 1, 5000), 0);
    for (int i = 0; i < SESSIONS; i++)
        assert_int_equal(fake_count(joined.fakes[i], ENDPOINT_WRITE), REQUESTS / SESSIONS);
    endpoint_close(joined.endpoint);
}

static void zeroing_and_map_go_to_the_first(void **state)
{
    struct endpoint_request zero = {.op = ENDPOINT_ZERO, .lba = 0, .blocks = EACH};
    struct extent_list map = {0};
    struct endpoint_request ask = {.op = ENDPOINT_MAP, .blocks = BLOCKS, .map = &map};
    struct joined joined;

    (void)state;
    make(&joined);
    fake_fill(joined.fakes[0], 100, 10, 1);
    join(&joined);
    for (int i = 0; i < SESSIONS; i++)
        assert_int_equal(endpoint_run(joined.endpoint, &zero), 0);
    assert_true(zero.deallocated);
    assert_int_equal(endpoint_run(joined.endpoint, &ask), 0);
    assert_int_equal(extent_list_total(&map, EXTENT_MAPPED), 10);
    assert_int_equal(fake_count(joined.fakes[0], ENDPOINT_ZERO), SESSIONS);
    assert_int_equal(fake_count(joined.fakes[0], ENDPOINT_MAP), 1);
    extent_list_free(&map);
    endpoint_close(joined.endpoint);
}

/* Each session knows of its own writes only. */
static void a_flush_goes_to_all_of_them(void **state)
{
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};
    struct joined joined;

    (void)state;
    make(&joined);
    join(&joined);
    assert_int_equal(endpoint_run(joined.endpoint, &flush), 0);
    for (int i = 0; i < SESSIONS; i++)
        assert_int_equal(fake_count(joined.fakes[i], ENDPOINT_FLUSH), 1);
    endpoint_close(joined.endpoint);
}

/* What each has done since it was opened, in the process's own numbers. */
static void the_counters_are_the_sum_of_all(void **state)
{
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};
    struct endpoint_counters sum;
    struct joined joined;

    (void)state;
    make(&joined);
    for (int i = 0; i < SESSIONS; i++) {
        uint64_t ten = i == 0 ? 1 : i == 1 ? 10 : 100;

        joined.fakes[i]->base.counters = (struct endpoint_counters){
            .reads = ten,
            .writes = 2 * ten,
            .zeros = 3 * ten,
            .maps = 4 * ten,
            .flushes = 5 * ten,
            .read_blocks = 6 * ten,
            .written_blocks = 7 * ten,
            .zeroed_blocks = 8 * ten,
            .reconnects = 9 * (unsigned)ten,
        };
    }
    join(&joined);
    assert_int_equal(endpoint_run(joined.endpoint, &flush), 0);
    sum = joined.endpoint->counters;
    assert_int_equal(sum.reads, 111);
    assert_int_equal(sum.writes, 222);
    assert_int_equal(sum.zeros, 333);
    assert_int_equal(sum.maps, 444);
    assert_int_equal(sum.flushes, 555);
    assert_int_equal(sum.read_blocks, 666);
    assert_int_equal(sum.written_blocks, 777);
    assert_int_equal(sum.zeroed_blocks, 888);
    assert_int_equal(sum.reconnects, 999);
    endpoint_close(joined.endpoint);
}

static void expect_flush(int second, int third, int expected)
{
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};
    struct joined joined;

    make(&joined);
    joined.fakes[1]->fault = (struct fake_fault){ENDPOINT_FLUSH, 0, second};
    joined.fakes[2]->fault = (struct fake_fault){ENDPOINT_FLUSH, 0, third};
    join(&joined);
    assert_int_equal(endpoint_run(joined.endpoint, &flush), expected);
    assert_non_null(strstr(flush.error.text, "failed"));
    endpoint_close(joined.endpoint);
}

static void a_flush_tells_the_worst_of_what_was_answered(void **state)
{
    (void)state;
    expect_flush(-ESTALE, 0, -ESTALE);
    expect_flush(-ESTALE, -EIO, -EIO);
    expect_flush(-EIO, -ESTALE, -EIO);
}

/* What done() sends while it is closed would never be answered. */
static void send_again(struct endpoint_request *request)
{
    struct endpoint *endpoint = request->opaque;

    request->result = endpoint_submit(endpoint, request);
}

static void nothing_is_taken_while_it_is_closed(void **state)
{
    struct endpoint_request zero = {.op = ENDPOINT_ZERO, .blocks = EACH, .done = send_again};
    struct joined joined;
    struct pollfd answered;

    (void)state;
    make(&joined);
    join(&joined);
    zero.opaque = joined.endpoint;
    assert_int_equal(endpoint_submit(joined.endpoint, &zero), 0);
    /* Answered, and not taken yet: that is left to the end. */
    joined.endpoint->ops->poll(joined.endpoint, &answered);
    assert_int_equal(poll(&answered, 1, 5000), 1);
    endpoint_close(joined.endpoint);
    assert_int_equal(zero.result, -ESHUTDOWN);
}

static void another_lun_at_the_next_session_is_refused(void **state)
{
    struct endpoint *endpoints[SESSIONS], *endpoint;
    struct errmsg err = {{0}};
    struct joined joined;

    (void)state;
    make(&joined);
    joined.fakes[2]->base.info.identity[4] = '2';
    for (int i = 0; i < SESSIONS; i++)
        endpoints[i] = &joined.fakes[i]->base;
    assert_int_equal(endpoint_sessions_join(endpoints, SESSIONS, &endpoint, &err), -ENODEV);
    assert_non_null(strstr(err.text, "naa.2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transfers_are_shared_evenly),
        cmocka_unit_test(zeroing_and_map_go_to_the_first),
        cmocka_unit_test(a_flush_goes_to_all_of_them),
        cmocka_unit_test(the_counters_are_the_sum_of_all),
        cmocka_unit_test(a_flush_tells_the_worst_of_what_was_answered),
        cmocka_unit_test(nothing_is_taken_while_it_is_closed),
        cmocka_unit_test(another_lun_at_the_next_session_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
