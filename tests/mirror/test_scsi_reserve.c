/* SPDX-License-Identifier: Apache-2.0 */

/* A reservation for the time of a copy: the commands it takes, and what ends it. */

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
#include "reservation.h"
#include "scsi_defs.h"

#define OWNER    (ENDPOINT_OWNER_MARK | UINT64_C(0x12345678) << 16)
#define OTHER    (ENDPOINT_OWNER_MARK | UINT64_C(0x87654321) << 16)
#define STRANGER UINT64_C(0xABC)

struct fixture {
    struct fake_unit *unit;
    struct fake_reservation *target;
    struct endpoint *endpoint;
    struct errmsg err;
};

static void drop(enum log_level level, const char *message)
{
    (void)level;
    (void)message;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    fixture->unit = fake_unit_new();
    fixture->target = &fixture->unit->reservation;
    log_set_sink(drop);
    if (endpoint_scsi_open("lun-a", "iscsi", &fixture->unit->transport, ENDPOINT_WRITABLE,
                           &fixture->endpoint, &fixture->err) < 0)
        fail_msg("%s", fixture->err.text);
    fixture->unit->log[0] = '\0';
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

static int reserve(struct fixture *fixture, bool take_over)
{
    return endpoint_reserve(fixture->endpoint, OWNER, take_over, &fixture->err);
}

static void says(const struct fixture *fixture, const char *words)
{
    if (!strstr(fixture->err.text, words))
        fail_msg("'%s' does not say '%s'", fixture->err.text, words);
}

/* The commands since the last look. */
static void did(struct fixture *fixture, const char *log)
{
    assert_string_equal(fixture->unit->log, log);
    fixture->unit->log[0] = '\0';
}

static int write_block(struct fixture *fixture)
{
    uint8_t data[512] = {1};
    struct iovec iov = {data, sizeof(data)};
    struct endpoint_request request = {
        .op = ENDPOINT_WRITE, .lba = 8, .blocks = 1, .iov = &iov, .iov_count = 1};
    int r = endpoint_run(fixture->endpoint, &request);

    fixture->err = request.error;
    return r;
}

static void close_endpoint(struct fixture *fixture)
{
    endpoint_close(fixture->endpoint);
    fixture->endpoint = NULL;
}

static void it_is_made_and_given_back(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(reserve(fixture, false), 0);
    did(fixture, "HOLDER REG KEYS RES");
    assert_true(fixture->target->held);
    assert_int_equal(fixture->target->type, RESERVATION_WRITE_EXCLUSIVE);
    assert_true((fixture->target->holder & ~UINT64_C(0xFFFF)) == OWNER);
    assert_int_equal(write_block(fixture), 0);
    did(fixture, "W 8+1");
    close_endpoint(fixture);
    did(fixture, "REL REG");
    assert_false(fixture->target->held);
    assert_int_equal(fixture->target->key_count, 0);
}

/* As tgt does: the session that takes the old one's place begins with a unit attention. */
static int log_in_anew(struct transport *transport, uint32_t number)
{
    struct fake_unit *unit = (struct fake_unit *)transport;

    (void)number;
    fake_unit_fault(unit, (struct fake_fault){.word = "HOLDER",
                                              .times = 1,
                                              .key = SENSE_UNIT_ATTENTION,
                                              .asc_ascq = 0x2900});
    return 0;
}

static int flush(struct fixture *fixture)
{
    struct endpoint_request request = {.op = ENDPOINT_FLUSH};

    return endpoint_run(fixture->endpoint, &request);
}

static void the_attention_of_its_own_login_is_no_reset(void **state)
{
    struct fixture *fixture = *state;
    const struct transport_ops *before = fixture->unit->transport.ops;
    struct transport_ops ops = *before;

    ops.adopt = log_in_anew;
    fixture->unit->transport.ops = &ops;
    assert_int_equal(reserve(fixture, false), 0);
    did(fixture, "HOLDER RC16 VPD83 HOLDER REG KEYS RES");
    assert_int_equal(write_block(fixture), 0);
    assert_int_equal(flush(fixture), 0);
    fixture->unit->transport.ops = before;
}

static void one_after_that_is(void **state)
{
    struct fixture *fixture = *state;
    const struct transport_ops *before = fixture->unit->transport.ops;
    struct transport_ops ops = *before;

    for (int attentions = 0; attentions < 2; attentions++) {
        ops.adopt = attentions ? log_in_anew : NULL;
        fixture->unit->transport.ops = &ops;
        assert_int_equal(reserve(fixture, attentions), 0);
        fake_unit_fault(fixture->unit, (struct fake_fault){.word = "W",
                                                           .skip = 1,
                                                           .times = 1,
                                                           .key = SENSE_UNIT_ATTENTION,
                                                           .asc_ascq = 0x2900});
        assert_int_equal(write_block(fixture), 0);
        assert_int_equal(write_block(fixture), 0);
        assert_int_equal(flush(fixture), -ESTALE);
    }
    fixture->unit->transport.ops = before;
}

static void without_one_nothing_is_given_back(void **state)
{
    struct fixture *fixture = *state;

    close_endpoint(fixture);
    did(fixture, "");
}

static void one_of_others_is_refused_at_a_look(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 2; i++) {
        *fixture->target = (struct fake_reservation){0};
        fake_reservation_add(fixture->target, i ? OTHER : STRANGER, RESERVATION_EXCLUSIVE_ACCESS);
        for (int take_over = 0; take_over < 2; take_over++) {
            assert_int_equal(reserve(fixture, take_over), -EBADE);
            says(fixture, i ? "another sync --reserve" : "0000000000000abc, exclusive access");
            did(fixture, "HOLDER");
        }
        assert_int_equal(fixture->target->key_count, 1);
    }
}

static void one_of_ours_takes_a_take_over(void **state)
{
    struct fixture *fixture = *state;

    fake_reservation_add(fixture->target, OWNER | 1, RESERVATION_WRITE_EXCLUSIVE);
    fake_reservation_add(fixture->target, OWNER | 2, 0);
    fake_reservation_add(fixture->target, STRANGER, 0);
    assert_int_equal(reserve(fixture, false), -EBADE);
    says(fixture, "--resume --reserve");
    did(fixture, "HOLDER");
    assert_int_equal(reserve(fixture, true), 0);
    did(fixture, "HOLDER anyREG KEYS PRE PRE RES");
    assert_true(fixture->target->holder == fixture->target->own);
    assert_int_equal(fixture->target->type, RESERVATION_WRITE_EXCLUSIVE);
    /* The stranger's key is not ours to end. */
    assert_int_equal(fixture->target->key_count, 2);
    close_endpoint(fixture);
    assert_int_equal(fixture->target->key_count, 1);
    assert_true(fixture->target->keys[0] == STRANGER);
}

static void a_key_of_this_machine_for_something_else_stays(void **state)
{
    struct fixture *fixture = *state;

    fake_reservation_add(fixture->target, STRANGER, 0);
    fixture->target->own = STRANGER;
    assert_int_equal(reserve(fixture, false), -EBADE);
    says(fixture, "registered a key of its own");
    did(fixture, "HOLDER REG");
    close_endpoint(fixture);
    did(fixture, "");
    assert_true(fixture->target->own == STRANGER);
}

static void one_who_was_quicker_wins(void **state)
{
    struct fixture *fixture = *state;

    fake_unit_fault(fixture->unit, (struct fake_fault){.word = "RES",
                                                       .times = 1,
                                                       .status = SCSI_STATUS_RESERVATION_CONFLICT});
    assert_int_equal(reserve(fixture, false), -EBADE);
    did(fixture, "HOLDER REG KEYS RES");
    close_endpoint(fixture);
    assert_int_equal(fixture->target->key_count, 0);
}

static void a_target_without_any_is_told(void **state)
{
    struct fixture *fixture = *state;

    fixture->unit->unknown = "HOLDER";
    assert_int_equal(reserve(fixture, false), -EOPNOTSUPP);
    says(fixture, "no persistent reservations");
    did(fixture, "HOLDER");
}

static void a_unit_attention_makes_it_look_only(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(reserve(fixture, false), 0);
    did(fixture, "HOLDER REG KEYS RES");
    fake_unit_fault(fixture->unit, (struct fake_fault){.word = "W",
                                                       .times = 1,
                                                       .key = SENSE_UNIT_ATTENTION,
                                                       .asc_ascq = ASC_POWER_ON_RESET});
    assert_int_equal(write_block(fixture), 0);
    did(fixture, "W 8+1 RC16 VPD83 HOLDER W 8+1");
}

static void lose_session(struct fixture *fixture)
{
    fake_unit_fault(fixture->unit,
                    (struct fake_fault){.word = "W", .times = 1, .result = -ERESTART});
}

static void a_new_session_registers_again(void **state)
{
    struct fixture *fixture = *state;

    /* As LIO keeps it: the new session, of the same ISID, is registered already. */
    assert_int_equal(reserve(fixture, false), 0);
    did(fixture, "HOLDER REG KEYS RES");
    lose_session(fixture);
    assert_int_equal(write_block(fixture), 0);
    did(fixture, "W 8+1 RC16 VPD83 HOLDER anyREG PRE KEYS HOLDER W 8+1");
    assert_true(fixture->target->holder == fixture->target->own);
    /* As tgt keeps it: the key has no holder. */
    fixture->target->own = 0;
    lose_session(fixture);
    assert_int_equal(write_block(fixture), 0);
    did(fixture, "W 8+1 RC16 VPD83 HOLDER anyREG PRE KEYS HOLDER W 8+1");
    assert_true(fixture->target->holder == fixture->target->own);
    assert_int_equal(fixture->target->key_count, 1);
    close_endpoint(fixture);
    did(fixture, "REL REG");
    assert_int_equal(fixture->target->key_count, 0);
}

/* A session may be lost between its registration and its taking over. */
static void what_lost_sessions_have_registered_is_cleared_away(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(reserve(fixture, false), 0);
    did(fixture, "HOLDER REG KEYS RES");
    fake_reservation_add(fixture->target, fixture->target->own ^ 1, 0);
    fake_reservation_add(fixture->target, 0xABC, 0); /* somebody else's */
    fixture->target->own = 0;
    lose_session(fixture);
    assert_int_equal(write_block(fixture), 0);
    did(fixture, "W 8+1 RC16 VPD83 HOLDER anyREG PRE KEYS PRE HOLDER W 8+1");
    assert_int_equal(fixture->target->key_count, 2);
    close_endpoint(fixture);
    did(fixture, "REL REG");
    assert_int_equal(fixture->target->key_count, 1);
    assert_int_equal(fixture->target->keys[0], 0xABC);
}

static void one_that_is_lost_ends_everything(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(reserve(fixture, false), 0);
    *fixture->target = (struct fake_reservation){0};
    fixture->unit->log[0] = '\0';
    lose_session(fixture);
    assert_int_equal(write_block(fixture), -ENOLCK);
    says(fixture, "its reservation is lost");
    did(fixture, "W 8+1 RC16 VPD83 HOLDER");
    assert_int_equal(write_block(fixture), -ENOLCK);
    did(fixture, "");
}

static void one_that_was_taken_away_ends_everything(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(reserve(fixture, false), 0);
    *fixture->target = (struct fake_reservation){0};
    fake_reservation_add(fixture->target, STRANGER, RESERVATION_WRITE_EXCLUSIVE);
    fixture->unit->log[0] = '\0';
    lose_session(fixture);
    assert_int_equal(write_block(fixture), -EBADE);
    says(fixture, "another initiator has reserved it (key 0000000000000abc, write exclusive)");
    close_endpoint(fixture);
    did(fixture, "W 8+1 RC16 VPD83 HOLDER");
    assert_int_equal(fixture->target->key_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_made_and_given_back),
        TEST(the_attention_of_its_own_login_is_no_reset),
        TEST(one_after_that_is),
        TEST(without_one_nothing_is_given_back),
        TEST(one_of_others_is_refused_at_a_look),
        TEST(one_of_ours_takes_a_take_over),
        TEST(a_key_of_this_machine_for_something_else_stays),
        TEST(one_who_was_quicker_wins),
        TEST(a_target_without_any_is_told),
        TEST(a_unit_attention_makes_it_look_only),
        TEST(a_new_session_registers_again),
        TEST(what_lost_sessions_have_registered_is_cleared_away),
        TEST(one_that_is_lost_ends_everything),
        TEST(one_that_was_taken_away_ends_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
