/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <stddef.h>

#include <linux/target_core_user.h>

/* The command at or behind *at, which is moved on to it; NULL: there is none before head. Padding
 * is passed over. */
static struct tcmu_cmd_entry *next_command(const struct tcmu_mailbox *mailbox, uint32_t *at,
                                           uint32_t head)
{
    while (*at != head) {
        struct tcmu_cmd_entry *entry = (void *)((char *)mailbox + mailbox->cmdr_off + *at);
        uint32_t length = tcmu_hdr_get_len(entry->hdr.len_op);

        if (tcmu_hdr_get_op(entry->hdr.len_op) == TCMU_OP_CMD)
            return entry;
        if (length == 0)
            return NULL;
        *at = (*at + length) % mailbox->cmdr_size;
    }
    return NULL;
}

static uint32_t head_of(const struct tcmu_mailbox *mailbox)
{
    return __atomic_load_n(&mailbox->cmd_head, __ATOMIC_ACQUIRE);
}

void ring_set_read_bytes(void *ring, uint32_t bytes)
{
    struct tcmu_mailbox *mailbox = ring;
    uint32_t at = mailbox->cmd_tail;
    struct tcmu_cmd_entry *oldest;

    if (!(mailbox->flags & TCMU_MAILBOX_FLAG_CAP_READ_LEN))
        return;
    /* A response takes the place of the oldest command, whosever it is. */
    oldest = next_command(mailbox, &at, head_of(mailbox));
    if (oldest) {
        oldest->hdr.uflags |= TCMU_UFLAG_READ_LEN;
        oldest->rsp.read_len = bytes;
    }
}

bool ring_has_more_than(const void *ring, unsigned count)
{
    const struct tcmu_mailbox *mailbox = ring;
    uint32_t at = mailbox->cmd_tail, head = head_of(mailbox);

    for (const struct tcmu_cmd_entry *entry; (entry = next_command(mailbox, &at, head));) {
        if (count-- == 0)
            return true;
        at = (at + tcmu_hdr_get_len(entry->hdr.len_op)) % mailbox->cmdr_size;
    }
    return false;
}
