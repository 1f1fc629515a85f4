/* SPDX-License-Identifier: Apache-2.0 */

/* EXTENDED COPY(LID1) between logical units of one process. */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "copy_rig.h"
#include "rod_token.h"
#include "store_mem.h"

/* Byte 1 of a segment descriptor, byte 28 of a CSCD descriptor. */
#define CAT 0x01
#define DC  0x02
#define PAD 0x04

/* Another LUN of this process. */
static void open_other(struct rig *rig, const char *group, uint32_t block_size, uint64_t blocks,
                       uint8_t mark, bool read_only)
{
    struct volume_meta meta = {.block_size = block_size};
    struct errmsg err;

    *rig = (struct rig){.block_size = block_size, .blocks = blocks};
    memcpy(meta.uuid, rig_uuid, sizeof(uuid_t));
    meta.uuid[15] = mark;
    assert_int_equal(store_mem_create(blocks * block_size, 4096, &rig->store), 0);
    assert_int_equal(volume_over_store(rig->store, &meta, read_only, &rig->volume, &err), 0);
    assert_int_equal(lun_open(rig->volume, &rig->lun), 0);
    lun_set_copy_group(rig->lun, group);
    rig_take_attentions(rig);
}

static struct answer copy_between(struct rig *by, struct rig *from, uint64_t from_lba,
                                  struct rig *to, uint64_t to_lba, uint16_t blocks, uint8_t flags)
{
    struct copy_rig_list list;

    copy_rig_start(&list, 7, COPY_LIST_ID_HOLD);
    copy_rig_add_cscd(&list, from);
    copy_rig_add_cscd(&list, to);
    copy_rig_add_segment(&list, 0, from_lba, 1, to_lba, blocks)[1] = flags;
    return copy_rig_send(by, &list);
}

static void units_of_one_group_are_copied_between_whoever_is_asked(void **state)
{
    struct rig a, b, c;

    (void)state;
    rig_needs_native("it opens logical units of its own");
    open_other(&a, "one", 512, 4096, 0xA1, false);
    open_other(&b, "one", 512, 4096, 0xA2, false);
    open_other(&c, "one", 4096, 512, 0xA3, false);
    rig_fill(&a, 0, 64, 0x11);
    assert_good(copy_between(&a, &a, 0, &b, 100, 64, 0));
    rig_assert_blocks(&b, 100, 64, 0x11);
    assert_good(copy_between(&b, &a, 0, &b, 200, 64, 0));
    rig_assert_blocks(&b, 200, 64, 0x11);
    assert_good(copy_between(&c, &a, 0, &b, 300, 64, 0));
    rig_assert_blocks(&b, 300, 64, 0x11);
    assert_good(copy_between(&a, &a, 0, &c, 8, 64, 0)); /* 64 blocks of 512 bytes */
    rig_assert_blocks(&c, 8, 8, 0x11);
    rig_assert_blocks(&c, 16, 1, 0);
    assert_good(copy_between(&a, &a, 0, &c, 32, 2, DC)); /* 2 blocks of 4096 bytes */
    rig_assert_blocks(&c, 32, 2, 0x11);
    rig_close(&c);
    assert_check(copy_between(&a, &a, 0, &b, 4096 - 63, 64, 0), SENSE_COPY_ABORTED, ASC_NONE);
    rig_close(&b);
    rig_close(&a);
}

/* What is left of a block is not kept for the next segment (CAT), nor filled up with zeros (PAD).
 */
static void a_part_of_a_block_is_refused_whatever_shall_become_of_it(void **state)
{
    struct rig small, large;

    (void)state;
    rig_needs_native("it opens logical units of its own");
    open_other(&small, "one", 512, 4096, 0xA1, false);
    open_other(&large, "one", 4096, 512, 0xA3, false);
    rig_fill(&small, 0, 64, 0x11);
    rig_fill(&large, 64, 8, 0x22);
    for (unsigned choice = 0; choice < 8; choice++) {
        struct copy_rig_list list;

        copy_rig_start(&list, 7, COPY_LIST_ID_HOLD);
        copy_rig_add_cscd(&list, &small);
        copy_rig_add_cscd(&list, &large);
        copy_rig_add_segment(&list, 0, 0, 1, 64, 63)[1] = choice & 1 ? CAT : 0;
        list.bytes[COPY_LIST_HEADER_BYTES + 28] |= choice & 2 ? PAD : 0;
        list.bytes[COPY_LIST_HEADER_BYTES + COPY_CSCD_BYTES + 28] |= choice & 4 ? PAD : 0;
        assert_check(copy_rig_send(&small, &list), SENSE_COPY_ABORTED,
                     ASC_UNEXPECTED_INEXACT_SEGMENT);
    }
    rig_assert_blocks(&large, 64, 8, 0x22);
    rig_close(&large);
    rig_close(&small);
}

static void units_of_no_group_or_another_are_out_of_reach(void **state)
{
    struct rig a, b;

    (void)state;
    rig_needs_native("it opens logical units of its own");
    open_other(&a, "one", 512, 4096, 0xB1, false);
    open_other(&b, "two", 512, 4096, 0xB2, false);
    rig_fill(&b, 0, 8, 0x22);
    assert_check(copy_between(&a, &b, 0, &a, 0, 8, 0), SENSE_COPY_ABORTED,
                 ASC_COPY_TARGET_NOT_REACHABLE);
    assert_check(copy_between(&a, &a, 0, &b, 0, 8, 0), SENSE_COPY_ABORTED,
                 ASC_COPY_TARGET_NOT_REACHABLE);
    lun_set_copy_group(a.lun, "");
    lun_set_copy_group(b.lun, "");
    assert_check(copy_between(&a, &b, 0, &a, 0, 8, 0), SENSE_COPY_ABORTED,
                 ASC_COPY_TARGET_NOT_REACHABLE);
    lun_set_copy_group(a.lun, "two");
    lun_set_copy_group(b.lun, "two");
    assert_good(copy_between(&a, &b, 0, &a, 0, 8, 0));
    rig_close(&b);
    rig_assert_blocks(&a, 0, 8, 0x22);
    rig_close(&a);
}

static void the_other_side_s_error_is_handed_on(void **state)
{
    struct rig a, b;
    struct copy_rig_blame blame;

    (void)state;
    rig_needs_native("it makes the store fail");
    open_other(&a, "one", 512, 4096, 0xC1, false);
    open_other(&b, "one", 512, 4096, 0xC2, true);
    rig_fill(&a, 0, 64, 0x11);
    assert_check(copy_between(&a, &a, 0, &b, 0, 64, 0), SENSE_COPY_ABORTED,
                 ASC_THIRD_PARTY_DEVICE_FAILURE);
    blame = copy_rig_failure(&a, 7);
    assert_true(blame.by_destination && !blame.by_source);
    assert_int_equal(blame.status, SCSI_STATUS_CHECK_CONDITION);
    assert_int_equal(blame.told.key, SENSE_DATA_PROTECT);
    assert_int_equal(blame.told.asc_ascq, ASC_WRITE_PROTECTED);
    assert_good(copy_between(&b, &b, 0, &a, 0, 64, 0)); /* from a read-only unit, and sent to it */
    rig_assert_blocks(&a, 0, 64, 0);
    rig_close(&b);
    open_other(&b, "one", 512, 4096, 0xC2, false);
    rig_fill(&a, 0, 64, 0x11);
    store_mem_set_quota(b.store, 4096);
    assert_check(copy_between(&a, &a, 0, &b, 0, 64, 0), SENSE_COPY_ABORTED,
                 ASC_THIRD_PARTY_DEVICE_FAILURE);
    blame = copy_rig_failure(&a, 7);
    assert_int_equal(blame.segment, 0);
    assert_false(blame.has_field);
    assert_true(blame.by_destination);
    assert_int_equal(blame.told.key, SENSE_DATA_PROTECT);
    assert_int_equal(blame.told.asc_ascq, ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT);
    store_mem_set_quota(b.store, UINT64_MAX);
    store_mem_set_fault(a.store, "read", 0, EIO);
    assert_check(copy_between(&b, &a, 0, &b, 0, 64, 0), SENSE_COPY_ABORTED,
                 ASC_THIRD_PARTY_DEVICE_FAILURE);
    blame = copy_rig_failure(&b, 7);
    assert_true(blame.by_source && !blame.by_destination);
    assert_int_equal(blame.told.key, SENSE_MEDIUM_ERROR);
    assert_int_equal(blame.told.asc_ascq, ASC_UNRECOVERED_READ_ERROR);
    store_mem_set_fault(a.store, "read", 0, 0);
    assert_good(copy_between(&b, &a, 0, &b, 0, 64, 0));
    rig_close(&b);
    rig_close(&a);
}

/* MODE SELECT(6) of one page without a header of the list. */
static void select_page(struct rig *rig, const uint8_t *page, uint8_t length)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SELECT_6, 0x10, 0, 0, (uint8_t)(4 + length)};
    uint8_t list[4 + 20] = {0};

    memcpy(list + 4, page, length);
    assert_good(rig_command_out(rig, cdb, list, 4u + length));
}

static void the_destination_keeps_to_its_mode_pages(void **state)
{
    const uint8_t protected[12] = {0x0A, 10, 0x02, 0x10, 0x08, 0, 0, 0, 0xFF, 0xFF};
    const uint8_t writable[12] = {0x0A, 10, 0x02, 0x10, 0, 0, 0, 0, 0xFF, 0xFF};
    const uint8_t uncached[20] = {0x08, 18};
    struct rig a, b;
    struct copy_rig_blame blame;

    (void)state;
    rig_needs_native("it makes the store fail");
    open_other(&a, "one", 512, 4096, 0xD1, false);
    open_other(&b, "one", 512, 4096, 0xD2, false);
    rig_fill(&a, 0, 64, 0x11);
    select_page(&b, protected, sizeof(protected));
    assert_check(copy_between(&a, &a, 0, &b, 0, 64, 0), SENSE_COPY_ABORTED,
                 ASC_THIRD_PARTY_DEVICE_FAILURE);
    blame = copy_rig_failure(&a, 7);
    assert_true(blame.by_destination);
    assert_int_equal(blame.told.key, SENSE_DATA_PROTECT);
    assert_int_equal(blame.told.asc_ascq, ASC_SOFTWARE_WRITE_PROTECTED);
    rig_assert_blocks(&b, 0, 64, 0);
    select_page(&b, writable, sizeof(writable));
    store_mem_set_fault(b.store, "flush", 0, EIO);
    assert_good(copy_between(&a, &a, 0, &b, 0, 64, 0)); /* goes to the cache */
    store_mem_set_fault(b.store, "flush", 0, 0);
    select_page(&b, uncached, sizeof(uncached));
    assert_good(copy_between(&a, &a, 0, &b, 0, 64, 0));
    store_mem_set_fault(b.store, "flush", 0, EIO);
    assert_check(copy_between(&a, &a, 0, &b, 0, 64, 0), SENSE_COPY_ABORTED,
                 ASC_THIRD_PARTY_DEVICE_FAILURE);
    store_mem_set_fault(b.store, "flush", 0, 0);
    store_mem_set_fault(b.store, "write", 0, EIO); /* a good flush does not make up for it */
    assert_check(copy_between(&a, &a, 0, &b, 0, 64, 0), SENSE_COPY_ABORTED,
                 ASC_THIRD_PARTY_DEVICE_FAILURE);
    store_mem_set_fault(b.store, "write", 0, 0);
    rig_close(&b);
    rig_close(&a);
}

/* Copies from a LUN that comes and goes. */
struct stress {
    struct rig *by;
    struct copy_rig_list list;
    atomic_bool stop;
    atomic_uint good, gone;
};

static void *copy_until_stopped(void *argument)
{
    struct stress *stress = argument;

    while (!stress->stop) {
        struct answer answer = copy_rig_send(stress->by, &stress->list);

        if (answer.status == SCSI_STATUS_GOOD)
            stress->good++;
        else if (answer.asc_ascq == ASC_COPY_TARGET_NOT_REACHABLE)
            stress->gone++;
        else
            return argument;
    }
    return NULL;
}

static void a_unit_is_not_closed_while_it_is_copied_from(void **state)
{
    struct rig a, b;
    struct stress stress = {.by = &a};
    pthread_t thread;
    void *failed;

    (void)state;
    rig_needs_native("it opens logical units of its own");
    open_other(&a, "one", 512, 4096, 0xD1, false);
    open_other(&b, "one", 512, 4096, 0xD2, false);
    copy_rig_start(&stress.list, 1, COPY_LIST_ID_DISCARD);
    copy_rig_add_cscd(&stress.list, &a);
    copy_rig_add_cscd(&stress.list, &b);
    copy_rig_add_segment(&stress.list, 1, 0, 0, 0, 512);
    assert_int_equal(pthread_create(&thread, NULL, copy_until_stopped, &stress), 0);
    for (int i = 0; i < 200; i++) {
        rig_fill(&b, 0, 512, (uint8_t)i);
        rig_close(&b);
        open_other(&b, "one", 512, 4096, 0xD2, false);
    }
    while (!stress.good) /* the last one stays until it has been used */
        sched_yield();
    stress.stop = true;
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    rig_close(&b);
    rig_close(&a);
}

static void say_access(void *context, struct lun_access *ret)
{
    *ret = *(const struct lun_access *)context;
}

/* Whether a copy from one LUN to another, sent to a third of the group, may be made. */
static bool may_be_copied(const struct lun_access *source, const struct lun_access *destination)
{
    if (source->reservation == LUN_RESERVED || source->reservation == LUN_RESERVATION_UNKNOWN)
        return false;
    return destination->reservation == LUN_NOT_RESERVED && !destination->read_only_for_some;
}

/* The target has looked at the reservation of the unit that a command is sent to, and at no other.
 */
static void a_reserved_unit_is_copied_to_only_by_a_command_of_its_own(void **state)
{
    struct lun_access of_a, of_b;
    struct rig a, b, c;

    (void)state;
    rig_needs_native("it says what is reserved");
    open_other(&a, "one", 512, 4096, 0xE1, false);
    open_other(&b, "one", 512, 4096, 0xE2, false);
    open_other(&c, "one", 512, 4096, 0xE3, false);
    lun_set_access(a.lun, say_access, &of_a);
    lun_set_access(b.lun, say_access, &of_b);
    rig_fill(&a, 0, 64, 0x11);
    for (int i = 0; i < 64; i++) {
        of_a = (struct lun_access){(enum lun_reservation)(i % 4), i & 16};
        of_b = (struct lun_access){(enum lun_reservation)(i / 4 % 4), i & 32};
        rig_fill(&b, 0, 64, 0x22);
        if (may_be_copied(&of_a, &of_b))
            assert_good(copy_between(&c, &a, 0, &b, 0, 64, 0));
        else
            assert_check(copy_between(&c, &a, 0, &b, 0, 64, 0), SENSE_COPY_ABORTED,
                         ASC_THIRD_PARTY_DEVICE_FAILURE);
        rig_assert_blocks(&b, 0, 64, may_be_copied(&of_a, &of_b) ? 0x11 : 0x22);
        rig_fill(&b, 0, 64, 0x22);
        /* Sent to the destination, only the source's counts; and the other way round. */
        if (may_be_copied(&of_a, &(struct lun_access){LUN_NOT_RESERVED, false}))
            assert_good(copy_between(&b, &a, 0, &b, 0, 64, 0));
        else
            assert_int_equal(copy_between(&b, &a, 0, &b, 0, 64, 0).key, SENSE_COPY_ABORTED);
        rig_fill(&b, 0, 64, 0x22);
        if (may_be_copied(&(struct lun_access){LUN_NOT_RESERVED, false}, &of_b))
            assert_good(copy_between(&a, &a, 0, &b, 0, 64, 0));
        else
            assert_int_equal(copy_between(&a, &a, 0, &b, 0, 64, 0).key, SENSE_COPY_ABORTED);
    }
    rig_close(&c);
    rig_close(&b);
    rig_close(&a);
}

/* SPC-4 6.4.3: the copy fails with the status of the unit at fault, which has no sense data here.
 */
static void the_reservation_of_the_other_unit_is_told(void **state)
{
    struct lun_access reserved = {LUN_RESERVED, false};
    struct copy_rig_blame blame;
    struct rig a, b;

    (void)state;
    rig_needs_native("it says what is reserved");
    open_other(&a, "one", 512, 4096, 0xE1, false);
    open_other(&b, "one", 512, 4096, 0xE2, false);
    lun_set_access(b.lun, say_access, &reserved);
    assert_check(copy_between(&a, &a, 0, &b, 0, 64, 0), SENSE_COPY_ABORTED,
                 ASC_THIRD_PARTY_DEVICE_FAILURE);
    blame = copy_rig_failure(&a, 7);
    assert_true(blame.by_destination && !blame.by_source);
    assert_int_equal(blame.status, SCSI_STATUS_RESERVATION_CONFLICT);
    assert_check(copy_between(&a, &b, 0, &a, 0, 64, 0), SENSE_COPY_ABORTED,
                 ASC_THIRD_PARTY_DEVICE_FAILURE);
    blame = copy_rig_failure(&a, 7);
    assert_true(!blame.by_destination && blame.by_source);
    assert_int_equal(blame.status, SCSI_STATUS_RESERVATION_CONFLICT);
    rig_close(&b);
    rig_close(&a);
}

static int make_token(struct rig *rig, uint64_t lba)
{
    struct volume_range range = {lba * rig->block_size, rig->block_size};
    uint8_t token[ROD_TOKEN_BYTES];

    return rod_token_create(rig->lun, &range, 1, ROD_TOKEN_MAX_INACTIVE_SECONDS, token);
}

static void all_tokens_of_one_unit_leave_the_others_theirs(void **state)
{
    struct rig a, b;
    uint64_t made = 0;

    (void)state;
    rig_needs_native("it opens logical units of its own");
    open_other(&a, "one", 512, 4096, 0xA1, false);
    open_other(&b, "one", 512, 4096, 0xA2, false);
    while (made < 4096 && make_token(&a, made) == 0)
        made++;
    assert_in_range(made, 32, 256); /* enough for copies side by side, and an end */
    assert_int_equal(make_token(&a, made), -EAGAIN);
    for (uint64_t i = 0; i < made; i++)
        assert_int_equal(make_token(&b, i), 0);
    assert_int_equal(make_token(&b, made), -EAGAIN);
    /* One whose data have changed makes room for one, in its own unit. */
    rig_fill(&a, 7, 1, 0x11);
    assert_int_equal(make_token(&b, made), -EAGAIN);
    assert_int_equal(make_token(&a, made), 0);
    assert_int_equal(make_token(&a, made + 1), -EAGAIN);
    rig_close(&a);
    assert_int_equal(make_token(&b, made), -EAGAIN);
    rig_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_of_one_group_are_copied_between_whoever_is_asked),
        cmocka_unit_test(a_part_of_a_block_is_refused_whatever_shall_become_of_it),
        cmocka_unit_test(units_of_no_group_or_another_are_out_of_reach),
        cmocka_unit_test(the_other_side_s_error_is_handed_on),
        cmocka_unit_test(the_destination_keeps_to_its_mode_pages),
        cmocka_unit_test(a_reserved_unit_is_copied_to_only_by_a_command_of_its_own),
        cmocka_unit_test(the_reservation_of_the_other_unit_is_told),
        cmocka_unit_test(a_unit_is_not_closed_while_it_is_copied_from),
        cmocka_unit_test(all_tokens_of_one_unit_leave_the_others_theirs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
