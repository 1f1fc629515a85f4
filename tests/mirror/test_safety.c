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
#include "fingerprint.h"
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

    fixture->secondary->base.info.blocks -= 3;
    expect_pair(fixture, SAFETY_REFUSED, "smaller");
    assert_string_equal(fixture->error.text,
                        "the secondary secondary (2095616 bytes) is smaller than the primary "
                        "primary (2097152 bytes): enlarge it by 1536 bytes or name a larger one");
    fixture->secondary->base.info.blocks += 3;
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
    return safety_check_data(&fixture->primary->base, &fixture->secondary->base, 0,
                             fixture->secondary->base.info.blocks, ledger, &fixture->control,
                             &fixture->data, &fixture->error);
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
    assert_false(fixture->data.is_zero);
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

/* Which is from block 1000 to 2000 only. */
static void only_the_range_that_is_asked_about_counts(void **state)
{
    struct fixture *fixture = *state;

    for (int can_map = 0; can_map < 2; can_map++) {
        fixture->secondary->base.info.can_map = can_map;
        fake_set_status(fixture->secondary, 0, 4096, EXTENT_DEALLOCATED);
        fake_fill(fixture->secondary, 900, 100, 1);
        fake_fill(fixture->secondary, 2000, 100, 1);
        assert_int_equal(safety_check_data(&fixture->primary->base, &fixture->secondary->base, 1000,
                                           2000, NULL, &fixture->control, &fixture->data,
                                           &fixture->error),
                         0);
        assert_int_equal(fixture->data.verdict, SAFETY_OK);
        fake_fill(fixture->secondary, 1999, 1, 1);
        assert_int_equal(safety_check_data(&fixture->primary->base, &fixture->secondary->base, 1000,
                                           2000, NULL, &fixture->control, &fixture->data,
                                           &fixture->error),
                         0);
        assert_int_equal(fixture->data.verdict, SAFETY_REFUSED);
        expect_sentence(fixture, "block 1999");
    }
}

static void the_copy_of_another_primary_is_somebodys_data(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->secondary, 0, 100, 1);
    strcpy(fixture->ledger.primary.identity, "naa.6other");
    strcpy(fixture->ledger.primary.name, "the other one");
    expect_data(fixture, &fixture->ledger, SAFETY_REFUSED, "the other one on 2023-11-14");
}

static void leave(struct fixture *fixture)
{
    assert_int_equal(fingerprint_take(&fixture->secondary->base, 4096, 7, 0, &fixture->control,
                                      &fixture->ledger.left, &fixture->error),
                     0);
    assert_true(fixture->ledger.left.known);
}

static enum safety_verdict check_unmoved(struct fixture *fixture)
{
    enum safety_verdict verdict;

    assert_int_equal(safety_check_unmoved(&fixture->secondary->base, &fixture->ledger,
                                          &fixture->control, &verdict, &fixture->error),
                     0);
    return verdict;
}

/* However its map is cut, and in whatever order it answers. */
static void a_secondary_that_is_as_it_was_left_goes_on(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->secondary, 0, 100, 1);
    fake_fill(fixture->secondary, 500, 3, 2);
    leave(fixture);
    for (unsigned extents = 1; extents < 4; extents++) {
        fixture->secondary->extents_per_map = extents;
        fixture->secondary->shuffle = extents % 2;
        assert_int_equal(check_unmoved(fixture), SAFETY_OK);
    }
    fake_set_status(fixture->secondary, 2000, 8, EXTENT_ANCHORED);
    assert_int_equal(check_unmoved(fixture), SAFETY_OK);
}

static void one_that_has_more_or_less_mapped_does_not(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->secondary, 0, 100, 1);
    leave(fixture);
    fake_set_status(fixture->secondary, 3000, 1, EXTENT_MAPPED);
    assert_int_equal(check_unmoved(fixture), SAFETY_REFUSED);
    expect_sentence(fixture, "another map between block 2944 and 3008");
    fake_set_status(fixture->secondary, 3000, 1, EXTENT_DEALLOCATED);
    assert_int_equal(check_unmoved(fixture), SAFETY_OK);
    fake_set_status(fixture->secondary, 99, 1, EXTENT_DEALLOCATED);
    assert_int_equal(check_unmoved(fixture), SAFETY_REFUSED);
}

static void nor_one_that_reads_otherwise(void **state)
{
    struct fixture *fixture = *state;

    for (int can_map = 0; can_map < 2; can_map++) {
        fixture->secondary->base.info.can_map = can_map;
        fake_fill(fixture->secondary, 600, 100, 1);
        leave(fixture);
        fixture->secondary->data[650 * 512 + 511] ^= 1;
        assert_int_equal(check_unmoved(fixture), SAFETY_REFUSED);
        expect_sentence(fixture, "other data between block 640 and 704");
    }
}

static void what_was_left_empty_and_is_not_any_more_is_moved(void **state)
{
    struct fixture *fixture = *state;

    leave(fixture);
    fake_fill(fixture->secondary, 4095, 1, 1);
    assert_int_equal(check_unmoved(fixture), SAFETY_REFUSED);
}

/* Nothing to go by, rather than a false alarm. */
static void a_map_that_was_not_told_soundly_does_not_count(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->secondary, 0, 100, 1);
    fixture->secondary->defect = FAKE_MAP_EMPTY;
    fixture->secondary->defect_lba = 50;
    leave(fixture);
    assert_false(fixture->ledger.left.by_map);
    fixture->secondary->defect = FAKE_MAP_SOUND;
    fake_set_status(fixture->secondary, 3000, 1, EXTENT_MAPPED);
    assert_int_equal(check_unmoved(fixture), SAFETY_OK);
    fake_fill(fixture->secondary, 3000, 1, 1);
    assert_int_equal(check_unmoved(fixture), SAFETY_REFUSED);
}

static void without_a_fingerprint_nothing_is_read(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(check_unmoved(fixture), SAFETY_OK);
    assert_int_equal(fixture->secondary->log_count, 0);
}

static void a_fingerprint_can_fail_and_be_stopped(void **state)
{
    struct fixture *fixture = *state;
    const atomic_bool stop = true;
    struct ledger_left *left = &fixture->ledger.left;

    fake_fill(fixture->secondary, 0, 1000, 1);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_READ, 3, -EIO};
    assert_int_equal(fingerprint_take(&fixture->secondary->base, 4096, 7, 0, &fixture->control,
                                      left, &fixture->error),
                     -EIO);
    assert_false(left->known);
    fixture->secondary->fault.error = 0;
    fixture->control.stop = &stop;
    assert_int_equal(fingerprint_take(&fixture->secondary->base, 4096, 7, 0, &fixture->control,
                                      left, &fixture->error),
                     -EINTR);
    assert_false(left->known);
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
        TEST(only_the_range_that_is_asked_about_counts),
        TEST(a_secondary_that_is_as_it_was_left_goes_on),
        TEST(one_that_has_more_or_less_mapped_does_not),
        TEST(nor_one_that_reads_otherwise),
        TEST(what_was_left_empty_and_is_not_any_more_is_moved),
        TEST(a_map_that_was_not_told_soundly_does_not_count),
        TEST(without_a_fingerprint_nothing_is_read),
        TEST(a_fingerprint_can_fail_and_be_stopped),
        TEST(the_copy_of_another_primary_is_somebodys_data),
        TEST(a_secondary_without_a_map_is_read),
        TEST(a_map_that_breaks_off_is_no_proof_of_emptiness),
        TEST(failures_are_no_verdict),
        TEST(a_target_that_goes_away_is_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
