/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <stddef.h>

#include <linux/target_core_user.h>

void ring_set_read_bytes(void *ring, uint32_t bytes)
{
    const volatile struct tcmu_mailbox *mailbox = ring;
    uint32_t at = mailbox->cmd_tail, head = mailbox->cmd_head, length;

    if (!(mailbox->flags & TCMU_MAILBOX_FLAG_CAP_READ_LEN))
        return;
    /* A response takes the place of the oldest command, whosever it is; padding is passed over. */
    for (; at != head; at = (at + length) % mailbox->cmdr_size) {
        struct tcmu_cmd_entry *entry = (void *)((char *)ring + mailbox->cmdr_off + at);

        if (tcmu_hdr_get_op(entry->hdr.len_op) == TCMU_OP_CMD) {
            entry->hdr.uflags |= TCMU_UFLAG_READ_LEN;
            entry->rsp.read_len = bytes;
            return;
        }
        length = tcmu_hdr_get_len(entry->hdr.len_op);
        if (length == 0)
            return;
    }
}
