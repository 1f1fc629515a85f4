/* SPDX-License-Identifier: Apache-2.0 */

/* The change record over SCSI when it is lost, when the machine has crashed, and when several
 * initiators begin it at once. */

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "crc32c.h"
#include "track_rig.h"

/* With so little room for files no bitmap can be begun: control records lie below. */
#define ONLY_CONTROL_BYTES (UINT64_C(16) << 20)

static void lose(struct rig *rig)
{
    const struct rlimit little = {ONLY_CONTROL_BYTES, RLIM_INFINITY};
    const struct rlimit enough = {RLIM_INFINITY, RLIM_INFINITY};

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    fill(rig, 3, 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &enough), 0);
}

static void a_lost_record_says_so_and_a_cut_begins_it_anew(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[HEADER + 2 * RANGE], before[16];
    uint64_t lost = cut(rig, 1, 1), id;

    assert_good(ask(rig, STATUS, 0, HEADER, reply));
    memcpy(before, reply + 48, sizeof(before));
    lose(rig);
    assert_check(changed(rig, lost, 0, HEADER, reply), SENSE_ILLEGAL_REQUEST, LOST);
    assert_check(ask(rig, FORGET, lost, HEADER, reply), SENSE_ILLEGAL_REQUEST, LOST);
    assert_check(ask(rig, RELEASE, lost, HEADER, reply), SENSE_ILLEGAL_REQUEST, LOST);
    assert_good(ask(rig, STATUS, 0, HEADER, reply));
    assert_int_equal(get_be32(reply + 12), 0);
    assert_int_equal(get_be32(reply + 44), 0x02000840); /* its file cannot be written */
    id = cut(rig, 1, 1);
    assert_int_not_equal(id, lost);
    assert_check(changed(rig, lost, 0, HEADER, reply), SENSE_ILLEGAL_REQUEST, NO_POINT);
    fill(rig, 40, 2);
    assert_good(changed(rig, id, 0, sizeof(reply), reply));
    assert_int_equal(get_be32(reply + 12), 1);
    assert_range(rig, reply, 0, 40, 2);
    assert_good(ask(rig, STATUS, 0, HEADER, reply));
    assert_int_equal(get_be32(reply + 12), 1);
    assert_int_equal(get_be32(reply + 44), 0x01000140);
    assert_memory_not_equal(reply + 48, before, sizeof(before));
}

static void what_was_begun_anew_is_there_when_the_unit_is_opened_again(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[HEADER + 2 * RANGE];
    uint64_t id;

    cut(rig, 1, 1);
    lose(rig);
    id = cut(rig, 1, 2);
    fill(rig, 9, 1);
    lun_close(rig->lun);
    open_volume(rig);
    open_unit(rig);
    assert_good(changed(rig, id, 0, sizeof(reply), reply));
    assert_int_equal(get_be32(reply + 12), 1);
    assert_range(rig, reply, 0, 9, 1);
}

/* The unit as it is opened after the machine has crashed: both control records are as they are
 * while it is open, but name another boot (byte 96 of the payload, which begins at byte 16). */
static void crash(struct rig *rig)
{
    enum { COPY_BYTES = 16384, SECTOR = 512, BOOT = 16 + 96 };
    int fd = open(scratch_path(&scratch, "v.track"), O_RDWR | O_CLOEXEC);
    static uint8_t copies[2 * COPY_BYTES];

    assert_int_equal(pread(fd, copies, sizeof(copies), 0), sizeof(copies));
    for (uint8_t *sector = copies; sector < copies + sizeof(copies); sector += COPY_BYTES) {
        sector[BOOT] ^= 1;
        put_be32(sector + 8, 0);
        put_be32(sector + 8, crc32c(sector, SECTOR));
    }
    lun_close(rig->lun);
    assert_int_equal(pwrite(fd, copies, sizeof(copies), 0), sizeof(copies));
    close(fd);
    open_volume(rig);
    open_unit(rig);
}

static void after_a_crash_of_the_machine_the_regions_written_to_are_suspect(void **state)
{
    struct rig *rig = *state;
    uint32_t each = GRANULE / rig->block_size;
    uint8_t reply[HEADER + 4 * RANGE];
    uint64_t id = cut(rig, 1, 1);

    fill(rig, 4096, 2); /* the second region */
    crash(rig);
    assert_good(changed(rig, id, 0, sizeof(reply), reply));
    assert_int_equal(get_be32(reply + 12), 2);
    assert_range(rig, reply, 0, 4096, 2);
    assert_int_equal(get_be64(reply + HEADER + RANGE), 4098 * each);
    assert_int_equal(get_be32(reply + HEADER + RANGE + 8), 4094 * each);
    assert_int_equal(get_be32(reply + HEADER + RANGE + 12), 0x02000000);
    id = cut(rig, 1, 2); /* nothing is suspect since then */
    assert_good(changed(rig, id, 0, sizeof(reply), reply));
    assert_int_equal(get_be32(reply + 12), 0);
}

struct first_cut {
    struct rig *rig;
    uint32_t consumer;
    uint8_t id[VOLUME_POINT_ID_BYTES];
};

static void *cut_first(void *opaque)
{
    struct first_cut *first = opaque;
    const uint8_t consumer[VOLUME_POINT_ID_BYTES] = {[15] = (uint8_t)first->consumer};
    const uint8_t nonce[VOLUME_POINT_ID_BYTES] = {[15] = 1};
    struct volume_point point;

    if (volume_cut_for(first->rig->volume, consumer, nonce, &point, NULL))
        return opaque;
    memcpy(first->id, point.id, sizeof(first->id));
    return NULL;
}

static void first_cuts_at_once_give_a_point_each(void **state)
{
    struct first_cut cuts[4];
    struct volume_track_status status;
    pthread_t threads[4];

    for (uint32_t i = 0; i < 4; i++) {
        cuts[i] = (struct first_cut){.rig = *state, .consumer = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, cut_first, &cuts[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *failed;

        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    volume_track_status(cuts[0].rig->volume, &status);
    assert_int_equal(status.point_count, 4);
    for (int i = 0; i < 4; i++) {
        uint8_t consumer = status.points[i].consumer[15];

        assert_in_range(consumer, 1, 4);
        assert_memory_equal(status.points[i].id, cuts[consumer - 1].id, VOLUME_POINT_ID_BYTES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_SIZES(a_lost_record_says_so_and_a_cut_begins_it_anew),
        BOTH_SIZES(what_was_begun_anew_is_there_when_the_unit_is_opened_again),
        BOTH_SIZES(after_a_crash_of_the_machine_the_regions_written_to_are_suspect),
        BOTH_SIZES(first_cuts_at_once_give_a_point_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
