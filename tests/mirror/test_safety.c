/* SPDX-License-Identifier: Apache-2.0 */
/* What is refused before anything is written, in one sentence that names both sides. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_endpoint.h"
#include "safety.h"

#define BLOCKS 4096

struct fixture {
    struct fake_endpoint *primary;
    struct fake_endpoint *secondary;
    struct ledger ledger;
    struct copy_control control;
    struct safety_data data;
    struct errmsg error;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    fixture->primary = fake_create("primary", BLOCKS);
    fixture->secondary = fake_create("secondary", BLOCKS);
    fixture->ledger.started = 1700000000;
    safety_ledger_side(&fixture->primary->base, &fixture->ledger.primary);
    safety_ledger_side(&fixture->secondary->base, &fixture->ledger.secondary);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < fixture->secondary->log_count; i++)
        assert_true(fixture->secondary->log[i].op == ENDPOINT_READ ||
                    fixture->secondary->log[i].op == ENDPOINT_MAP);
    endpoint_close(&fixture->primary->base);
    endpoint_close(&fixture->secondary->base);
    free(fixture);
    return 0;
}

static void expect_sentence(const struct fixture *fixture, const char *word)
{
    assert_non_null(strstr(fixture->error.text, "primary"));
    assert_non_null(strstr(fixture->error.text, "secondary"));
    assert_non_null(strstr(fixture->error.text, word));
}

static void expect_pair(struct fixture *fixture, enum safety_verdict verdict, const char *word)
{
    assert_int_equal(safety_check_pair(&fixture->primary->base, &fixture->secondary->base,
                                       &fixture->error),
                     verdict);
    if (verdict == SAFETY_REFUSED)
        expect_sentence(fixture, word);
}

static void equal_and_larger_secondaries_will_do(void **state)
{
    struct fixture *fixture = *state;

    expect_pair(fixture, SAFETY_OK, NULL);
    fixture->primary->base.info.blocks--;
    expect_pair(fixture, SAFETY_OK, NULL);
}

static void a_smaller_secondary_is_refused(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->base.info.blocks--;
    expect_pair(fixture, SAFETY_REFUSED, "smaller");
    fixture->secondary->base.info.blocks++;
}

static void other_blocks_are_refused(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->base.info.block_size = 4096;
    expect_pair(fixture, SAFETY_REFUSED, "4096");
}

static void the_primary_itself_is_refused(void **state)
{
    struct fixture *fixture = *state;

    strcpy(fixture->secondary->base.info.identity, fixture->primary->base.info.identity);
    expect_pair(fixture, SAFETY_REFUSED, "same");
}

static void a_read_only_secondary_is_refused(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(safety_check_writable(&fixture->primary->base, &fixture->secondary->base,
                                           &fixture->error),
                     SAFETY_OK);
    fixture->secondary->base.info.writable = false;
    assert_int_equal(safety_check_writable(&fixture->primary->base, &fixture->secondary->base,
                                           &fixture->error),
                     SAFETY_REFUSED);
    expect_sentence(fixture, "read-only");
}

static int check_data(struct fixture *fixture, const struct ledger *ledger)
{
    return safety_check_data(&fixture->primary->base, &fixture->secondary->base, ledger,
                             &fixture->control, &fixture->data, &fixture->error);
}

static void expect_data(struct fixture *fixture, const struct ledger *ledger,
                        enum safety_verdict verdict, const char *word)
{
    assert_int_equal(check_data(fixture, ledger), 0);
    assert_int_equal(fixture->data.verdict, verdict);
    if (verdict == SAFETY_REFUSED)
        expect_sentence(fixture, word);
}

static void an_empty_secondary_will_do(void **state)
{
    struct fixture *fixture = *state;

    fake_set_status(fixture->secondary, 100, 10, EXTENT_ANCHORED);
    fixture->secondary->extents_per_map = 1;
    expect_data(fixture, NULL, SAFETY_OK, NULL);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_MAP), 3);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_READ), 0);
    assert_false(fixture->data.own_copy || fixture->data.is_zero);
}

static void one_mapped_block_is_data(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->secondary, 4000, 1, 1);
    fixture->secondary->extents_per_map = 1;
    expect_data(fixture, NULL, SAFETY_REFUSED, "4000");
    expect_sentence(fixture, "--overwrite");
}

static void data_beyond_the_primary_counts_too(void **state)
{
    struct fixture *fixture = *state;

    fixture->primary->base.info.blocks = 100;
    fake_fill(fixture->secondary, 4000, 1, 1);
    expect_data(fixture, NULL, SAFETY_REFUSED, "4000");
}

static void its_own_copy_goes_on(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->secondary, 0, 100, 1);
    expect_data(fixture, &fixture->ledger, SAFETY_OK, NULL);
    assert_true(fixture->data.own_copy);
    assert_int_equal(fixture->secondary->log_count, 0);
}

static void the_copy_of_another_primary_is_somebodys_data(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->secondary, 0, 100, 1);
    strcpy(fixture->ledger.primary.identity, "naa.6other");
    strcpy(fixture->ledger.primary.name, "the other one");
    expect_data(fixture, &fixture->ledger, SAFETY_REFUSED, "the other one on 2023-11-14");
}

static void no_identity_no_own_copy(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->secondary, 0, 100, 1);
    fixture->primary->base.info.identity[0] = '\0';
    fixture->ledger.primary.identity[0] = '\0';
    expect_data(fixture, &fixture->ledger, SAFETY_REFUSED, "--overwrite");
}

static void a_secondary_without_a_map_is_read(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->base.info.can_map = false;
    expect_data(fixture, NULL, SAFETY_OK, NULL);
    assert_true(fixture->data.is_zero);
    assert_string_equal(fake_ranges(fixture->secondary, ENDPOINT_READ), "0+4096");
    fixture->secondary->data[77 * 512 + 3] = 1;
    expect_data(fixture, NULL, SAFETY_REFUSED, "block 77");
    assert_false(fixture->data.is_zero);
}

static void a_map_that_breaks_off_is_no_proof_of_emptiness(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->defect = FAKE_MAP_EMPTY;
    fixture->secondary->defect_lba = 1000;
    expect_data(fixture, NULL, SAFETY_REFUSED, "1000");
}

static void failures_are_no_verdict(void **state)
{
    struct fixture *fixture = *state;
    const atomic_bool stop = true;

    fixture->secondary->fault = (struct fake_fault){ENDPOINT_MAP, 0, -ETIMEDOUT};
    assert_int_equal(check_data(fixture, NULL), -ETIMEDOUT);
    assert_non_null(strstr(fixture->error.text, "secondary"));
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_READ, 3, -EIO};
    fixture->secondary->base.info.can_map = false;
    assert_int_equal(check_data(fixture, NULL), -EIO);
    fixture->secondary->fault.error = 0;
    fixture->control.stop = &stop;
    assert_int_equal(check_data(fixture, NULL), -EINTR);
    fixture->secondary->base.info.can_map = true;
    assert_int_equal(check_data(fixture, NULL), -EINTR);
}

static void a_target_that_goes_away_is_a_failure(void **state)
{
    struct fixture *fixture = *state;

    fixture->secondary->extents_per_map = 1;
    fake_set_status(fixture->secondary, 100, 10, EXTENT_ANCHORED);
    fixture->secondary->gone_after = 1;
    assert_int_equal(check_data(fixture, NULL), -ENOTCONN);
    assert_non_null(strstr(fixture->error.text, "secondary"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(equal_and_larger_secondaries_will_do),
        TEST(a_smaller_secondary_is_refused),
        TEST(other_blocks_are_refused),
        TEST(the_primary_itself_is_refused),
        TEST(a_read_only_secondary_is_refused),
        TEST(an_empty_secondary_will_do),
        TEST(one_mapped_block_is_data),
        TEST(data_beyond_the_primary_counts_too),
        TEST(its_own_copy_goes_on),
        TEST(the_copy_of_another_primary_is_somebodys_data),
        TEST(no_identity_no_own_copy),
        TEST(a_secondary_without_a_map_is_read),
        TEST(a_map_that_breaks_off_is_no_proof_of_emptiness),
        TEST(failures_are_no_verdict),
        TEST(a_target_that_goes_away_is_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
