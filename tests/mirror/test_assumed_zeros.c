/* SPDX-License-Identifier: Apache-2.0 */
/* A secondary whose zeros nothing promises: what it allocates beside what is written to it may
 * bring up old data. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "block_set.h"
#include "cleanup.h"
#include "range_set.h"
#include "sync_fixture.h"

static char remembered[256];

static int remember(void *opaque, const struct range_set *done, struct errmsg *err)
{
    size_t used = 0;

    (void)opaque;
    (void)err;
    remembered[0] = '\0';
    for (size_t i = 0; i < done->count; i++)
        used += (size_t)snprintf(remembered + used, sizeof(remembered) - used, "%s%u+%u",
                                 used ? " " : "", (unsigned)done->items[i].start,
                                 (unsigned)(done->items[i].end - done->items[i].start));
    return 0;
}

static void mend_flush(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    if (request->op == ENDPOINT_FLUSH)
        fake->fault.error = 0;
}

/* What a thin secondary without a promise has allocated beyond what was written to it. */
static unsigned allocated_in_vain(const struct fixture *fixture)
{
    const struct fake_endpoint *fake = fixture->secondary;
    unsigned count = 0, units = (BLOCKS + fake->unit_blocks - 1) / fake->unit_blocks;

    for (unsigned i = 0; i < units; i++) {
        bool needed = false;

        for (uint64_t lba = i * fake->unit_blocks;
             lba < BLOCKS && lba < (i + 1) * fake->unit_blocks; lba++)
            needed = needed || fixture->primary->status[lba] == EXTENT_MAPPED;
        count += fake->allocated[i] && !needed;
    }
    return count;
}

static void old_data_that_comes_up_beside_what_is_written_is_zeroed(void **state)
{
    struct fixture *fixture = *state;

    fake_forget_storage(fixture->secondary, 128);
    fixture->params.secondary_is_zero = true;
    fake_fill(fixture->primary, 200, 8, 1);
    fake_fill(fixture->primary, 3000, 1, 1);
    assert_int_equal(run(fixture), 0);
    assert_true(fixture->result.complete);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
    assert_int_equal(allocated_in_vain(fixture), 0);
    assert_int_equal(fixture->result.zeroed_bytes, (2 * 128 - 9) * 512);
    expect_ranges(fixture->secondary, ENDPOINT_WRITE, "200+8 3000+1");
}

/* As a hostile one may: each look finds something new. */
static void bring_up_more(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    if (request->op == ENDPOINT_ZERO && request->lba >= 128 && *(unsigned *)fake->opaque > 0) {
        --*(unsigned *)fake->opaque;
        fake->data[(request->lba - 128) * 512] = 1;
    }
}

static void what_comes_up_again_and_again_is_zeroed_in_the_end(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned times = 0; times < 12; times++) {
        unsigned left = times;
        int r;

        fake_forget_storage(fixture->secondary, 16);
        fixture->secondary->on_answer = bring_up_more;
        fixture->secondary->opaque = &left;
        fake_fill(fixture->primary, 4000, 1, 1);
        r = run(fixture);
        if (r == 0)
            assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
        else /* there is no end to it */
            assert_int_equal(r, -EIO);
        assert_true(r == 0 || times > 2);
    }
}

static void whatever_was_there_before_nothing_old_is_left(void **state)
{
    static const unsigned units[] = {1, 2, 7, 16, 100, 1000, 5000};
    struct fixture *fixture = *state;

    srandom(20);
    for (unsigned turn = 0; turn < 300; turn++) {
        CLEANUP(range_set_free) struct range_set done = {0};
        bool used = turn & 1, resumed = turn & 2;

        fake_set_status(fixture->primary, 0, BLOCKS, EXTENT_DEALLOCATED);
        for (int i = 0; i < 20; i++)
            fake_fill(fixture->primary, (uint64_t)random() % (BLOCKS - 30),
                      1 + (uint64_t)random() % 30, (uint8_t)turn);
        fake_forget_storage(fixture->secondary, units[turn % 7]);
        fixture->secondary->shuffle = true;
        if (used)
            for (unsigned i = 0; i < BLOCKS / fixture->secondary->unit_blocks; i += 3)
                fixture->secondary->allocated[i] = true;
        for (unsigned i = 0; used && i < BLOCKS; i++)
            if (fixture->secondary->allocated[i / fixture->secondary->unit_blocks])
                memset(fixture->secondary->data + i * 512, 0x77, 512);
        /* An earlier run may say of what is not mapped what it likes. */
        for (uint64_t lba = 0; lba < BLOCKS; lba++)
            if (fixture->primary->status[lba] != EXTENT_MAPPED)
                assert_int_equal(range_set_add(&done, lba, 1), 0);
        fixture->params.done = resumed ? &done : NULL;
        fixture->params.secondary_is_zero = !used;
        fixture->params.read_back = turn % 5 == 0;
        fixture->params.control.detect_zeroes = turn % 3 == 0;
        assert_int_equal(run(fixture), 0);
        assert_true(fixture->result.complete);
        assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
        if (!used)
            assert_int_equal(allocated_in_vain(fixture), 0);
    }
}

static void what_is_taken_for_zeros_is_not_done_before_it_was_looked_at(void **state)
{
    struct fixture *fixture = *state;

    fake_forget_storage(fixture->secondary, 128);
    fake_fill(fixture->primary, 200, 8, 1);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_READ, 0, -EIO};
    fixture->params.checkpoint = remember;
    fixture->params.checkpoint_opaque = fixture;
    assert_int_equal(run(fixture), -EIO);
    assert_false(fixture->result.complete);
    assert_string_equal(remembered, "200+8");
}

static void a_later_copy_looks_at_what_an_earlier_one_took_for_zeros(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(block_set_free) struct block_set assumed = {0}, changed = {0};

    block_set_init(&assumed, BLOCKS);
    block_set_init(&changed, BLOCKS);
    fake_forget_storage(fixture->secondary, 128);
    fake_fill(fixture->primary, 200, 8, 1);
    fixture->params.assumed = &assumed;
    assert_int_equal(run(fixture), 0);
    fake_fill(fixture->primary, 1000, 8, 1);
    assert_int_equal(block_set_add(&changed, 1000, 8), 0);
    assert_int_equal(block_set_settle(&changed), 0);
    fixture->params.allocated = &changed;
    fixture->params.keep_free = true;
    assert_int_equal(run(fixture), 0);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
    assert_int_equal(allocated_in_vain(fixture), 0);
}

static void a_flush_that_lost_writes_before_the_look_is_a_rollback(void **state)
{
    struct fixture *fixture = *state;

    fake_forget_storage(fixture->secondary, 128);
    fake_fill(fixture->primary, 200, 8, 1);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_FLUSH, 0, -ESTALE};
    fixture->secondary->on_answer = mend_flush;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.rollbacks, 1);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(old_data_that_comes_up_beside_what_is_written_is_zeroed),
        TEST(what_comes_up_again_and_again_is_zeroed_in_the_end),
        TEST(whatever_was_there_before_nothing_old_is_left),
        TEST(what_is_taken_for_zeros_is_not_done_before_it_was_looked_at),
        TEST(a_later_copy_looks_at_what_an_earlier_one_took_for_zeros),
        TEST(a_flush_that_lost_writes_before_the_look_is_a_rollback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
