/* SPDX-License-Identifier: Apache-2.0 */

/* What is heard of a login about bursts, whatever the target replies. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "iscsi_bursts.h"
#include "iscsi_proof.h"

#define REPLY(pair) "TargetLoginReply: " pair " [iqn.2026-11.org.example:a]"

static void a_login_tells_both_lengths_and_whether_to_wait(void **state)
{
    struct iscsi_bursts bursts = {0};

    (void)state;
    iscsi_bursts_hear(&bursts, REPLY("InitialR2T=No"));
    iscsi_bursts_hear(&bursts, REPLY("MaxBurstLength=131072"));
    iscsi_bursts_hear(&bursts, REPLY("FirstBurstLength=0x8000"));
    assert_int_equal(bursts.max_bytes, 131072);
    assert_int_equal(bursts.first_bytes, 32768);
    assert_true(bursts.unsolicited);
    iscsi_bursts_hear(&bursts, REPLY("InitialR2T=Yes"));
    iscsi_bursts_hear(&bursts, "TargetLoginReply: MaxBurstLength=512");
    assert_false(bursts.unsolicited);
    assert_int_equal(bursts.max_bytes, 512);
}

static void everything_else_is_passed_over(void **state)
{
    static const char *const lines[] = {
        "",
        "TargetLoginReply: ",
        "TargetLoginReply",
        "MaxBurstLength=4096",
        REPLY("MaxBurst=4096"),
        REPLY("MaxBurstLength"),
        REPLY("MaxBurstLengths=4096"),
        REPLY("XMaxBurstLength=4096"),
        "login successful [MaxBurstLength=4096]",
    };
    struct iscsi_bursts bursts = {.max_bytes = 1024, .first_bytes = 2048, .unsolicited = true};

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        iscsi_bursts_hear(&bursts, lines[i]);
        assert_int_equal(bursts.max_bytes, 1024);
        assert_int_equal(bursts.first_bytes, 2048);
        assert_true(bursts.unsolicited);
    }
}

static void a_value_that_is_not_allowed_is_as_good_as_not_told(void **state)
{
    static const char *const values[] = {
        REPLY("MaxBurstLength="),
        REPLY("MaxBurstLength=511"),
        REPLY("MaxBurstLength=16777216"),
        REPLY("MaxBurstLength=-512"),
        REPLY("MaxBurstLength=+512"),
        REPLY("MaxBurstLength=4096x"),
        REPLY("MaxBurstLength=0x"),
        REPLY("MaxBurstLength=Reject"),
        REPLY("MaxBurstLength=99999999999999999999999999999999"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct iscsi_bursts bursts = {.max_bytes = 1024};

        iscsi_bursts_hear(&bursts, values[i]);
        assert_int_equal(bursts.max_bytes, 0);
    }
}

/* The digits are those of tgt's answer to a challenge. */
static void a_target_has_proved_itself_by_a_response_that_is_no_zeros(void **state)
{
    static const char *const none[] = {
        "CHAP_R=0x00000000000000000000000000000000",
        "CHAP_R=0x@0@0@0@0@0@0@0@0@0@0@0@0@0@0@0@0",
        "CHAP_R=0x",
        "CHAP_R=1c8fb7ab1d9fdc1d5e3c5d5a1f0cbf31",
        "CHAP_R=0x1c8fb7ab1d9fdc1d5e3c5d5a1f0cbf3",
        "CHAP_R=0x1c8fb7ab1d9fdc1d5e3c5d5a1f0cbf31a",
        "CHAP_RX=0x1c8fb7ab1d9fdc1d5e3c5d5a1f0cbf31",
        "AuthMethod=None",
        "",
    };
    struct iscsi_proof proof;

    (void)state;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        proof = (struct iscsi_proof){0};
        iscsi_proof_hear(&proof, none[i]);
        assert_false(proof.proved);
        assert_false(proof.challenged);
    }
    iscsi_proof_hear(&proof,
                     "CHAP_C=0x1c8fb7ab1d9fdc1d5e3c5d5a1f0cbf31 [iqn.2026-11.org.example:a]");
    assert_true(proof.challenged);
    assert_false(proof.proved);
    iscsi_proof_hear(&proof,
                     "CHAP_R=0x1c8fb7ab1d9fdc1d5e3c5d5a1f0cbf31 [iqn.2026-11.org.example:a]");
    assert_true(proof.proved);
}

static void the_length_of_a_pdus_data_is_heard_and_a_forbidden_one_is_known(void **state)
{
    struct iscsi_bursts bursts = {0};

    (void)state;
    assert_int_equal(iscsi_bursts_segment(&bursts), 0); /* nothing was heard at all */
    iscsi_bursts_hear(&bursts, REPLY("MaxBurstLength=131072"));
    assert_int_equal(iscsi_bursts_segment(&bursts), 8192); /* RFC 7143 13.12: the default */
    iscsi_bursts_hear(&bursts, REPLY("MaxRecvDataSegmentLength=512"));
    assert_int_equal(iscsi_bursts_segment(&bursts), 512);
    assert_false(bursts.forbidden_segment);
    iscsi_bursts_hear(&bursts, REPLY("MaxRecvDataSegmentLength=511"));
    assert_true(bursts.forbidden_segment);
    iscsi_bursts_hear(&bursts, REPLY("MaxRecvDataSegmentLength=16777215"));
    assert_false(bursts.forbidden_segment);
    iscsi_bursts_hear(&bursts, REPLY("MaxRecvDataSegmentLength=0"));
    assert_true(bursts.forbidden_segment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_login_tells_both_lengths_and_whether_to_wait),
        cmocka_unit_test(everything_else_is_passed_over),
        cmocka_unit_test(the_length_of_a_pdus_data_is_heard_and_a_forbidden_one_is_known),
        cmocka_unit_test(a_value_that_is_not_allowed_is_as_good_as_not_told),
        cmocka_unit_test(a_target_has_proved_itself_by_a_response_that_is_no_zeros),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
