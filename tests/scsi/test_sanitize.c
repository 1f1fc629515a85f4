/* SPDX-License-Identifier: Apache-2.0 */

/* SANITIZE: what it does to the blocks, what the unit answers meanwhile and after a failure, and
 * that one which breaks off is not forgotten. */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "scratch.h"
#include "scsi_rig.h"
#include "sense.h"
#include "skip.h"
#include "store_mem.h"
#include "volume_sanitize.h"

#define OVERWRITE  SCSI_SA_SANITIZE_OVERWRITE
#define ERASE      SCSI_SA_SANITIZE_BLOCK_ERASE
#define EXIT       SCSI_SA_SANITIZE_EXIT_FAILURE_MODE
#define IMMED      0x80
#define AUSE       0x20
#define INVERT     0x80
#define LIST_BYTES 5 /* with a pattern of one byte */

static struct answer sanitize(struct rig *rig, uint8_t action, const void *list, size_t size)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_SANITIZE, action};

    put_be16(cdb + 7, (uint16_t)size);
    return size ? rig_command_out(rig, cdb, list, size) : rig_command(rig, cdb);
}

static struct answer overwrite(struct rig *rig, uint8_t flags, uint8_t count, uint8_t pattern)
{
    const uint8_t list[LIST_BYTES] = {count, 0, 0, 1, pattern};

    return sanitize(rig, flags | OVERWRITE, list, sizeof(list));
}

static struct answer test_unit_ready(struct rig *rig)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_test_unit_ready(cdb);
    return rig_command(rig, cdb);
}

static struct answer read_block(struct rig *rig)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES], bytes[4096];

    cdb_read_16(cdb, 0, 1);
    return rig_command_in(rig, cdb, bytes, rig->block_size);
}

static void dirty(struct rig *rig)
{
    rig_fill(rig, 8, 16, 0x11);
    rig_fill(rig, 1000, 8, 0x22);
}

static void assert_holds(struct rig *rig, uint8_t byte, bool mapped)
{
    rig_assert_blocks(rig, 8, 16, byte);
    rig_assert_blocks(rig, 1000, 8, byte);
    rig_assert_mapped(rig, 8, 16, mapped);
    rig_assert_blocks(rig, 24, 976, 0);
    rig_assert_mapped(rig, 24, 976, false);
}

static void overwriting_leaves_the_pattern_in_every_block_that_has_storage(void **state)
{
    struct rig *rig = *state;

    dirty(rig);
    assert_good(overwrite(rig, 0, 1, 0xA5));
    assert_holds(rig, 0xA5, true);
    assert_good(overwrite(rig, AUSE, 3, 0x5A));
    assert_holds(rig, 0x5A, true);
}

static void what_is_in_storage_that_was_only_reserved_is_overwritten_too(void **state)
{
    struct rig *rig = *state;

    if (!rig_can_anchor(rig))
        skip_because("this file system does not tell reserved storage from written");
    assert_good(rig_unmap_ranges_anchor(rig, &(struct rig_range){64, 16}, 1));
    assert_good(overwrite(rig, 0, 1, 0xA5));
    rig_assert_blocks(rig, 64, 16, 0xA5);
    rig_assert_mapped(rig, 64, 16, true);
    rig_assert_blocks(rig, 80, 16, 0);
    assert_good(rig_unmap_ranges_anchor(rig, &(struct rig_range){96, 16}, 1));
    assert_good(sanitize(rig, ERASE, NULL, 0));
    rig_assert_mapped(rig, 64, 48, false);
}

static void every_second_pass_is_inverted_if_asked_for(void **state)
{
    struct rig *rig = *state;

    dirty(rig);
    assert_good(overwrite(rig, 0, INVERT | 1, 0x0F));
    assert_holds(rig, 0x0F, true);
    assert_good(overwrite(rig, 0, INVERT | 2, 0x0F));
    assert_holds(rig, 0xF0, true);
    assert_good(overwrite(rig, 0, 2, 0x0F));
    assert_holds(rig, 0x0F, true);
}

static void a_pattern_begins_anew_in_every_block(void **state)
{
    struct rig *rig = *state;
    size_t size = 3 * rig->block_size;
    uint8_t list[4 + 100] = {1, 0, 0, 100};
    uint8_t *found = malloc(size);

    for (size_t i = 0; i < 100; i++)
        list[4 + i] = (uint8_t)(i + 1);
    dirty(rig);
    assert_good(sanitize(rig, OVERWRITE, list, sizeof(list)));
    rig_read(rig, 9, 3, found);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(found[i], i % rig->block_size % 100 + 1);
    free(found);
}

static void erasing_deallocates_every_block(void **state)
{
    struct rig *rig = *state;

    dirty(rig);
    assert_good(sanitize(rig, ERASE, NULL, 0));
    assert_holds(rig, 0, false);
    assert_good(sanitize(rig, AUSE | ERASE, NULL, 0));
}

static void without_a_failure_there_is_none_to_exit(void **state)
{
    struct rig *rig = *state;

    dirty(rig);
    assert_good(sanitize(rig, EXIT, NULL, 0));
    rig_assert_blocks(rig, 8, 16, 0x11);
}

static void wrong_fields_are_refused_and_nothing_sanitized(void **state)
{
    struct rig *rig = *state;
    const struct {
        uint8_t size;
        uint8_t list[8];
        uint16_t asc_ascq;
    } wrong[] = {
        {4, {1, 0, 0, 1}, ASC_INVALID_FIELD_IN_CDB},
        {5, {0, 0, 0, 1, 7}, ASC_INVALID_FIELD_IN_PARAMETER_LIST},
        {5, {0x21, 0, 0, 1, 7}, ASC_INVALID_FIELD_IN_PARAMETER_LIST}, /* TEST */
        {5, {1, 0, 0, 0, 7}, ASC_INVALID_FIELD_IN_PARAMETER_LIST},
        {5, {1, 0, 0, 2, 7}, ASC_INVALID_FIELD_IN_PARAMETER_LIST},
    };
    uint8_t *too_long = calloc(1, rig->block_size + 5);

    dirty(rig);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_check(sanitize(rig, OVERWRITE, wrong[i].list, wrong[i].size), SENSE_ILLEGAL_REQUEST,
                     wrong[i].asc_ascq);
    too_long[0] = 1;
    put_be16(too_long + 2, (uint16_t)rig->block_size);
    assert_check(sanitize(rig, OVERWRITE, too_long, rig->block_size + 5), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    assert_check(sanitize(rig, OVERWRITE, NULL, 0), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    assert_check(sanitize(rig, ERASE, too_long, 4), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    assert_check(sanitize(rig, EXIT, too_long, 4), SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    assert_check(sanitize(rig, 0x40 | ERASE /* ZNR */, NULL, 0), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    assert_check(sanitize(rig, 0x03 /* CRYPTOGRAPHIC ERASE */, NULL, 0), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    for (int i = 2; i <= 6; i++) { /* reserved */
        uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_SANITIZE, ERASE};

        cdb[i] = 1;
        assert_check(rig_command(rig, cdb), SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    }
    rig_assert_blocks(rig, 8, 16, 0x11);
    free(too_long);
}

/* A store whose writes wait at a gate. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    unsigned waiting;
    const struct store_ops *ops; /* without a gate */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int write_at_gate(struct store *store, const struct iovec *iov, int iov_count,
                         uint64_t offset, bool fua)
{
    pthread_mutex_lock(&gate.lock);
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.open)
        pthread_cond_wait(&gate.changed, &gate.lock);
    gate.waiting--;
    pthread_mutex_unlock(&gate.lock);
    return gate.ops->write(store, iov, iov_count, offset, fua);
}

static void close_gate(struct store *store)
{
    static struct store_ops ops;

    gate.ops = store->ops;
    gate.open = false;
    ops = *store->ops;
    ops.write = write_at_gate;
    store->ops = &ops;
}

static void wait_at_gate(void)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.waiting == 0)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static void open_gate(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void assert_progress_is_told(struct rig *rig)
{
    for (uint8_t desc = 0; desc <= 1; desc++) {
        uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_REQUEST_SENSE, desc, 0, 0, 64};
        struct sense sense;
        uint8_t bytes[64];
        struct answer answer = rig_command_in(rig, cdb, bytes, sizeof(bytes));

        assert_good(answer);
        assert_int_equal(sense_decode(bytes, answer.length, &sense), 0);
        assert_int_equal(sense.key, SENSE_NOT_READY);
        assert_int_equal(sense.asc_ascq, ASC_SANITIZE_IN_PROGRESS);
        assert_int_equal(sense.specific[0] & 0x80, 0x80); /* SKSV */
        assert_int_equal(bytes[0], desc ? 0x72 : 0x70);
    }
}

static void wait_until_ready(struct rig *rig)
{
    while (test_unit_ready(rig).status != SCSI_STATUS_GOOD)
        usleep(1000);
}

static void while_it_runs_only_those_are_served_that_must_be(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES], reply[96];
    struct errmsg err;

    rig_needs_native("it holds the store up");
    dirty(rig);
    close_gate(rig->store);
    assert_good(overwrite(rig, IMMED, 1, 0x77));
    wait_at_gate();
    assert_check(test_unit_ready(rig), SENSE_NOT_READY, ASC_SANITIZE_IN_PROGRESS);
    assert_check(read_block(rig), SENSE_NOT_READY, ASC_SANITIZE_IN_PROGRESS);
    assert_check(rig_unmap_ranges(rig, &(struct rig_range){0, 1}, 1), SENSE_NOT_READY,
                 ASC_SANITIZE_IN_PROGRESS);
    assert_check(overwrite(rig, IMMED, 1, 0x66), SENSE_NOT_READY, ASC_SANITIZE_IN_PROGRESS);
    assert_check(sanitize(rig, EXIT, NULL, 0), SENSE_NOT_READY, ASC_SANITIZE_IN_PROGRESS);
    cdb_inquiry(cdb, sizeof(reply));
    assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
    assert_progress_is_told(rig);
    assert_int_equal(lun_resize(rig->lun, volume_bytes(rig->volume) * 2, &err), -ESHUTDOWN);
    open_gate();
    wait_until_ready(rig);
    assert_holds(rig, 0x77, true);
    assert_int_equal(lun_resize(rig->lun, volume_bytes(rig->volume) * 2, &err), 0);
}

static void a_failure_stays_until_one_succeeds(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it makes the store fail");
    dirty(rig);
    store_mem_set_fault(rig->store, "write", 0, EIO);
    assert_check(overwrite(rig, 0, 1, 0x77), SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
    store_mem_set_fault(rig->store, "write", 0, 0);
    assert_check(test_unit_ready(rig), SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
    assert_check(read_block(rig), SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
    /* restricted: it can neither be accepted, nor the next be one that could */
    assert_check(sanitize(rig, EXIT, NULL, 0), SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    assert_check(sanitize(rig, AUSE | ERASE, NULL, 0), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    assert_good(sanitize(rig, ERASE, NULL, 0));
    assert_holds(rig, 0, false);
}

static void a_failure_that_may_be_accepted_can_be(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it makes the store fail");
    dirty(rig);
    store_mem_set_fault(rig->store, "punch", 0, EIO);
    assert_good(sanitize(rig, AUSE | IMMED | ERASE, NULL, 0));
    while (test_unit_ready(rig).key == SENSE_NOT_READY)
        usleep(1000);
    store_mem_set_fault(rig->store, "punch", 0, 0);
    assert_check(read_block(rig), SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
    assert_good(sanitize(rig, EXIT, NULL, 0));
    rig_assert_blocks(rig, 8, 16, 0x11);
}

static void open_lun(struct rig *rig, struct scratch *scratch)
{
    struct errmsg err;

    *rig = (struct rig){.block_size = 512};
    assert_int_equal(volume_open(scratch_path(scratch, "v"), false, &rig->volume, &err), 0);
    rig->blocks = volume_blocks(rig->volume);
    assert_int_equal(lun_open(rig->volume, &rig->lun), 0);
    assert_int_equal(test_unit_ready(rig).key, SENSE_UNIT_ATTENTION);
}

static void one_that_breaks_off_is_not_forgotten(void **state)
{
    struct scratch scratch;
    struct volume *volume;
    struct errmsg err;
    struct rig rig;

    (void)state;
    rig_needs_native("it closes the unit");
    scratch_make(&scratch);
    assert_int_equal(volume_create(scratch_path(&scratch, "v"), 512, 64 << 20, &volume, &err), 0);
    assert_int_equal(volume_close(volume), 0);
    open_lun(&rig, &scratch);
    for (uint64_t lba = 0; lba < rig.blocks; lba += 8192)
        rig_fill(&rig, lba, 8192, 0x11);
    assert_good(overwrite(&rig, IMMED | AUSE, 31, 0x77));
    rig_close(&rig); /* long before the last pass */

    open_lun(&rig, &scratch);
    assert_int_equal(volume_sealed(rig.volume), VOLUME_SEALED_UNRESTRICTED);
    assert_check(read_block(&rig), SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
    assert_good(sanitize(&rig, ERASE, NULL, 0));
    rig_close(&rig);

    open_lun(&rig, &scratch);
    rig_assert_mapped(&rig, 0, (uint32_t)rig.blocks, false);
    rig_close(&rig);
    scratch_remove(&scratch);
}

static void a_description_that_cannot_be_written_lets_none_begin(void **state)
{
    struct scratch scratch;
    struct volume *volume;
    struct errmsg err;
    struct rig rig;

    (void)state;
    rig_needs_native("it takes the description away");
    scratch_make(&scratch);
    assert_int_equal(volume_create(scratch_path(&scratch, "v"), 512, 1 << 20, &volume, &err), 0);
    assert_int_equal(volume_close(volume), 0);
    open_lun(&rig, &scratch);
    rig_fill(&rig, 0, 8, 0x11);
    assert_int_equal(unlink(scratch_path(&scratch, "v.thin")), 0);
    assert_int_equal(sanitize(&rig, ERASE, NULL, 0).key, SENSE_MEDIUM_ERROR);
    rig_assert_blocks(&rig, 0, 8, 0x11);
    rig_close(&rig);
    scratch_remove(&scratch);
}

static void a_read_only_unit_refuses_it(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, 64, 4096, true);
    assert_check(sanitize(&rig, ERASE, NULL, 0), SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(overwriting_leaves_the_pattern_in_every_block_that_has_storage),
        BOTH(what_is_in_storage_that_was_only_reserved_is_overwritten_too),
        BOTH(every_second_pass_is_inverted_if_asked_for),
        BOTH(a_pattern_begins_anew_in_every_block),
        BOTH(erasing_deallocates_every_block),
        BOTH(without_a_failure_there_is_none_to_exit),
        BOTH(wrong_fields_are_refused_and_nothing_sanitized),
        BOTH(while_it_runs_only_those_are_served_that_must_be),
        BOTH(a_failure_stays_until_one_succeeds),
        BOTH(a_failure_that_may_be_accepted_can_be),
        cmocka_unit_test(one_that_breaks_off_is_not_forgotten),
        cmocka_unit_test(a_description_that_cannot_be_written_lets_none_begin),
        cmocka_unit_test(a_read_only_unit_refuses_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
