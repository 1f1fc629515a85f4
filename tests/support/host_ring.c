/* SPDX-License-Identifier: Apache-2.0 */
#include "host_ring.h"

#include <stddef.h>
#include <stdlib.h>

#include <linux/target_core_user.h>

struct host_ring {
    struct tcmu_mailbox mailbox;
    struct tcmu_cmd_entry_hdr padding;
    struct tcmu_cmd_entry entry;
};

struct host_ring *host_ring_create(void)
{
    struct host_ring *ring = aligned_alloc(ALIGN_SIZE, sizeof(*ring));

    if (!ring)
        abort();
    *ring = (struct host_ring){
        .mailbox = {.version = TCMU_MAILBOX_VERSION,
                    .flags = TCMU_MAILBOX_FLAG_CAP_READ_LEN,
                    .cmdr_off = offsetof(struct host_ring, padding),
                    .cmdr_size = sizeof(*ring),
                    .cmd_head = sizeof(ring->padding) + sizeof(ring->entry)},
        .padding = {.len_op = sizeof(ring->padding) | TCMU_OP_PAD},
        .entry.hdr = {.len_op = sizeof(ring->entry) | TCMU_OP_CMD},
    };
    return ring;
}

uint32_t host_ring_take_read_bytes(struct host_ring *ring)
{
    uint32_t bytes = ring->entry.hdr.uflags & TCMU_UFLAG_READ_LEN ? ring->entry.rsp.read_len : 0;

    ring->entry.hdr.uflags = 0;
    return bytes;
}
