/* SPDX-License-Identifier: Apache-2.0 */

/* What is known of data that a target says it has moved. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iscsi_arrival.h"

#define BYTES 8192

struct fixture {
    struct iscsi_arrival arrival;
    struct transport_request request;
    struct iovec iov[3];
    uint8_t data[BYTES]; /* what the target has */
    uint8_t got[BYTES];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    for (size_t i = 0; i < BYTES; i++)
        fixture->data[i] = (uint8_t)(random() >> 8);
    fixture->iov[0] = (struct iovec){fixture->got, 1000};
    fixture->iov[1] = (struct iovec){fixture->got + 1000, 512};
    fixture->iov[2] = (struct iovec){fixture->got + 1512, BYTES - 1512};
    fixture->request = (struct transport_request){.direction = TRANSPORT_DATA_IN,
                                                  .iov = fixture->iov,
                                                  .iov_count = 3,
                                                  .medium_block_size = 512};
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    arrival_free(&((struct fixture *)*state)->arrival);
    free(*state);
    return 0;
}

/* [start, end) does not come, ever. Whether it is settled, by the first answer or the second. */
static size_t without(struct fixture *fixture, size_t start, size_t end, size_t told)
{
    struct iovec *iov;
    int count;

    fixture->arrival.again = false;
    for (int i = 0; i < 2; i++) {
        arrival_prepare(&fixture->arrival, &fixture->request, 8192, &iov, &count);
        assert_ptr_equal(iov, fixture->iov);
        assert_int_equal(count, 3);
        memcpy(fixture->got, fixture->data, start);
        memcpy(fixture->got + end, fixture->data + end, BYTES - end);
        fixture->request.transferred = told;
        if (arrival_settle(&fixture->arrival, &fixture->request, 8192, 0))
            return fixture->request.transferred;
    }
    fail_msg("a third time is of no use");
    return 0;
}

static void what_comes_is_taken(void **state)
{
    for (int i = 0; i < 200; i++)
        assert_int_equal(without(*state, 0, 0, BYTES), BYTES);
}

static void what_does_not_come_is_missed_wherever_it_is(void **state)
{
    assert_int_equal(without(*state, 0, BYTES, BYTES), 0);
    assert_int_equal(without(*state, BYTES - 1, BYTES, BYTES), BYTES - 1);
    srandom(14);
    for (int i = 0; i < 2000; i++) {
        size_t start = (size_t)random() % (BYTES - 7), length = 7 + (size_t)random() % 600;
        size_t end = start + length < BYTES ? start + length : BYTES;
        size_t came = without(*state, start, end, BYTES);

        /* Bytes before it may look like the mark, too. */
        assert_in_range(came, start > 3 ? start - 3 : 0, start + 3);
    }
}

static void a_residual_is_believed(void **state)
{
    assert_int_equal(without(*state, 4096, BYTES, 4096), 4096);
    assert_int_equal(without(*state, 4000, BYTES, 4096), 4000);
    assert_int_equal(without(*state, 0, BYTES, 0), 0);
}

static void data_that_look_like_the_mark_are_asked_for_again_and_taken(void **state)
{
    struct fixture *fixture = *state;
    struct iovec *iov;
    int count;

    arrival_prepare(&fixture->arrival, &fixture->request, 8192, &iov, &count);
    memcpy(fixture->data, fixture->got, BYTES); /* by chance */
    fixture->request.transferred = BYTES;
    assert_false(arrival_settle(&fixture->arrival, &fixture->request, 8192, 0));
    arrival_prepare(&fixture->arrival, &fixture->request, 8192, &iov, &count);
    memcpy(fixture->got, fixture->data, BYTES);
    fixture->request.transferred = BYTES;
    assert_true(arrival_settle(&fixture->arrival, &fixture->request, 8192, 0));
    assert_int_equal(fixture->request.transferred, BYTES);
}

static void what_is_missing_of_an_answer_is_zeros(void **state)
{
    static const uint8_t zeros[BYTES];
    struct fixture *fixture = *state;

    fixture->request.medium_block_size = 0;
    assert_int_equal(without(fixture, 36, BYTES, 36), 36);
    assert_memory_equal(fixture->got, fixture->data, 36);
    assert_memory_equal(fixture->got + 36, zeros, BYTES - 36);
    assert_int_equal(without(fixture, 1200, 1300, BYTES), 1200);
    assert_memory_equal(fixture->got + 1200, zeros, BYTES - 1200);
}

/* What is known to be taken at most of a WRITE of 256 KiB by PDUs of 8 KiB, the last at begin. */
static size_t taken(size_t begin)
{
    struct iscsi_arrival arrival = {0};
    struct iovec buffer = {NULL, 262144}, *iov;
    struct transport_request request = {.direction = TRANSPORT_DATA_OUT,
                                        .iov = &buffer,
                                        .iov_count = 1,
                                        .transferred = 262144};
    size_t at = 0, total = 0;
    int count;

    arrival_prepare(&arrival, &request, 8192, &iov, &count);
    for (int i = 0; i < count; i++) {
        at += total + iov[i].iov_len <= begin ? iov[i].iov_len : 0;
        total += iov[i].iov_len;
    }
    assert_int_equal(total, 262144);
    assert_true(arrival_settle(&arrival, &request, 8192, at));
    arrival_free(&arrival);
    return request.transferred;
}

static void a_write_whose_end_was_never_asked_for_is_short(void **state)
{
    (void)state;
    assert_int_equal(taken(262144 - 8192), 262144);
    assert_int_equal(taken(262144 - 512), 262144);
    assert_in_range(taken(65536 - 8192), 65536, 65536 + 4096);
    assert_in_range(taken(0), 8192, 8192 + 4096);
    assert_true(taken(262144 - 16384 - 4096) < 262144);
}

static void a_write_of_one_pdu_needs_no_pieces(void **state)
{
    struct iscsi_arrival arrival = {0};
    struct iovec buffer = {NULL, 8192}, *iov;
    struct transport_request request = {.direction = TRANSPORT_DATA_OUT,
                                        .iov = &buffer,
                                        .iov_count = 1,
                                        .transferred = 8192};
    int count;

    (void)state;
    arrival_prepare(&arrival, &request, 8192, &iov, &count);
    assert_ptr_equal(iov, &buffer);
    assert_int_equal(count, 1);
    assert_true(arrival_settle(&arrival, &request, 8192, 0));
    assert_int_equal(request.transferred, 8192);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_comes_is_taken),
        TEST(what_does_not_come_is_missed_wherever_it_is),
        TEST(a_residual_is_believed),
        TEST(data_that_look_like_the_mark_are_asked_for_again_and_taken),
        TEST(what_is_missing_of_an_answer_is_zeros),
        TEST(a_write_whose_end_was_never_asked_for_is_short),
        TEST(a_write_of_one_pdu_needs_no_pieces),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
