/* SPDX-License-Identifier: Apache-2.0 */
#include "host_ring.h"

#include <stddef.h>
#include <stdlib.h>

#include <linux/target_core_user.h>

/* The last place of each round is padding. */
#define PLACES 512

struct host_ring {
    struct tcmu_mailbox mailbox;
    struct tcmu_cmd_entry entries[PLACES];
};

struct host_ring *host_ring_create(void)
{
    struct host_ring *ring = aligned_alloc(ALIGN_SIZE, sizeof(*ring));

    if (!ring)
        abort();
    *ring = (struct host_ring){
        .mailbox = {.version = TCMU_MAILBOX_VERSION,
                    .flags = TCMU_MAILBOX_FLAG_CAP_READ_LEN,
                    .cmdr_off = offsetof(struct host_ring, entries),
                    .cmdr_size = sizeof(ring->entries)},
    };
    for (size_t i = 0; i < PLACES; i++)
        ring->entries[i].hdr.len_op =
            sizeof(ring->entries[i]) | (i + 1 < PLACES ? TCMU_OP_CMD : TCMU_OP_PAD);
    return ring;
}

/* The place behind the one at the offset at. */
static uint32_t behind(uint32_t at)
{
    return (uint32_t)((at + sizeof(struct tcmu_cmd_entry)) %
                      (PLACES * sizeof(struct tcmu_cmd_entry)));
}

static struct tcmu_cmd_entry *entry_at(struct host_ring *ring, uint32_t at)
{
    return &ring->entries[at / sizeof(struct tcmu_cmd_entry)];
}

/* at, or what follows when that is padding. */
static uint32_t behind_padding(struct host_ring *ring, uint32_t at)
{
    return tcmu_hdr_get_op(entry_at(ring, at)->hdr.len_op) == TCMU_OP_PAD ? behind(at) : at;
}

void host_ring_put(struct host_ring *ring)
{
    uint32_t at = behind_padding(ring, ring->mailbox.cmd_head);

    entry_at(ring, at)->hdr.uflags = 0;
    if (behind(at) == ring->mailbox.cmd_tail)
        abort();
    __atomic_store_n(&ring->mailbox.cmd_head, behind(at), __ATOMIC_RELEASE);
}

uint32_t host_ring_take(struct host_ring *ring)
{
    uint32_t at = behind_padding(ring, ring->mailbox.cmd_tail);
    const struct tcmu_cmd_entry *entry = entry_at(ring, at);

    if (ring->mailbox.cmd_tail == ring->mailbox.cmd_head)
        abort();
    ring->mailbox.cmd_tail = behind(at);
    return entry->hdr.uflags & TCMU_UFLAG_READ_LEN ? entry->rsp.read_len : 0;
}
