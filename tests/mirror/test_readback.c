/* SPDX-License-Identifier: Apache-2.0 */
/* What is written is read back: a secondary that does not keep it is found out at once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "range_set.h"
#include "readback.h"
#include "sync_fixture.h"

static void what_is_written_is_read_after_a_flush(void **state)
{
    struct fixture *fixture = *state;
    const struct fake_io *log;
    size_t reads = 0, at = 0;

    fixture->params.read_back = true;
    fake_fill(fixture->primary, 8, 8, 1);
    fake_fill(fixture->primary, 100, 300, 1);
    fake_fill(fixture->secondary, 1000, 8, 1);
    fixture->secondary->shuffle = true;
    assert_int_equal(run(fixture), 0);
    expect_ranges(fixture->secondary, ENDPOINT_READ, "8+8 100+300");
    assert_int_equal(fixture->result.read_back_bytes, 308 * 512);
    assert_int_equal(fixture->result.differences.blocks, 0);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
    log = fixture->secondary->log;
    while (log[at].op != ENDPOINT_FLUSH)
        assert_int_not_equal(log[at++].op, ENDPOINT_READ);
    for (; at < fixture->secondary->log_count; at++) {
        assert_int_not_equal(log[at].op, ENDPOINT_WRITE);
        reads += log[at].op == ENDPOINT_READ;
    }
    assert_int_equal(reads, fake_count(fixture->secondary, ENDPOINT_READ));
}

static void without_it_nothing_is_read_back(void **state)
{
    struct fixture *fixture = *state;

    fake_fill(fixture->primary, 8, 8, 1);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_READ), 0);
    assert_int_equal(fixture->result.read_back_bytes, 0);
}

/* Says it has written all, and has changed one bit. */
static void lose_a_bit(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    const uint64_t *lba = fake->opaque;

    if (request->op == ENDPOINT_WRITE && *lba >= request->lba &&
        *lba < request->lba + request->blocks)
        fake->data[*lba * 512 + 300] ^= 0x10;
}

static int remember(void *opaque, const struct range_set *done, struct errmsg *err)
{
    (void)err;
    return range_set_copy(opaque, done);
}

static void a_block_that_reads_otherwise_ends_it_and_is_not_noted_as_done(void **state)
{
    struct fixture *fixture = *state;
    struct range_set noted = {0};
    uint64_t lba = 230;
    struct range gap;

    fixture->params.read_back = true;
    fixture->params.checkpoint = remember;
    fixture->params.checkpoint_opaque = &noted;
    fixture->params.checkpoint_seconds = 100;
    fake_fill(fixture->primary, 8, 8, 1);
    fake_fill(fixture->primary, 100, 300, 1);
    fixture->secondary->on_answer = lose_a_bit;
    fixture->secondary->opaque = &lba;
    assert_int_equal(run(fixture), -EBADMSG);
    assert_string_equal(fixture->error.text,
                        "secondary: 1 block reads back otherwise than it was written, first "
                        "block 230");
    assert_int_equal(fixture->result.differences.blocks, 1);
    assert_int_equal(fixture->result.differences.first[0].start, 230);
    assert_int_equal(fixture->result.read_back_bytes, 307 * 512);
    assert_true(range_set_gap(&noted, 0, BLOCKS, &gap));
    assert_true(gap.start <= 230 && gap.end > 230);
    assert_false(range_set_gap(&noted, 0, gap.start, &gap));
    range_set_free(&noted);
}

static void what_cannot_be_read_back_is_an_error(void **state)
{
    struct fixture *fixture = *state;

    fixture->params.read_back = true;
    fake_fill(fixture->primary, 8, 8, 1);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_READ, 0, -EIO};
    assert_int_equal(run(fixture), -EIO);
}

/* The flush tells that the target was restarted; what it lost is no difference. */
static void writes_that_were_lost_are_written_again(void **state)
{
    struct fixture *fixture = *state;

    fixture->params.read_back = true;
    fake_fill(fixture->primary, 100, 300, 1);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_FLUSH, 0, -ESTALE};
    assert_int_equal(run(fixture), -ESTALE);
    assert_int_equal(fake_count(fixture->secondary, ENDPOINT_READ), 0);
}

/* The first flush tells that the target was restarted, which has undone what was emptied. */
static void undo_at_a_flush(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    if (request->op != ENDPOINT_FLUSH || fake->fault.error == 0)
        return;
    fake->fault.error = 0;
    fake_fill(fake, 1000, 8, 1);
}

static void what_was_emptied_is_lost_with_the_rest(void **state)
{
    struct fixture *fixture = *state;
    struct range_set noted = {0};

    fixture->params.read_back = true;
    fixture->params.checkpoint = remember;
    fixture->params.checkpoint_opaque = &noted;
    fixture->params.checkpoint_seconds = 100;
    fake_fill(fixture->primary, 100, 300, 1);
    fake_fill(fixture->secondary, 1000, 8, 1);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_FLUSH, 0, -ESTALE};
    fixture->secondary->on_answer = undo_at_a_flush;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.rollbacks, 1);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
    range_set_free(&noted);
}

/* A second flush would go well: the error is told once. */
static void what_a_flush_before_reading_back_failed_at_is_not_noted(void **state)
{
    struct fixture *fixture = *state;
    struct range_set noted = {0};
    struct range gap;

    fixture->params.read_back = true;
    fixture->params.checkpoint = remember;
    fixture->params.checkpoint_opaque = &noted;
    fixture->params.checkpoint_seconds = 100;
    fake_fill(fixture->primary, 100, 300, 1);
    fake_fill(fixture->secondary, 1000, 8, 1);
    fixture->secondary->fault = (struct fake_fault){ENDPOINT_FLUSH, 0, -EIO};
    fixture->secondary->on_answer = undo_at_a_flush;
    assert_int_equal(run(fixture), -EIO);
    assert_true(range_set_gap(&noted, 1000, 1008, &gap));
    range_set_free(&noted);
}

static void stop_at_a_flush(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    if (request->op == ENDPOINT_FLUSH)
        *(atomic_bool *)fake->opaque = true;
}

static void a_signal_before_it_is_read_back_is_an_interruption(void **state)
{
    static atomic_bool stop;
    struct fixture *fixture = *state;

    fixture->params.read_back = true;
    fixture->params.control.stop = &stop;
    fake_fill(fixture->primary, 100, 300, 1);
    fixture->secondary->on_submit = stop_at_a_flush;
    fixture->secondary->opaque = (void *)(uintptr_t)&stop;
    assert_int_equal(run(fixture), 0);
    assert_true(fixture->result.interrupted);
    assert_int_equal(fixture->result.read_back_bytes, 0);
}

/* More than a batch. */
static void batches_follow_one_another(void **state)
{
    const uint64_t blocks = READBACK_BYTES / 512 * 5 / 2;
    struct fixture *fixture = *state;
    struct fake_endpoint *from = fake_create("from", blocks), *to = fake_create("to", blocks);

    fake_fill(from, 0, blocks, 1);
    fixture->params.primary = &from->base;
    fixture->params.secondary = &to->base;
    fixture->params.read_back = true;
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->result.read_back_bytes, blocks * 512);
    assert_in_range(fake_count(to, ENDPOINT_FLUSH), 3, 8);
    assert_true(to->high_water[ENDPOINT_READ] <= READBACK_DEPTH);
    assert_true(fake_same_data(from, to, blocks));
    endpoint_close(&from->base);
    endpoint_close(&to->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read_after_a_flush),
        TEST(without_it_nothing_is_read_back),
        TEST(a_block_that_reads_otherwise_ends_it_and_is_not_noted_as_done),
        TEST(what_cannot_be_read_back_is_an_error),
        TEST(writes_that_were_lost_are_written_again),
        TEST(what_was_emptied_is_lost_with_the_rest),
        TEST(what_a_flush_before_reading_back_failed_at_is_not_noted),
        TEST(a_signal_before_it_is_read_back_is_an_interruption),
        TEST(batches_follow_one_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
