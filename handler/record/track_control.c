/* SPDX-License-Identifier: Apache-2.0 */
#include "track_control.h"

#include <errno.h>
#include <isa-l/crc.h>
#include <string.h>

#include "byteorder.h"

#define MAGIC          "thintrak"
#define VERSION        1

#define SECTOR_BYTES   512
#define SECTOR_HEADER  16
#define SECTOR_PAYLOAD (SECTOR_BYTES - SECTOR_HEADER)
#define SECTORS        (RECORD_CONTROL_BYTES / SECTOR_BYTES)
#define PAYLOAD_BYTES  (SECTORS * SECTOR_PAYLOAD)

#define AT_SLOTS       256
#define SLOT_BYTES     32
#define AT_POINTS      (AT_SLOTS + RECORD_SLOTS * SLOT_BYTES)
#define POINT_BYTES    96
#define AT_HOT         (AT_POINTS + RECORD_POINTS * POINT_BYTES)
#define END            (AT_HOT + RECORD_MAX_REGIONS / 8)

_Static_assert(END <= PAYLOAD_BYTES, "the control record has room");

static void put_be_id(uint8_t *to, const uint8_t id[RECORD_ID_BYTES])
{
    memcpy(to, id, RECORD_ID_BYTES);
}

static uint32_t checksum(const uint8_t *bytes, size_t length)
{
    return ~crc32_iscsi((unsigned char *)bytes, (int)length, UINT32_MAX);
}

static uint32_t sector_checksum(const uint8_t *sector)
{
    uint8_t copy[SECTOR_BYTES];

    memcpy(copy, sector, sizeof(copy));
    put_be32(copy + 8, 0);
    return checksum(copy, sizeof(copy));
}

static void put_point(uint8_t *to, const struct record_point *point)
{
    put_be_id(to, point->id);
    put_be_id(to + 16, point->consumer);
    put_be_id(to + 32, point->nonce);
    put_be64(to + 48, point->interval);
    put_be64(to + 56, point->bytes);
    put_be64(to + 64, point->mapped_bytes);
    put_be64(to + 72, point->time);
}

static void get_point(const uint8_t *from, struct record_point *ret)
{
    memcpy(ret->id, from, RECORD_ID_BYTES);
    memcpy(ret->consumer, from + 16, RECORD_ID_BYTES);
    memcpy(ret->nonce, from + 32, RECORD_ID_BYTES);
    ret->interval = get_be64(from + 48);
    ret->bytes = get_be64(from + 56);
    ret->mapped_bytes = get_be64(from + 64);
    ret->time = get_be64(from + 72);
}

static void put_identity(uint8_t *to, const struct store_identity *identity)
{
    memcpy(to, identity->boot, sizeof(identity->boot));
    put_be64(to + 16, identity->mount);
    put_be64(to + 24, identity->device);
    put_be64(to + 32, identity->disk_sequence);
    put_be64(to + 40, identity->inode);
    put_be64(to + 48, identity->birth_ns);
    put_be64(to + 56, identity->modified_ns);
    put_be64(to + 64, identity->changed_ns);
}

static void get_identity(const uint8_t *from, struct store_identity *ret)
{
    memcpy(ret->boot, from, sizeof(ret->boot));
    ret->mount = get_be64(from + 16);
    ret->device = get_be64(from + 24);
    ret->disk_sequence = get_be64(from + 32);
    ret->inode = get_be64(from + 40);
    ret->birth_ns = get_be64(from + 48);
    ret->modified_ns = get_be64(from + 56);
    ret->changed_ns = get_be64(from + 64);
}

static void put_payload(uint8_t *to, const struct track_control *control)
{
    memcpy(to, MAGIC, 8);
    put_be32(to + 8, VERSION);
    put_be32(to + 12, control->state);
    put_be64(to + 16, control->sequence);
    put_be_id(to + 24, control->volume);
    put_be_id(to + 40, control->incarnation);
    put_be64(to + 56, control->volume_bytes);
    put_be32(to + 64, control->granule_bytes);
    put_be32(to + 68, control->loss);
    put_be64(to + 72, control->interval);
    put_be64(to + 80, control->flushed);
    put_be64(to + 88, control->since);
    put_be32(to + 168, control->regions);
    put_identity(to + 96, &control->identity);
    for (unsigned i = 0; i < RECORD_SLOTS; i++) {
        uint8_t *slot = to + AT_SLOTS + (size_t)i * SLOT_BYTES;

        put_be64(slot, control->slots[i].from);
        put_be64(slot + 8, control->slots[i].to);
        put_be32(slot + 16, control->slots[i].flags);
        put_be64(slot + 24, control->slots[i].digest);
    }
    for (unsigned i = 0; i < RECORD_POINTS; i++)
        put_point(to + AT_POINTS + (size_t)i * POINT_BYTES, &control->points[i]);
    for (unsigned i = 0; i < RECORD_MAX_REGIONS / 64; i++)
        put_be64(to + AT_HOT + (size_t)i * 8, control->hot[i]);
}

static void get_payload(const uint8_t *from, struct track_control *ret)
{
    ret->state = (enum track_state)get_be32(from + 12);
    ret->sequence = get_be64(from + 16);
    memcpy(ret->volume, from + 24, RECORD_ID_BYTES);
    memcpy(ret->incarnation, from + 40, RECORD_ID_BYTES);
    ret->volume_bytes = get_be64(from + 56);
    ret->granule_bytes = get_be32(from + 64);
    ret->loss = (enum record_loss)get_be32(from + 68);
    ret->interval = get_be64(from + 72);
    ret->flushed = get_be64(from + 80);
    ret->since = get_be64(from + 88);
    ret->regions = get_be32(from + 168);
    get_identity(from + 96, &ret->identity);
    for (unsigned i = 0; i < RECORD_SLOTS; i++) {
        const uint8_t *slot = from + AT_SLOTS + (size_t)i * SLOT_BYTES;

        ret->slots[i] = (struct track_slot){.from = get_be64(slot),
                                            .to = get_be64(slot + 8),
                                            .flags = get_be32(slot + 16),
                                            .digest = get_be64(slot + 24)};
    }
    for (unsigned i = 0; i < RECORD_POINTS; i++)
        get_point(from + AT_POINTS + (size_t)i * POINT_BYTES, &ret->points[i]);
    for (unsigned i = 0; i < RECORD_MAX_REGIONS / 64; i++)
        ret->hot[i] = get_be64(from + AT_HOT + (size_t)i * 8);
}

/* Whether what a sound checksum covers can be worked with. */
static bool makes_sense(const struct track_control *control)
{
    if (control->state > TRACK_LOST || control->loss >= RECORD_LOSS_COUNT ||
        control->volume_bytes == 0 || control->volume_bytes > INT64_MAX ||
        control->granule_bytes != record_granule_bytes(control->volume_bytes) ||
        control->regions > RECORD_MAX_REGIONS ||
        (control->volume_bytes - 1) / control->granule_bytes / RECORD_REGION_GRANULES >=
            control->regions ||
        control->interval == 0 || control->interval >= UINT64_MAX / 2)
        return false;
    for (unsigned i = 0; i < RECORD_SLOTS; i++) {
        const struct track_slot *slot = &control->slots[i];

        if (slot->from > slot->to || slot->to > control->interval + 1 ||
            (slot->from == 0 && slot->to != 0) || slot->flags > TRACK_SUSPECT)
            return false;
    }
    for (unsigned i = 0; i < RECORD_POINTS; i++)
        if (control->points[i].interval > control->interval)
            return false;
    return true;
}

void track_control_encode(const struct track_control *control, uint32_t mark,
                          uint8_t bytes[RECORD_CONTROL_BYTES])
{
    uint8_t payload[PAYLOAD_BYTES] = {0};

    put_payload(payload, control);
    memset(bytes, 0, RECORD_CONTROL_BYTES);
    for (size_t i = 0; i < SECTORS; i++) {
        uint8_t *sector = bytes + i * SECTOR_BYTES;

        put_be64(sector, control->sequence);
        sector[12] = (uint8_t)i;
        put_be24(sector + 13, mark & 0xFFFFFF);
        memcpy(sector + SECTOR_HEADER, payload + i * SECTOR_PAYLOAD, SECTOR_PAYLOAD);
        put_be32(sector + 8, sector_checksum(sector));
    }
}

/* What the sectors are, each by itself. */
static enum track_found examine_sectors(const uint8_t *bytes)
{
    uint64_t newest = 0, oldest = UINT64_MAX;
    bool one_mark = true;

    for (size_t i = 0; i < SECTORS; i++) {
        const uint8_t *sector = bytes + i * SECTOR_BYTES;
        uint64_t sequence = get_be64(sector);

        if (sequence == 0 && get_be64(sector + 8) == 0)
            return TRACK_NOTHING;
        if (get_be32(sector + 8) != sector_checksum(sector) || sector[12] != i)
            return TRACK_ROTTEN;
        one_mark = one_mark && get_be24(sector + 13) == get_be24(bytes + 13);
        newest = sequence > newest ? sequence : newest;
        oldest = sequence < oldest ? sequence : oldest;
    }
    if (newest == oldest)
        return one_mark ? TRACK_VALID : TRACK_TORN;
    /* A copy is written every second time. */
    return newest == oldest + 2 ? TRACK_TORN : TRACK_ROTTEN;
}

enum track_found track_control_decode(const uint8_t bytes[RECORD_CONTROL_BYTES],
                                      struct track_control *ret)
{
    enum track_found found = examine_sectors(bytes);
    uint8_t payload[PAYLOAD_BYTES];

    if (found != TRACK_VALID)
        return found;
    for (size_t i = 0; i < SECTORS; i++)
        memcpy(payload + i * SECTOR_PAYLOAD, bytes + i * SECTOR_BYTES + SECTOR_HEADER,
               SECTOR_PAYLOAD);
    if (memcmp(payload, MAGIC, 8) != 0 || get_be32(payload + 8) != VERSION)
        return TRACK_ROTTEN;
    get_payload(payload, ret);
    if (ret->sequence != get_be64(bytes) || !makes_sense(ret))
        return TRACK_ROTTEN;
    return TRACK_VALID;
}

int track_control_choose(const uint8_t bytes[2 * RECORD_CONTROL_BYTES], struct track_control *ret)
{
    struct track_control copies[2];
    enum track_found found[2];

    for (int i = 0; i < 2; i++)
        found[i] = track_control_decode(bytes + (size_t)i * RECORD_CONTROL_BYTES, &copies[i]);
    if (found[0] == TRACK_NOTHING || found[1] == TRACK_NOTHING) /* it was being begun */
        return -ENODATA;
    if (found[0] == TRACK_VALID && found[1] == TRACK_VALID) {
        int newer = copies[1].sequence > copies[0].sequence;

        /* One follows the other, or one of them has been lost. */
        if (copies[newer].sequence != copies[!newer].sequence + 1)
            return -EBADMSG;
        *ret = copies[newer];
        return newer;
    }
    for (int i = 0; i < 2; i++) {
        if (found[i] == TRACK_VALID && found[!i] == TRACK_TORN) {
            *ret = copies[i];
            return i;
        }
    }
    return -EBADMSG;
}

uint32_t track_region_checksum(const uint8_t bytes[RECORD_REGION_BYTES])
{
    static const uint8_t zeros[RECORD_REGION_BYTES];

    return checksum(bytes, RECORD_REGION_BYTES) ^ checksum(zeros, RECORD_REGION_BYTES);
}

uint64_t track_digest_part(uint64_t region, uint32_t checksum_of_region)
{
    uint64_t x = region << 32 | checksum_of_region;

    if (checksum_of_region == 0)
        return 0;
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}
