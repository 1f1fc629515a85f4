/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "cleanup.h"
#include "exact.h"
#include "reservation.h"

static void the_commands_are_laid_out_as_the_standard_says(void **state)
{
    static const uint8_t in[10] = {0x5E, 1, 0, 0, 0, 0, 0, 0x01, 0x02, 0};
    static const uint8_t out[10] = {0x5F, 4, 5, 0, 0, 0, 0, 0, 24, 0};
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    char unknown[32];

    (void)state;
    assert_int_equal(cdb_reserve_in(cdb, RESERVATION_READ, 0x102), sizeof(in));
    assert_memory_equal(cdb, in, sizeof(in));
    assert_string_equal(cdb_name(cdb, unknown, sizeof(unknown)), "PERSISTENT RESERVE IN");
    assert_int_equal(cdb_reserve_out(cdb, RESERVATION_PREEMPT, 5), sizeof(out));
    assert_memory_equal(cdb, out, sizeof(out));
    assert_string_equal(cdb_name(cdb, unknown, sizeof(unknown)), "PERSISTENT RESERVE OUT");
}

static void the_parameter_list_has_both_keys(void **state)
{
    static const uint8_t expected[24] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    uint8_t bytes[24];

    (void)state;
    memset(bytes, 0xFF, sizeof(bytes));
    reservation_list_encode(bytes, 0x0102030405060708, 0x090A0B0C0D0E0F10);
    assert_memory_equal(bytes, expected, sizeof(bytes));
}

/* SPC-4 6.15.3.2: generation 7, 16 bytes, key, obsolete, reserved, scope and type, obsolete. */
static const uint8_t held[24] = {0, 0, 0, 7, 0, 0, 0, 16, 0xAA, 1, 2,
                                 3, 4, 5, 6, 7, 0, 0, 0,  0,    0, 0x05};

/* In memory of exactly that length, so that a read beyond it is caught. */
static int decode(const uint8_t *bytes, size_t length, struct reservation *ret)
{
    CLEANUP_FREE uint8_t *exact = exact_copy(bytes, length);

    return reservation_decode(exact, length, ret);
}

static void a_reservation_has_key_and_type(void **state)
{
    struct reservation reservation;

    (void)state;
    assert_int_equal(decode(held, sizeof(held), &reservation), 0);
    assert_true(reservation.held);
    assert_true(reservation.key == 0xAA01020304050607);
    assert_int_equal(reservation.type, RESERVATION_WRITE_EXCLUSIVE_REGISTRANTS);
    assert_string_equal(reservation_type_name(reservation.type),
                        "write exclusive, registrants only");
    assert_string_equal(reservation_type_name(15), "of an unknown type");
}

static void no_reservation_is_an_empty_reply(void **state)
{
    static const uint8_t none[8] = {0, 0, 0, 7};
    struct reservation reservation;

    (void)state;
    assert_int_equal(decode(none, sizeof(none), &reservation), 0);
    assert_false(reservation.held);
}

static void a_reply_that_is_cut_is_no_answer(void **state)
{
    struct reservation reservation;

    (void)state;
    for (size_t length = 0; length < sizeof(held); length++) {
        assert_int_equal(decode(held, length, &reservation), -EINVAL);
        assert_false(reservation.held);
    }
}

static void keys_are_taken_as_far_as_they_came(void **state)
{
    uint8_t bytes[32] = {0, 0, 0, 1, 0, 0, 0, 24};
    uint64_t keys[4] = {0};
    bool all;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        put_be64(bytes + 8 + i * 8, 100 + i);
    for (size_t length = 8; length <= sizeof(bytes); length++) {
        CLEANUP_FREE uint8_t *exact = exact_copy(bytes, length);
        int found = reservation_keys_decode(exact, length, keys, 4, &all);

        assert_int_equal(found, (length - 8) / 8);
        assert_int_equal(all, found == 3);
    }
    assert_int_equal(keys[2], 102);
    assert_int_equal(reservation_keys_decode(bytes, sizeof(bytes), keys, 2, &all), 2);
    assert_false(all);
    assert_int_equal(reservation_keys_decode(bytes, 7, keys, 4, &all), -EINVAL);
    bytes[7] = 23;
    assert_int_equal(reservation_keys_decode(bytes, sizeof(bytes), keys, 4, &all), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_commands_are_laid_out_as_the_standard_says),
        cmocka_unit_test(the_parameter_list_has_both_keys),
        cmocka_unit_test(a_reservation_has_key_and_type),
        cmocka_unit_test(no_reservation_is_an_empty_reply),
        cmocka_unit_test(a_reply_that_is_cut_is_no_answer),
        cmocka_unit_test(keys_are_taken_as_far_as_they_came),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
