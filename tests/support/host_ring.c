/* SPDX-License-Identifier: Apache-2.0 */
#include "host_ring.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <linux/target_core_user.h>

/* The last place of each round is padding. */
#define PLACES 512

struct place {
    struct tcmu_cmd_entry entry;
    uint8_t cdb[HOST_RING_CDB_BYTES];
};

struct host_ring {
    struct tcmu_mailbox mailbox;
    struct place places[PLACES];
    uint32_t cleaned; /* what the kernel has seen the responses of */
    uint16_t last_id;
};

_Static_assert(sizeof(struct place) % TCMU_OP_ALIGN_SIZE == 0, "a place's length has room for op");
_Static_assert(sizeof(((struct tcmu_cmd_entry *)0)->rsp.sense_buffer) == HOST_RING_SENSE_BYTES,
               "sense data are of one size");

struct host_ring *host_ring_create(void)
{
    struct host_ring *ring = aligned_alloc(ALIGN_SIZE, sizeof(*ring));

    if (!ring)
        abort();
    *ring = (struct host_ring){
        .mailbox = {.version = TCMU_MAILBOX_VERSION,
                    .flags = TCMU_MAILBOX_FLAG_CAP_READ_LEN,
                    .cmdr_off = offsetof(struct host_ring, places),
                    .cmdr_size = sizeof(ring->places)},
    };
    for (size_t i = 0; i < PLACES; i++)
        ring->places[i].entry.hdr.len_op =
            sizeof(struct place) | (i + 1 < PLACES ? TCMU_OP_CMD : TCMU_OP_PAD);
    return ring;
}

/* The place behind the one at the offset at. */
static uint32_t behind(uint32_t at)
{
    return (uint32_t)((at + sizeof(struct place)) % (PLACES * sizeof(struct place)));
}

static struct place *place_at(struct host_ring *ring, uint32_t at)
{
    return &ring->places[at / sizeof(struct place)];
}

/* at, or what follows when that is padding. */
static uint32_t behind_padding(struct host_ring *ring, uint32_t at)
{
    return tcmu_hdr_get_op(place_at(ring, at)->entry.hdr.len_op) == TCMU_OP_PAD ? behind(at) : at;
}

uint32_t host_ring_behind(struct host_ring *ring, uint32_t position)
{
    return behind(behind_padding(ring, position));
}

uint16_t host_ring_put(struct host_ring *ring, const uint8_t cdb[static HOST_RING_CDB_BYTES])
{
    uint32_t at = behind_padding(ring, ring->mailbox.cmd_head);
    struct place *place = place_at(ring, at);

    if (behind(at) == ring->cleaned)
        abort();
    place->entry.hdr.uflags = 0;
    place->entry.hdr.cmd_id = ++ring->last_id;
    place->entry.req.cdb_off = (uint64_t)((char *)place->cdb - (char *)ring);
    memcpy(place->cdb, cdb, sizeof(place->cdb));
    __atomic_store_n(&ring->mailbox.cmd_head, behind(at), __ATOMIC_RELEASE);
    return ring->last_id;
}

void host_ring_respond(struct host_ring *ring, uint16_t cmd_id, uint8_t scsi_status,
                       const uint8_t *sense)
{
    uint32_t at = behind_padding(ring, ring->mailbox.cmd_tail);
    struct tcmu_cmd_entry *entry = &place_at(ring, at)->entry;

    if (ring->mailbox.cmd_tail == ring->mailbox.cmd_head)
        abort();
    entry->hdr.cmd_id = cmd_id;
    entry->rsp.scsi_status = scsi_status;
    if (sense)
        memcpy(entry->rsp.sense_buffer, sense, sizeof(entry->rsp.sense_buffer));
    __atomic_store_n(&ring->mailbox.cmd_tail, behind(at), __ATOMIC_RELEASE);
}

bool host_ring_take(struct host_ring *ring, struct host_response *ret)
{
    uint32_t tail = __atomic_load_n(&ring->mailbox.cmd_tail, __ATOMIC_ACQUIRE);
    const struct tcmu_cmd_entry *entry;

    if (ring->cleaned == tail)
        return false;
    ring->cleaned = behind_padding(ring, ring->cleaned);
    entry = &place_at(ring, ring->cleaned)->entry;
    *ret =
        (struct host_response){.cmd_id = entry->hdr.cmd_id, .scsi_status = entry->rsp.scsi_status};
    memcpy(ret->sense, entry->rsp.sense_buffer, sizeof(ret->sense));
    if (entry->hdr.uflags & TCMU_UFLAG_READ_LEN)
        ret->read_bytes = entry->rsp.read_len;
    ring->cleaned = behind(ring->cleaned);
    return true;
}

unsigned host_ring_unanswered(struct host_ring *ring)
{
    uint32_t at = __atomic_load_n(&ring->mailbox.cmd_tail, __ATOMIC_ACQUIRE);
    unsigned count = 0;

    for (; at != ring->mailbox.cmd_head; at = behind(at))
        count += tcmu_hdr_get_op(place_at(ring, at)->entry.hdr.len_op) == TCMU_OP_CMD;
    return count;
}
