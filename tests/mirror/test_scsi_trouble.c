/* SPDX-License-Identifier: Apache-2.0 */

/* When the unit behind the name changes or goes away while requests are in flight. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "endpoint_kinds.h"
#include "fake_unit.h"
#include "log.h"
#include "scsi_defs.h"

#define REQUESTS 5

struct fixture {
    struct fake_unit *unit;
    struct endpoint *endpoint;
    char data[REQUESTS][512];
    struct iovec iov[REQUESTS];
    struct endpoint_request requests[REQUESTS];
    int done;
};

static void drop(enum log_level level, const char *message)
{
    (void)level;
    (void)message;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct errmsg err;

    assert_non_null(fixture);
    fixture->unit = fake_unit_new();
    if (endpoint_scsi_open("lun-a", "iscsi", &fixture->unit->transport, ENDPOINT_WRITABLE,
                           &fixture->endpoint, &err) < 0)
        fail_msg("%s", err.text);
    fixture->unit->log[0] = '\0';
    log_set_sink(drop);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    endpoint_close(fixture->endpoint);
    fake_unit_free(fixture->unit);
    free(fixture);
    log_set_sink(NULL);
    return 0;
}

static void note_done(struct endpoint_request *request)
{
    ++*(int *)request->opaque;
}

static int submit(struct fixture *fixture, unsigned i)
{
    fixture->iov[i] = (struct iovec){fixture->data[i], sizeof(fixture->data[i])};
    fixture->requests[i] = (struct endpoint_request){.op = ENDPOINT_WRITE,
                                                     .lba = i,
                                                     .blocks = 1,
                                                     .iov = &fixture->iov[i],
                                                     .iov_count = 1,
                                                     .done = note_done,
                                                     .opaque = &fixture->done};
    return endpoint_submit(fixture->endpoint, &fixture->requests[i]);
}

static void submit_all(struct fixture *fixture)
{
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(submit(fixture, i), 0);
}

/* The last error of endpoint_wait. */
static int wait_for_all(struct fixture *fixture)
{
    int result = 0;

    while (fixture->done < REQUESTS) {
        int r = endpoint_wait(&fixture->endpoint, 1, -1);

        if (r < 0)
            result = r;
    }
    return result;
}

static void attention(struct fixture *fixture, const char *word, uint16_t asc_ascq)
{
    fake_unit_fault(fixture->unit, (struct fake_fault){.word = word,
                                                       .times = 1,
                                                       .key = SENSE_UNIT_ATTENTION,
                                                       .asc_ascq = asc_ascq});
}

static int flush(struct fixture *fixture, struct errmsg *err)
{
    struct endpoint_request request = {.op = ENDPOINT_FLUSH};
    int r = endpoint_run(fixture->endpoint, &request);

    *err = request.error;
    return r;
}

static void after_an_attention_the_unit_is_looked_at_first(void **state)
{
    struct fixture *fixture = *state;
    struct errmsg err;

    attention(fixture, "W", ASC_CAPACITY_DATA_CHANGED);
    submit_all(fixture);
    assert_int_equal(wait_for_all(fixture), 0);
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(fixture->requests[i].result, 0);
    /* The others were on their way already. */
    assert_string_equal(fixture->unit->log, "W 0+1 W 1+1 W 2+1 W 3+1 W 4+1 RC16 VPD83 W 0+1");
    assert_int_equal(flush(fixture, &err), 0);
}

static void nothing_is_sent_before_that_look(void **state)
{
    struct fixture *fixture = *state;

    attention(fixture, "W", ASC_REPORTED_LUNS_DATA_CHANGED);
    assert_int_equal(submit(fixture, 0), 0);
    assert_int_equal(endpoint_wait(&fixture->endpoint, 1, -1), 0);
    for (unsigned i = 1; i < REQUESTS; i++)
        assert_int_equal(submit(fixture, i), 0);
    assert_int_equal(wait_for_all(fixture), 0);
    assert_non_null(strstr(fixture->unit->log, "W 0+1 RC16 VPD83 W "));
    assert_true(fake_unit_is(fixture->unit, 0, REQUESTS, 0));
}

static void attentions_of_the_look_itself_are_passed_over(void **state)
{
    struct fixture *fixture = *state;

    attention(fixture, "W", ASC_POWER_ON_RESET);
    attention(fixture, "RC16", ASC_REPORTED_LUNS_DATA_CHANGED);
    attention(fixture, "VPD83", ASC_CAPACITY_DATA_CHANGED);
    submit_all(fixture);
    assert_int_equal(wait_for_all(fixture), 0);
    assert_non_null(strstr(fixture->unit->log, "RC16 RC16 VPD83 VPD83 W 0+1"));
}

/* Every request after the first command has failed, and so does what comes later. */
static void is_of_no_more_use(struct fixture *fixture, int error, const char *words)
{
    if (fixture->done < REQUESTS)
        assert_int_equal(wait_for_all(fixture), error);
    assert_int_equal(fixture->requests[0].result, error);
    if (!strstr(fixture->requests[0].error.text, words) ||
        !strstr(fixture->requests[0].error.text, "lun-a"))
        fail_msg("'%s' does not say '%s' and the name", fixture->requests[0].error.text, words);
    fixture->unit->log[0] = '\0';
    assert_int_equal(submit(fixture, 0), error);
    assert_non_null(strstr(fixture->requests[0].error.text, words));
    assert_string_equal(fixture->unit->log, "");
    assert_int_equal(fixture->done, REQUESTS);
}

static void another_capacity_is_another_unit(void **state)
{
    struct fixture *fixture = *state;

    attention(fixture, "W", ASC_CAPACITY_DATA_CHANGED);
    submit_all(fixture);
    fixture->unit->blocks = 1000;
    is_of_no_more_use(fixture, -ENODEV, "from 1024 blocks of 512 bytes to 1000 of 512");
}

static void another_name_is_another_unit(void **state)
{
    static const uint8_t other[16] = {0x60, 0x01, 0x40, 0x50, 0xFF};
    struct fixture *fixture = *state;

    attention(fixture, "W", ASC_REPORTED_LUNS_DATA_CHANGED);
    submit_all(fixture);
    fixture->unit->naa = other;
    is_of_no_more_use(fixture, -ENODEV, "another logical unit answers");
}

static void a_unit_that_lost_its_name_is_another_unit(void **state)
{
    struct fixture *fixture = *state;

    attention(fixture, "W", ASC_REPORTED_LUNS_DATA_CHANGED);
    submit_all(fixture);
    fixture->unit->naa = NULL;
    is_of_no_more_use(fixture, -ENODEV, "INQUIRY");
}

static void a_reset_may_have_lost_what_was_not_flushed(void **state)
{
    struct fixture *fixture = *state;
    struct errmsg err;

    submit_all(fixture);
    assert_int_equal(wait_for_all(fixture), 0);
    attention(fixture, "SC16", ASC_POWER_ON_RESET);
    assert_int_equal(flush(fixture, &err), -ESTALE);
    assert_non_null(strstr(err.text, "reset"));
    assert_int_equal(flush(fixture, &err), 0); /* it is told once */
}

static void a_reset_may_have_lost_what_an_earlier_process_did_not_flush(void **state)
{
    struct fixture *fixture = *state;
    struct errmsg err;

    attention(fixture, "SC16", ASC_POWER_ON_RESET);
    assert_int_equal(flush(fixture, &err), -ESTALE);
    assert_int_equal(flush(fixture, &err), 0);
    attention(fixture, "SC16", ASC_POWER_ON_RESET);
    assert_int_equal(flush(fixture, &err), 0);
}

static void a_reset_after_a_flush_has_lost_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct errmsg err;

    submit_all(fixture);
    assert_int_equal(wait_for_all(fixture), 0);
    assert_int_equal(flush(fixture, &err), 0);
    attention(fixture, "SC16", ASC_POWER_ON_RESET);
    assert_int_equal(flush(fixture, &err), 0);
}

/* A flush covers what was answered before it was sent, and nothing else. */
static void a_write_that_waited_during_a_flush_is_not_covered_by_it(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint_request request = {.op = ENDPOINT_FLUSH,
                                       .done = note_done,
                                       .opaque = &fixture->done};
    struct errmsg err;

    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "W", .times = 1, .status = SCSI_STATUS_BUSY});
    assert_int_equal(submit(fixture, 0), 0);
    assert_int_equal(endpoint_submit(fixture->endpoint, &request), 0);
    while (fixture->done < 2)
        assert_int_equal(endpoint_wait(&fixture->endpoint, 1, -1), 0);
    assert_string_equal(fixture->unit->log, "W 0+1 SC16 W 0+1");
    attention(fixture, "SC16", ASC_POWER_ON_RESET);
    assert_int_equal(flush(fixture, &err), -ESTALE);
    assert_int_equal(flush(fixture, &err), 0);
}

static void an_unmap_that_was_gathered_during_a_flush_is_not_covered_by_it(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint_request requests[2] = {
        {.op = ENDPOINT_FLUSH, .done = note_done, .opaque = &fixture->done},
        {.op = ENDPOINT_ZERO, .blocks = 8, .done = note_done, .opaque = &fixture->done},
    };
    struct errmsg err;

    endpoint_close(fixture->endpoint);
    fake_unit_free(fixture->unit);
    fixture->unit = fake_unit_new();
    fixture->unit->lbpws = false;
    assert_int_equal(endpoint_scsi_open("lun-a", "iscsi", &fixture->unit->transport,
                                        ENDPOINT_WRITABLE, &fixture->endpoint, &err),
                     0);
    fixture->unit->log[0] = '\0';
    for (int i = 0; i < 2; i++)
        assert_int_equal(endpoint_submit(fixture->endpoint, &requests[i]), 0);
    while (fixture->done < 2)
        assert_int_equal(endpoint_wait(&fixture->endpoint, 1, -1), 0);
    assert_non_null(strstr(fixture->unit->log, "SC16 UN 0+8"));
    attention(fixture, "SC16", ASC_POWER_ON_RESET);
    assert_int_equal(flush(fixture, &err), -ESTALE);
    assert_int_equal(flush(fixture, &err), 0);
}

/* A target keeps several unit attentions and tells one after the other. */
static void a_reset_that_the_look_is_told_of_counts_too(void **state)
{
    struct fixture *fixture = *state;
    struct errmsg err;

    submit_all(fixture);
    assert_int_equal(wait_for_all(fixture), 0);
    attention(fixture, "SC16", ASC_REPORTED_LUNS_DATA_CHANGED);
    attention(fixture, "RC16", ASC_POWER_ON_RESET);
    assert_int_equal(flush(fixture, &err), -ESTALE);
}

static int ask_for_the_map(struct fixture *fixture)
{
    struct extent_list map = {0};
    struct endpoint_request request = {.op = ENDPOINT_MAP, .blocks = 1024, .map = &map};
    int r = endpoint_run(fixture->endpoint, &request);

    extent_list_free(&map);
    return r;
}

/* It is told once, by the next command, and it is not known which write it was. */
static void a_write_that_fails_afterwards_is_never_flushed(void **state)
{
    struct fixture *fixture = *state;
    struct errmsg err;

    submit_all(fixture);
    assert_int_equal(wait_for_all(fixture), 0);
    fake_unit_fault(fixture->unit, (struct fake_fault){.word = "MAP",
                                                       .times = 1,
                                                       .key = SENSE_MEDIUM_ERROR,
                                                       .asc_ascq = 0x0C00,
                                                       .deferred = true});
    assert_true(ask_for_the_map(fixture) < 0);
    assert_true(flush(fixture, &err) < 0);
    assert_non_null(strstr(err.text, "an earlier write has failed after all"));
}

static void a_lost_connection_fails_everything(void **state)
{
    struct fixture *fixture = *state;

    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "W", .times = 1, .status = SCSI_STATUS_BUSY});
    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "W", .skip = 1, .times = 1, .result = -ENOTCONN});
    submit_all(fixture);
    assert_int_equal(wait_for_all(fixture), -ENOTCONN);
    /* 0 waits for another attempt, 1 is done, 2 meets it, 3 and 4 are behind. */
    assert_int_equal(fixture->requests[0].result, -ENOTCONN);
    assert_int_equal(fixture->requests[1].result, 0);
    for (unsigned i = 2; i < REQUESTS; i++)
        assert_int_equal(fixture->requests[i].result, -ENOTCONN);
    for (unsigned i = 2; i < REQUESTS; i++)
        assert_non_null(strstr(fixture->requests[i].error.text, "lun-a: the connection"));
    is_of_no_more_use(fixture, -ENOTCONN, "the connection");
}

static void on_a_new_session_the_unit_is_looked_at_and_all_is_sent_again(void **state)
{
    struct fixture *fixture = *state;
    struct errmsg err;

    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "W", .skip = 3, .times = 2, .result = -ERESTART});
    attention(fixture, "RC16", ASC_POWER_ON_RESET);
    submit_all(fixture);
    assert_int_equal(wait_for_all(fixture), 0);
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(fixture->requests[i].result, 0);
    assert_non_null(strstr(fixture->unit->log, "RC16"));
    assert_int_equal(fixture->endpoint->counters.writes, REQUESTS + 2);
    assert_int_equal(fixture->endpoint->counters.reconnects, 1);
    /* The attention is that of a new session, not of a reset. */
    assert_int_equal(flush(fixture, &err), 0);
}

/* The connection was lost and is there again, with nothing in flight. */
static void interrupt(struct fixture *fixture)
{
    fixture->unit->transport.interruptions++;
    endpoint_wait(&fixture->endpoint, 1, 0);
}

static void a_lost_connection_may_have_lost_what_was_not_flushed(void **state)
{
    struct fixture *fixture = *state;
    struct errmsg err;

    submit_all(fixture);
    assert_int_equal(wait_for_all(fixture), 0);
    interrupt(fixture);
    assert_int_equal(flush(fixture, &err), -ESTALE);
    assert_int_equal(flush(fixture, &err), 0);
    interrupt(fixture);
    assert_int_equal(flush(fixture, &err), 0);
    assert_int_equal(fixture->endpoint->counters.reconnects, 2);
}

/* A queue of commands is a queue: what was not yet done when the flush came may be behind it. */
static void what_a_flush_overtakes_may_be_lost(void **state)
{
    struct fixture *fixture = *state;
    struct endpoint_request request = {.op = ENDPOINT_FLUSH,
                                       .done = note_done,
                                       .opaque = &fixture->done};
    struct errmsg err;

    assert_int_equal(submit(fixture, 0), 0);
    assert_int_equal(endpoint_submit(fixture->endpoint, &request), 0);
    while (fixture->done < 2)
        assert_int_equal(endpoint_wait(&fixture->endpoint, 1, -1), 0);
    interrupt(fixture);
    assert_int_equal(flush(fixture, &err), -ESTALE);
}

static void who_answers_after_an_idle_interruption_is_looked_at_first(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->blocks /= 2;
    interrupt(fixture);
    submit_all(fixture);
    is_of_no_more_use(fixture, -ENODEV, "capacity");
    assert_null(strstr(fixture->unit->log, "W"));
}

static void a_command_that_loses_session_after_session_is_given_up(void **state)
{
    struct fixture *fixture = *state;

    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "W", .times = 100, .result = -ERESTART});
    submit_all(fixture);
    is_of_no_more_use(fixture, -ETIMEDOUT, "not answered");
}

static void another_unit_on_a_new_session_is_not_written_to(void **state)
{
    struct fixture *fixture = *state;

    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "W", .times = 1, .result = -ERESTART});
    fixture->unit->blocks /= 2;
    submit_all(fixture);
    is_of_no_more_use(fixture, -ENODEV, "capacity");
}

static void silence_is_told_as_such(void **state)
{
    struct fixture *fixture = *state;

    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "W", .times = 1, .result = -ETIMEDOUT});
    submit_all(fixture);
    is_of_no_more_use(fixture, -ETIMEDOUT, "not answered");
}

static void a_connection_lost_during_the_look_fails_what_waits(void **state)
{
    struct fixture *fixture = *state;

    attention(fixture, "W", ASC_POWER_ON_RESET);
    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "RC16", .times = 1, .result = -ENOTCONN});
    submit_all(fixture);
    is_of_no_more_use(fixture, -ENOTCONN, "the connection");
}

static void close_ends_what_is_in_flight(void **state)
{
    struct fixture *fixture = *state;

    submit_all(fixture);
    endpoint_close(fixture->endpoint);
    fixture->endpoint = NULL;
    assert_int_equal(fixture->done, REQUESTS);
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(fixture->requests[i].result, -ECANCELED);
    assert_string_equal(fixture->unit->log, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(after_an_attention_the_unit_is_looked_at_first),
        TEST(nothing_is_sent_before_that_look),
        TEST(attentions_of_the_look_itself_are_passed_over),
        TEST(another_capacity_is_another_unit),
        TEST(another_name_is_another_unit),
        TEST(a_unit_that_lost_its_name_is_another_unit),
        TEST(a_reset_may_have_lost_what_was_not_flushed),
        TEST(a_reset_may_have_lost_what_an_earlier_process_did_not_flush),
        TEST(a_reset_after_a_flush_has_lost_nothing),
        TEST(a_write_that_waited_during_a_flush_is_not_covered_by_it),
        TEST(an_unmap_that_was_gathered_during_a_flush_is_not_covered_by_it),
        TEST(a_reset_that_the_look_is_told_of_counts_too),
        TEST(a_write_that_fails_afterwards_is_never_flushed),
        TEST(what_a_flush_overtakes_may_be_lost),
        TEST(a_lost_connection_fails_everything),
        TEST(on_a_new_session_the_unit_is_looked_at_and_all_is_sent_again),
        TEST(a_lost_connection_may_have_lost_what_was_not_flushed),
        TEST(who_answers_after_an_idle_interruption_is_looked_at_first),
        TEST(a_command_that_loses_session_after_session_is_given_up),
        TEST(another_unit_on_a_new_session_is_not_written_to),
        TEST(silence_is_told_as_such),
        TEST(a_connection_lost_during_the_look_fails_what_waits),
        TEST(close_ends_what_is_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
