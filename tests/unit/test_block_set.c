/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of blocks, beside a plain array of flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "block_set.h"
#include "checked.h"
#include "cleanup.h"

#define MODEL_BLOCKS 200000 /* three pieces and a part of one */

struct model {
    struct block_set set;
    bool *flags;
    uint64_t state; /* of the numbers */
};

static uint64_t number(struct model *model, uint64_t below)
{
    model->state = model->state * 6364136223846793005U + 1442695040888963407U;
    return (model->state >> 33) % below;
}

static struct model *make_model(uint64_t seed)
{
    struct model *model = calloc(1, sizeof(*model));

    assert_non_null(model);
    model->flags = calloc(MODEL_BLOCKS, sizeof(*model->flags));
    assert_non_null(model->flags);
    model->state = seed;
    block_set_init(&model->set, MODEL_BLOCKS);
    return model;
}

static void free_model(struct model *model)
{
    block_set_free(&model->set);
    free(model->flags);
    free(model);
}

static void change(struct model *model, uint64_t start, uint64_t length, bool member)
{
    length = min_u64(length, MODEL_BLOCKS - start);
    if (member)
        assert_int_equal(block_set_add(&model->set, start, length), 0);
    else
        assert_int_equal(block_set_remove(&model->set, start, length), 0);
    memset(model->flags + start, member, length);
}

/* Runs as file systems have them: whole, at random, of blocks of 8 from an odd place on, by turns,
 * and hardly any. */
static void change_some(struct model *model, unsigned how)
{
    uint64_t start = number(model, MODEL_BLOCKS), at = start;
    uint64_t end = min_u64(start + number(model, 90000), MODEL_BLOCKS);
    bool member = number(model, 3) > 0;

    switch (how % 5) {
    case 0:
        change(model, start, end - start, member);
        break;
    case 1:
        for (; at < end; at += 1 + number(model, 9))
            change(model, at, 1 + number(model, 3), member);
        break;
    case 2:
        for (at |= 7; at < end; at += 8 * (1 + number(model, 5)))
            change(model, at, 8, member);
        break;
    case 3:
        for (; at < end; at += 112)
            change(model, at, 111, member);
        break;
    default:
        for (int i = 0; i < 40; i++)
            change(model, number(model, MODEL_BLOCKS), 1 + number(model, 20), member);
        break;
    }
}

static uint64_t expect_flags(const struct block_set *set, const bool *flags)
{
    uint64_t total = 0;

    for (uint64_t at = 0, end; at < set->blocks; at = end) {
        bool member;

        end = block_set_find(set, at, set->blocks, &member);
        assert_true(end > at && end <= set->blocks);
        for (uint64_t i = at; i < end; i++)
            assert_int_equal(flags[i], member);
        if (end < set->blocks)
            assert_int_equal(flags[end], !member);
        total += member ? end - at : 0;
    }
    assert_int_equal(block_set_total(set), total);
    return total;
}

static struct model *make_changed_model(uint64_t seed)
{
    struct model *model = make_model(seed);

    for (unsigned i = 0; i < 1 + seed % 7; i++)
        change_some(model, (unsigned)number(model, 1000));
    return model;
}

static void a_set_is_what_was_added_to_it_and_not_removed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct model *model = make_changed_model(seed);
        bool member;

        assert_int_equal(block_set_settle(&model->set), 0);
        expect_flags(&model->set, model->flags);
        for (int i = 0; i < 50; i++) {
            uint64_t at = number(model, MODEL_BLOCKS), end;
            uint64_t until = at + 1 + number(model, MODEL_BLOCKS - at);

            end = block_set_find(&model->set, at, until, &member);
            assert_true(end > at && end <= until && member == model->flags[at]);
            assert_true(end == until || model->flags[end] != member);
        }
        /* It goes on after it has been settled. */
        change_some(model, (unsigned)seed);
        assert_int_equal(block_set_settle(&model->set), 0);
        expect_flags(&model->set, model->flags);
        free_model(model);
    }
}

static void the_same_members_have_the_same_digest_however_they_came(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 7; seed++) {
        struct model *one = make_changed_model(seed), *other = make_model(seed);
        uint64_t digest;

        assert_int_equal(block_set_settle(&one->set), 0);
        assert_int_equal(block_set_add(&other->set, 0, MODEL_BLOCKS), 0);
        for (uint64_t at = MODEL_BLOCKS; at-- > 0;)
            if (!one->flags[at])
                assert_int_equal(block_set_remove(&other->set, at, 1), 0);
        assert_int_equal(block_set_settle(&other->set), 0);
        digest = block_set_digest(&one->set, 5);
        assert_true(digest == block_set_digest(&other->set, 5));
        assert_true(digest != block_set_digest(&other->set, 6));
        assert_true(one->set.bytes <= other->set.bytes);
        assert_int_equal(block_set_add(&other->set, 70000, 1), 0);
        assert_int_equal(block_set_remove(&other->set, 70001, 1), 0);
        assert_int_equal(block_set_settle(&other->set), 0);
        assert_int_equal(digest == block_set_digest(&other->set, 5),
                         one->flags[70000] && !one->flags[70001]);
        free_model(one);
        free_model(other);
    }
}

static void sets_are_put_together_and_turned_round(void **state)
{
    bool *expected = malloc(MODEL_BLOCKS);

    (void)state;
    assert_non_null(expected);
    for (uint64_t seed = 1; seed <= 14; seed++) {
        struct model *one = make_changed_model(seed), *other = make_changed_model(seed + 1000);
        struct block_set got;

        assert_int_equal(block_set_settle(&one->set), 0);
        assert_int_equal(block_set_settle(&other->set), 0);
        for (int op = BLOCK_SET_COMMON; op <= BLOCK_SET_WITHOUT; op++) {
            block_set_init(&got, MODEL_BLOCKS);
            assert_int_equal(block_set_combine(&one->set, (enum block_set_op)op, &other->set, &got),
                             0);
            for (size_t i = 0; i < MODEL_BLOCKS; i++)
                expected[i] = one->flags[i] && other->flags[i] == (op == BLOCK_SET_COMMON);
            expect_flags(&got, expected);
            block_set_free(&got);
        }
        assert_int_equal(block_set_take(&one->set, &other->set), 0);
        for (size_t i = 0; i < MODEL_BLOCKS; i++)
            expected[i] = one->flags[i] || other->flags[i];
        expect_flags(&one->set, expected);
        assert_int_equal(block_set_total(&other->set), 0);
        assert_int_equal(block_set_invert(&one->set), 0);
        for (size_t i = 0; i < MODEL_BLOCKS; i++)
            expected[i] = !expected[i];
        expect_flags(&one->set, expected);
        free_model(one);
        free_model(other);
    }
    free(expected);
}

/* What does not fit is dropped, nothing is added, and it is no more than memory demands. */
static void a_budget_is_kept_by_dropping_members(void **state)
{
    (void)state;
    for (size_t budget = 500; budget <= 64000; budget *= 2) {
        struct model *model = make_model(budget);
        uint64_t wanted = 0, got = 0;

        model->set.budget_bytes = budget;
        for (uint64_t at = 3; at < MODEL_BLOCKS; at += 1 + number(model, 30))
            change(model, at, 1 + number(model, 20), true);
        assert_int_equal(block_set_settle(&model->set), 0);
        assert_in_range(model->set.bytes, 0, budget);
        for (uint64_t at = 0, end; at < MODEL_BLOCKS; at = end) {
            bool member;

            end = block_set_find(&model->set, at, MODEL_BLOCKS, &member);
            for (uint64_t i = at; i < end; i++) {
                assert_true(!member || model->flags[i]);
                wanted += model->flags[i];
                got += member;
            }
        }
        assert_true(budget < 64000 || got == wanted);
        assert_true(budget < 16000 || got > wanted / 2);
        free_model(model);
    }
}

/* 32 GiB in blocks of 512 bytes, of which pieces of 16 KiB are free, from a place on that no piece
 * of the set knows: a million of them. */
static void what_is_free_in_pieces_takes_little_memory(void **state)
{
    const uint64_t blocks = UINT64_C(1) << 26;
    CLEANUP(block_set_free) struct block_set set = {0};
    bool member;

    (void)state;
    block_set_init(&set, blocks);
    for (uint64_t at = 63; at + 32 <= blocks; at += at & 1U << 20 ? 96 : 64)
        assert_int_equal(block_set_add(&set, at, 32), 0);
    assert_int_equal(block_set_settle(&set), 0);
    assert_in_range(set.bytes, 1, 10 << 15);
    assert_int_equal(block_set_find(&set, 63 + 64, blocks, &member), 63 + 96);
    assert_true(member);
}

/* Blocks of 4 KiB, each free or not by chance. */
static void what_is_free_at_random_takes_a_bit_a_block(void **state)
{
    const uint64_t blocks = UINT64_C(1) << 26;
    CLEANUP(block_set_free) struct block_set set = {0};
    struct model numbers = {.state = 7};

    (void)state;
    block_set_init(&set, blocks);
    for (uint64_t at = 0; at < blocks; at += 8 * 64) {
        uint64_t some = number(&numbers, UINT64_C(1) << 31);

        for (unsigned i = 0; i < 31; i++)
            if (some >> i & 1)
                assert_int_equal(block_set_add(&set, at + 16 * i, 8), 0);
    }
    assert_int_equal(block_set_settle(&set), 0);
    assert_in_range(set.bytes, 1, 34 << 15);
}

static void what_takes_turns_takes_a_few_bytes(void **state)
{
    CLEANUP(block_set_free) struct block_set set = {0};

    (void)state;
    block_set_init(&set, 1 << 24);
    for (uint64_t at = 5; at + 111 <= set.blocks; at += 112)
        assert_int_equal(block_set_add(&set, at, 111), 0);
    assert_int_equal(block_set_settle(&set), 0);
    assert_in_range(set.bytes, 1, set.chunk_count * 40);
    assert_int_equal(block_set_total(&set), (set.blocks - 5) / 112 * 111);
}

/* So large that a unit is more than a block: added whole, touched or removed in any part. */
static void a_huge_lun_is_kept_in_larger_units(void **state)
{
    const uint64_t blocks = (UINT64_C(1) << 38) - 3;
    CLEANUP(block_set_free) struct block_set set = {0};
    bool member;

    (void)state;
    block_set_init(&set, blocks);
    assert_int_equal(set.unit_shift, 3);
    assert_int_equal(block_set_add(&set, 100, 8), 0);
    assert_int_equal(block_set_add(&set, 1001, 22), 0);
    assert_int_equal(block_set_add(&set, blocks - 6, 6), 0);
    assert_int_equal(block_set_add_touched(&set, 5001, 2), 0);
    assert_int_equal(block_set_settle(&set), 0);
    assert_int_equal(block_set_total(&set), 8 + 5 + 8);
    assert_int_equal(block_set_find(&set, 0, blocks, &member), 1008);
    assert_false(member);
    assert_int_equal(block_set_find(&set, 1008, blocks, &member), 1016);
    assert_true(member);
    assert_int_equal(block_set_find(&set, blocks - 1, blocks, &member), blocks);
    assert_true(member);
    assert_int_equal(block_set_remove(&set, 1010, 1), 0);
    assert_int_equal(block_set_settle(&set), 0);
    assert_int_equal(block_set_total(&set), 8 + 5);
    assert_int_equal(block_set_invert(&set), 0);
    assert_int_equal(block_set_total(&set), blocks - 8 - 5);
}

static void an_empty_set_has_nothing(void **state)
{
    CLEANUP(block_set_free) struct block_set set = {0};
    CLEANUP(block_set_free) struct block_set other = {0};
    bool member;

    (void)state;
    block_set_init(&set, 70000);
    block_set_init(&other, 70000);
    assert_int_equal(block_set_add(&set, 5, 0), 0);
    assert_int_equal(block_set_add_touched(&set, 70000, 0), 0);
    assert_int_equal(block_set_remove(&set, 0, 70000), 0);
    assert_int_equal(block_set_settle(&set), 0);
    assert_int_equal(block_set_find(&set, 69999, 70000, &member), 70000);
    assert_false(member);
    assert_int_equal(block_set_take(&set, &other), 0);
    assert_int_equal(block_set_total(&set), 0);
    assert_int_equal(block_set_invert(&set), 0);
    assert_int_equal(block_set_total(&set), 70000);
    assert_int_equal(set.bytes, set.chunk_count * sizeof(void *));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_what_was_added_to_it_and_not_removed),
        cmocka_unit_test(the_same_members_have_the_same_digest_however_they_came),
        cmocka_unit_test(sets_are_put_together_and_turned_round),
        cmocka_unit_test(a_budget_is_kept_by_dropping_members),
        cmocka_unit_test(what_is_free_in_pieces_takes_little_memory),
        cmocka_unit_test(what_is_free_at_random_takes_a_bit_a_block),
        cmocka_unit_test(what_takes_turns_takes_a_few_bytes),
        cmocka_unit_test(a_huge_lun_is_kept_in_larger_units),
        cmocka_unit_test(an_empty_set_has_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
