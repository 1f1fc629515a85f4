/* SPDX-License-Identifier: Apache-2.0 */

/* The change record by itself: what it tells, whom it believes, and what happens when its medium
 * fails. tests/model has the orders and the power cuts. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "log.h"
#include "model_medium.h"
#include "record.h"
#include "record_layout.h"
#include "track_control.h"

#define MIB   (UINT64_C(1) << 20)
#define BYTES (256 * MIB)

struct rig {
    struct record_medium *medium;
    struct record_subject subject;
    struct record *record;
    uint8_t start[RECORD_ID_BYTES]; /* the point it began with */
};

static unsigned zero(unsigned n)
{
    (void)n;
    return 0;
}

static void nothing(void)
{
}

static void say_nothing(enum log_level level, const char *message)
{
    (void)level;
    (void)message;
}

static void remember_start(struct rig *rig)
{
    struct record_status status;

    record_get_status(rig->record, &status);
    assert_int_equal(status.lost, RECORD_KEPT);
    assert_int_equal(status.point_count, 1);
    memcpy(rig->start, status.points[0].id, RECORD_ID_BYTES);
}

static void begin(struct rig *rig, uint64_t bytes)
{
    *rig = (struct rig){.medium = model_medium_create(zero, nothing),
                        .subject = {.bytes = bytes, .name = "v"}};
    rig->subject.identity = (struct store_identity){
        .boot = {1}, .mount = 2, .inode = 3, .birth_ns = 4, .modified_ns = 5, .changed_ns = 6};
    rig->subject.volume[0] = 7;
    assert_int_equal(record_create(rig->medium, &rig->subject, &rig->record), 0);
    remember_start(rig);
}

static int setup(void **state)
{
    struct rig *rig = malloc(sizeof(*rig));

    assert_non_null(rig);
    log_set_sink(say_nothing);
    begin(rig, BYTES);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    record_close(rig->record, NULL);
    free(rig);
    return 0;
}

static void change(struct rig *rig, uint64_t offset, uint64_t length)
{
    struct record_change change;

    assert_int_equal(record_begin(rig->record, offset, length, true, &change), 0);
    record_end(&change);
}

/* "4096+8192 65536+4096?" */
static int add_text(uint64_t offset, uint64_t length, bool suspect, void *context)
{
    char *text = context;

    sprintf(text + strlen(text), "%s%llu+%llu%s", text[0] ? " " : "", (unsigned long long)offset,
            (unsigned long long)length, suspect ? "?" : "");
    return 0;
}

static void assert_changed(struct rig *rig, const uint8_t *since, const char *expected)
{
    char text[4096] = "";

    assert_int_equal(record_changed(rig->record, since, add_text, text), 0);
    assert_string_equal(text, expected);
}

static void cut(struct rig *rig, uint8_t nonce, struct record_point *ret)
{
    const uint8_t consumer[RECORD_ID_BYTES] = {1};
    uint8_t bytes[RECORD_ID_BYTES] = {nonce};

    assert_int_equal(record_cut(rig->record, consumer, bytes, 42, ret), 0);
}

/* The process is killed, or the power cut, and the record is opened again. */
static void open_again(struct rig *rig, bool power_cut)
{
    struct record_medium *after = model_medium_after(rig->medium, power_cut);

    record_close(rig->record, NULL);
    rig->medium = after;
    assert_int_equal(record_open(after, &rig->subject, &rig->record), 0);
}

static void it_tells_what_changed_in_whole_granules(void **state)
{
    struct rig *rig = *state;

    assert_changed(rig, rig->start, "");
    change(rig, 8192, 512);
    assert_changed(rig, rig->start, "8192+4096");
    change(rig, 4095, 2);
    assert_changed(rig, rig->start, "0+12288");
    change(rig, BYTES - 512, 512);
    change(rig, 64 * 4096, 64 * 4096);
    assert_changed(rig, rig->start, "0+12288 262144+262144 268431360+4096");
    change(rig, 0, 0);
    change(rig, BYTES, 4096);
    change(rig, BYTES - 4096, UINT64_MAX - 100);
    assert_changed(rig, rig->start, "0+12288 262144+262144 268431360+4096");
}

static void all_of_a_volume_that_ends_within_a_granule_changes(void **state)
{
    struct rig *rig = *state;

    record_close(rig->record, NULL);
    begin(rig, 1 * MIB + 512);
    change(rig, 0, 1 * MIB + 512);
    assert_changed(rig, rig->start, "0+1049088");
}

static void a_point_parts_what_is_before_from_what_is_after(void **state)
{
    struct rig *rig = *state;
    struct record_point first, second, again;

    change(rig, 0, 4096);
    cut(rig, 1, &first);
    assert_int_equal(first.bytes, BYTES);
    assert_int_equal(first.mapped_bytes, 42);
    assert_changed(rig, first.id, "");
    change(rig, 8192, 4096);
    cut(rig, 2, &second);
    change(rig, 16384, 4096);
    assert_changed(rig, rig->start, "0+4096 8192+4096 16384+4096");
    assert_changed(rig, first.id, "8192+4096 16384+4096");
    assert_changed(rig, second.id, "16384+4096");
    cut(rig, 1, &again);
    assert_memory_equal(again.id, first.id, RECORD_ID_BYTES);
    assert_int_equal(record_forget(rig->record, first.id), 0);
    assert_int_equal(record_forget(rig->record, first.id), -ENOENT);
    assert_int_equal(record_changed(rig->record, first.id, add_text, NULL), -ENOENT);
    assert_changed(rig, rig->start, "0+4096 8192+4096 16384+4096");
    assert_changed(rig, second.id, "16384+4096");
}

static void there_are_so_many_points_and_bitmaps_come_back(void **state)
{
    struct rig *rig = *state;
    struct record_point points[RECORD_POINTS], one;
    const uint8_t consumer[RECORD_ID_BYTES] = {1}, nonce[RECORD_ID_BYTES] = {200};

    for (unsigned i = 1; i < RECORD_POINTS; i++) {
        change(rig, i * 4096, 4096);
        cut(rig, (uint8_t)i, &points[i]);
    }
    assert_int_equal(record_cut(rig->record, consumer, nonce, 0, &one), -ENOSPC);
    for (unsigned i = 1; i < RECORD_POINTS - 1; i++) {
        record_flushed(rig->record, record_flush_begins(rig->record));
        assert_int_equal(record_forget(rig->record, points[i].id), 0);
    }
    assert_changed(rig, points[RECORD_POINTS - 1].id, "");
    /* As often as there are bitmaps, several times over: forgetting gives them back. */
    for (unsigned i = 0; i < 150; i++) {
        change(rig, (i % 60) * MIB, 4096);
        cut(rig, (uint8_t)(60 + i % 30), &one);
        assert_int_equal(record_forget(rig->record, one.id), 0);
    }
    assert_int_equal(record_forget(rig->record, rig->start), 0);
}

static void a_killed_process_leaves_it_exact(void **state)
{
    struct rig *rig = *state;

    change(rig, 4096, 4096);
    open_again(rig, false);
    assert_changed(rig, rig->start, "4096+4096");
    change(rig, 12288, 4096);
    open_again(rig, false);
    assert_changed(rig, rig->start, "4096+4096 12288+4096");
}

static void after_a_crash_what_was_hot_is_suspect(void **state)
{
    struct rig *rig = *state;

    change(rig, 4096, 4096);
    record_cool(rig->record); /* has been written to */
    record_cool(rig->record);
    change(rig, 100 * MIB, 4096);
    rig->subject.identity.boot[0]++;
    open_again(rig, true);
    /* A region is 16 MiB; the power cut has left nothing that was not durable. */
    assert_changed(rig, rig->start, "4096+4096 100663296+16777216?");
    open_again(rig, false);
    assert_changed(rig, rig->start, "4096+4096 100663296+16777216?");
}

static void assert_begins_anew(struct rig *rig, enum record_loss why)
{
    struct record_status status;

    record_get_status(rig->record, &status);
    assert_int_equal(status.lost, RECORD_KEPT);
    assert_int_equal(status.begun, why);
    assert_int_equal(record_changed(rig->record, rig->start, add_text, NULL), -ENOENT);
    remember_start(rig);
    assert_changed(rig, rig->start, "");
}

static void another_volume_file_or_size_is_not_believed(void **state)
{
    struct rig *rig = *state;

    rig->subject.volume[0]++;
    open_again(rig, false);
    assert_begins_anew(rig, RECORD_OF_OTHER);
    rig->subject.identity.inode++;
    open_again(rig, false);
    assert_begins_anew(rig, RECORD_OF_OTHER);
    rig->subject.identity.birth_ns++;
    open_again(rig, false);
    assert_begins_anew(rig, RECORD_OF_OTHER);
    rig->subject.bytes += 4096;
    open_again(rig, false);
    assert_begins_anew(rig, RECORD_RESIZED);
}

static void every_byte_of_the_control_records_is_missed(void **state)
{
    struct rig *rig = *state;
    uint8_t *bytes;

    change(rig, 4096, 4096);
    for (unsigned at = 0; at < 2 * RECORD_CONTROL_BYTES; at += 331) {
        struct record_medium *after = model_medium_after(rig->medium, false);
        struct record_status status;
        struct record *record;

        bytes = model_medium_bytes(after);
        bytes[at] ^= 0x10;
        assert_int_equal(record_open(after, &rig->subject, &record), 0);
        record_get_status(record, &status);
        assert_int_equal(status.begun, RECORD_DAMAGED);
        record_close(record, NULL);
    }
}

static void a_bit_that_is_lost_where_it_is_cool_is_missed(void **state)
{
    struct rig *rig = *state;
    uint8_t *bytes;

    change(rig, 4096, 4096);
    record_cool(rig->record);
    record_cool(rig->record);
    bytes = model_medium_bytes(rig->medium) + record_bits_offset(0);
    assert_int_equal(bytes[0], 2);
    bytes[0] = 0;
    open_again(rig, false);
    assert_begins_anew(rig, RECORD_DAMAGED);
}

static void a_checksum_that_is_lost_with_its_bits_is_missed(void **state)
{
    struct rig *rig = *state;
    uint8_t *bytes = model_medium_bytes(rig->medium);

    change(rig, 4096, 4096);
    record_cool(rig->record);
    record_cool(rig->record);
    bytes[record_bits_offset(0)] = 0;
    assert_int_not_equal(bytes[record_table_offset(0)] | bytes[record_table_offset(0) + 3], 0);
    memset(bytes + record_table_offset(0), 0, 4);
    open_again(rig, false);
    assert_begins_anew(rig, RECORD_DAMAGED);
}

static void assert_lost(struct rig *rig, enum record_loss why)
{
    struct record_status status;
    struct record_point point;
    const uint8_t consumer[RECORD_ID_BYTES] = {1};

    record_get_status(rig->record, &status);
    assert_int_equal(status.lost, why);
    assert_int_equal(record_changed(rig->record, rig->start, add_text, NULL), -ESTALE);
    assert_int_equal(record_cut(rig->record, consumer, consumer, 0, &point), -ESTALE);
    assert_int_equal(record_forget(rig->record, rig->start), -ESTALE);
}

static void a_full_disk_loses_the_record_and_no_change(void **state)
{
    struct rig *rig = *state;
    struct record_change change_begun;

    model_medium_fail_hold(rig->medium, -ENOSPC);
    assert_int_equal(record_begin(rig->record, 0, 4096, false, &change_begun), -EAGAIN);
    assert_int_equal(record_begin(rig->record, 0, 4096, true, &change_begun), 0);
    record_end(&change_begun);
    assert_lost(rig, RECORD_NO_SPACE);
    change(rig, 8192, 4096);
    open_again(rig, true); /* that it is lost is durable */
    assert_begins_anew(rig, RECORD_NO_SPACE);
}

static void a_medium_that_fails_loses_the_record(void **state)
{
    struct rig *rig = *state;

    model_medium_fail(rig->medium, 1, -EIO); /* the write succeeds, making it durable fails */
    change(rig, 0, 4096);
    assert_lost(rig, RECORD_IO_ERROR);
    assert_true(model_medium_removed(rig->medium)); /* as that could not be written either */
}

/* Wherever that breaks off: no change is marked, so that what was written already must go. */
static void a_record_that_cannot_begin_anew_is_not_there(void **state)
{
    struct rig *rig = *state;
    unsigned after = 0;

    for (;; after++) {
        teardown(state);
        setup(state);
        rig = *state;
        record_sanitize(rig->record);
        model_medium_fail(rig->medium, after, -EIO);
        if (record_restart(rig->record, RECORD_SANITIZED) == 0)
            break;
        assert_lost(rig, RECORD_SANITIZED);
        assert_true(model_medium_removed(rig->medium));
    }
    assert_true(after > 4); /* what was there goes, and both control records are written */
    model_medium_fail(rig->medium, 0, 0);
}

static void a_lost_record_begins_anew(void **state)
{
    struct rig *rig = *state;

    change(rig, 0, 4096);
    record_sanitize(rig->record);
    assert_lost(rig, RECORD_SANITIZED);
    assert_int_equal(record_restart(rig->record, RECORD_SANITIZED), 0);
    assert_begins_anew(rig, RECORD_SANITIZED);
    change(rig, 8192, 4096);
    assert_changed(rig, rig->start, "8192+4096");
}

static void nothing_is_left_when_the_volume_is_sanitized(void **state)
{
    struct rig *rig = *state;
    const uint8_t *bytes = model_medium_bytes(rig->medium);

    change(rig, 0, 200 * MIB);
    record_cool(rig->record);
    record_cool(rig->record);
    record_sanitize(rig->record);
    for (uint64_t at = 0; at < RECORD_BITS_OFFSET + RECORD_PAGE_BYTES; at++)
        assert_int_equal(bytes[at], 0);
}

static void what_is_cut_off_and_what_is_added_has_changed(void **state)
{
    struct rig *rig = *state;
    struct record_change shrinks;
    struct record_point point;

    cut(rig, 1, &point);
    assert_int_equal(record_begin(rig->record, BYTES / 2, BYTES / 2, true, &shrinks), 0);
    record_end(&shrinks);
    record_resized(rig->record, BYTES / 2);
    assert_changed(rig, point.id, "");
    record_cool(rig->record);
    record_cool(rig->record);
    rig->subject.bytes = BYTES / 2;
    open_again(rig, false);
    assert_changed(rig, point.id, "");
    record_resized(rig->record, 3 * BYTES);
    assert_changed(rig, point.id, "134217728+671088640");
    rig->subject.bytes = 3 * BYTES;
    open_again(rig, false);
    assert_changed(rig, point.id, "134217728+671088640");
}

static void a_size_that_needs_other_granules_begins_anew(void **state)
{
    struct rig *rig = *state;

    record_resized(rig->record, 2 * MIB * MIB);
    assert_begins_anew(rig, RECORD_RESIZED);
    change(rig, 2 * MIB * MIB - 512, 512);
    assert_changed(rig, rig->start, "2199023247360+8192");
}

static void a_look_tells_the_same_and_changes_nothing(void **state)
{
    struct rig *rig = *state;
    struct record_medium *copy;
    struct record *look;
    char text[256] = "";

    change(rig, 4096, 4096);
    copy = model_medium_after(rig->medium, false);
    assert_int_equal(record_look(copy, &rig->subject, &look), 0);
    assert_int_equal(record_changed(look, rig->start, add_text, text), 0);
    assert_string_equal(text, "4096+4096");
    record_close(look, &rig->subject.identity);
    /* After a crash it counts what was hot as suspect, before anyone has opened it. */
    rig->subject.identity.boot[0]++;
    copy = model_medium_after(rig->medium, false);
    assert_int_equal(record_look(copy, &rig->subject, &look), 0);
    text[0] = '\0';
    assert_int_equal(record_changed(look, rig->start, add_text, text), 0);
    assert_string_equal(text, "0+4096? 4096+4096 8192+16769024?");
    record_close(look, NULL);
}

static void it_takes_so_many_changes_at_once_and_then_waits(void **state)
{
    struct rig *rig = *state;
    struct record_change changes[64], one;

    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(record_begin(rig->record, 0, 512, true, &changes[i]), 0);
    assert_int_equal(record_begin(rig->record, 0, 512, false, &one), -EAGAIN);
    for (unsigned i = 0; i < 64; i++)
        record_end(&changes[i]);
    assert_int_equal(record_begin(rig->record, 0, 512, false, &one), 0);
    record_end(&one);
}

static void a_change_that_may_not_wait_is_not_announced(void **state)
{
    struct rig *rig = *state;
    struct record_change one;

    assert_int_equal(record_begin(rig->record, 0, 512, false, &one), -EAGAIN);
    assert_null(one.record);
    assert_changed(rig, rig->start, "");
    change(rig, 0, 512);
    assert_int_equal(record_begin(rig->record, 4096, 512, false, &one), 0);
    record_end(&one);
}

#define RECORD_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORD_TEST(it_tells_what_changed_in_whole_granules),
        RECORD_TEST(all_of_a_volume_that_ends_within_a_granule_changes),
        RECORD_TEST(a_point_parts_what_is_before_from_what_is_after),
        RECORD_TEST(there_are_so_many_points_and_bitmaps_come_back),
        RECORD_TEST(a_killed_process_leaves_it_exact),
        RECORD_TEST(after_a_crash_what_was_hot_is_suspect),
        RECORD_TEST(another_volume_file_or_size_is_not_believed),
        RECORD_TEST(every_byte_of_the_control_records_is_missed),
        RECORD_TEST(a_bit_that_is_lost_where_it_is_cool_is_missed),
        RECORD_TEST(a_checksum_that_is_lost_with_its_bits_is_missed),
        RECORD_TEST(a_full_disk_loses_the_record_and_no_change),
        RECORD_TEST(a_medium_that_fails_loses_the_record),
        RECORD_TEST(a_record_that_cannot_begin_anew_is_not_there),
        RECORD_TEST(a_lost_record_begins_anew),
        RECORD_TEST(nothing_is_left_when_the_volume_is_sanitized),
        RECORD_TEST(what_is_cut_off_and_what_is_added_has_changed),
        RECORD_TEST(a_size_that_needs_other_granules_begins_anew),
        RECORD_TEST(a_look_tells_the_same_and_changes_nothing),
        RECORD_TEST(it_takes_so_many_changes_at_once_and_then_waits),
        RECORD_TEST(a_change_that_may_not_wait_is_not_announced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
