/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TESTS_TRACK_RIG_H
#define THINMIRROR_TESTS_TRACK_RIG_H

/* A logical unit over a volume in a file, of whose change record is asked. Only native. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "scratch.h"
#include "scsi_rig.h"
#include "volume_track.h"

#define LUN_BYTES (UINT64_C(64) << 20)
#define GRANULE   4096
#define HEADER    96
#define POINT     64
#define RANGE     16

enum { STATUS, CUT, CHANGED, FORGET, RELEASE, NO_FUNCTION };

#define NOT_THERE       0x8001
#define REFUSED         0x8002
#define LOST            0x8003
#define NO_POINT        0x8004
#define TOO_MANY_POINTS 0x8005

static struct scratch scratch;

static inline void open_volume(struct rig *rig)
{
    struct errmsg err;

    memset(rig, 0, sizeof(*rig));
    if (volume_open(scratch_path(&scratch, "v"), false, &rig->volume, &err))
        fail_msg("%s", err.text);
    rig->block_size = volume_block_size(rig->volume);
    rig->blocks = volume_bytes(rig->volume) / rig->block_size;
}

static inline void open_unit(struct rig *rig)
{
    assert_int_equal(lun_open(rig->volume, &rig->lun), 0);
    rig_take_attentions(rig);
}

static inline int set_up(void **state, uint32_t block_size)
{
    static struct rig rig;
    struct volume *volume;
    struct errmsg err;

    if (!rig_is_native())
        return -1;
    scratch_make(&scratch);
    if (volume_create(scratch_path(&scratch, "v"), block_size, LUN_BYTES, &volume, &err) ||
        volume_close(volume))
        return -1;
    open_volume(&rig);
    open_unit(&rig);
    *state = &rig;
    return 0;
}

static inline int set_up_512(void **state)
{
    return set_up(state, 512);
}

static inline int set_up_4096(void **state)
{
    return set_up(state, 4096);
}

static inline int tear_down(void **state)
{
    struct rig *rig = *state;

    lun_close(rig->lun);
    scratch_remove(&scratch);
    return 0;
}

static inline struct answer ask(struct rig *rig, uint8_t function, uint64_t argument,
                                uint32_t length, uint8_t *reply)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {0x9B, 0x01};

    put_be64(cdb + 2, argument);
    put_be32(cdb + 10, length);
    cdb[14] = function;
    return rig_command_in(rig, cdb, reply, length);
}

static inline uint64_t pair(uint32_t high, uint32_t low)
{
    return (uint64_t)high << 32 | low;
}

/* The id's first bytes. */
static inline uint64_t cut(struct rig *rig, uint32_t consumer, uint32_t nonce)
{
    uint8_t reply[HEADER + POINT];

    assert_good(ask(rig, CUT, pair(consumer, nonce), sizeof(reply), reply));
    return get_be64(reply + HEADER);
}

static inline uint32_t count_of(struct rig *rig)
{
    uint8_t reply[HEADER];

    assert_good(ask(rig, STATUS, 0, sizeof(reply), reply));
    return get_be32(reply + 12);
}

/* What changed since the point, from a granule on. */
static inline struct answer changed(struct rig *rig, uint64_t id, uint32_t granule, uint32_t length,
                                    uint8_t *reply)
{
    return ask(rig, CHANGED, pair((uint32_t)(id >> 32), granule), length, reply);
}

static inline void assert_range(const struct rig *rig, const uint8_t *reply, unsigned index,
                                uint64_t granule, uint64_t granules)
{
    const uint8_t *range = reply + HEADER + index * RANGE;
    uint32_t each = GRANULE / rig->block_size;

    assert_int_equal(get_be64(range), granule * each);
    assert_int_equal(get_be32(range + 8), granules * each);
    assert_int_equal(get_be32(range + 12), 0x01000000);
}

static inline void fill(struct rig *rig, uint64_t granule, uint32_t granules)
{
    uint32_t each = GRANULE / rig->block_size;

    rig_fill(rig, granule * each, granules * each, 0x5A);
}

#define BOTH_SIZES(test)                                   \
    {"512: " #test, test, set_up_512, tear_down, NULL},    \
    {                                                      \
        "4096: " #test, test, set_up_4096, tear_down, NULL \
    }

#endif
