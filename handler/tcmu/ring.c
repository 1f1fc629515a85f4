/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <stddef.h>
#include <string.h>

#include <linux/target_core_user.h>

#include "sense.h"

static struct tcmu_cmd_entry *entry_at(const struct tcmu_mailbox *mailbox, uint32_t at)
{
    return (void *)((char *)mailbox + mailbox->cmdr_off + at);
}

static uint32_t behind(const struct tcmu_mailbox *mailbox, uint32_t at)
{
    return (at + tcmu_hdr_get_len(entry_at(mailbox, at)->hdr.len_op)) % mailbox->cmdr_size;
}

/* The command at or behind *at, which is moved on to it; NULL: there is none before end. Padding
 * is passed over. */
static struct tcmu_cmd_entry *next_command(const struct tcmu_mailbox *mailbox, uint32_t *at,
                                           uint32_t end)
{
    while (*at != end) {
        struct tcmu_cmd_entry *entry = entry_at(mailbox, *at);

        if (tcmu_hdr_get_op(entry->hdr.len_op) == TCMU_OP_CMD)
            return entry;
        if (tcmu_hdr_get_len(entry->hdr.len_op) == 0)
            return NULL;
        *at = behind(mailbox, *at);
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

uint32_t ring_start(const void *ring)
{
    return ((const struct tcmu_mailbox *)ring)->cmd_tail;
}

/* The groups of operation codes without a length: 011b but for 7Fh, 110b and 111b. */
static bool is_dropped(const struct tcmu_mailbox *mailbox, const struct tcmu_cmd_entry *entry)
{
    uint8_t opcode = ((const uint8_t *)mailbox)[entry->req.cdb_off];

    return opcode >= 0xC0 || (opcode >= 0x60 && opcode < 0x7F);
}

/* How far it is from at to position, along the ring. */
static uint32_t distance(const struct tcmu_mailbox *mailbox, uint32_t at, uint32_t position)
{
    return position >= at ? position - at : mailbox->cmdr_size - at + position;
}

bool ring_passes_dropped_until(const void *ring, uint32_t *position, uint32_t reached,
                               uint16_t *ret_dropped)
{
    const struct tcmu_mailbox *mailbox = ring;

    if (reached >= mailbox->cmdr_size ||
        distance(mailbox, *position, reached) > distance(mailbox, *position, head_of(mailbox)))
        return false; /* it lies behind, or nowhere */
    for (const struct tcmu_cmd_entry *entry; (entry = next_command(mailbox, position, reached));) {
        bool dropped = is_dropped(mailbox, entry);

        *ret_dropped = entry->hdr.cmd_id;
        *position = behind(mailbox, *position);
        if (dropped)
            return true;
    }
    return false;
}

bool ring_passes_dropped(const void *ring, uint32_t *position, uint16_t cmd_id,
                         uint16_t *ret_dropped)
{
    const struct tcmu_mailbox *mailbox = ring;
    uint32_t at = *position, head = head_of(mailbox);

    for (const struct tcmu_cmd_entry *entry; (entry = next_command(mailbox, &at, head));) {
        if (entry->hdr.cmd_id == cmd_id) {
            if (ring_passes_dropped_until(ring, position, at, ret_dropped))
                return true;
            *position = behind(mailbox, at);
            return false;
        }
        at = behind(mailbox, at);
    }
    return false;
}

bool ring_has_more(const void *ring, uint32_t position)
{
    const struct tcmu_mailbox *mailbox = ring;
    uint32_t head = head_of(mailbox);

    for (const struct tcmu_cmd_entry *entry; (entry = next_command(mailbox, &position, head));) {
        if (!is_dropped(mailbox, entry))
            return true;
        position = behind(mailbox, position);
    }
    return false;
}

void ring_respond(void *ring, uint16_t cmd_id, uint8_t scsi_status, const uint8_t *sense)
{
    struct tcmu_mailbox *mailbox = ring;
    uint32_t at = mailbox->cmd_tail;
    struct tcmu_cmd_entry *oldest = next_command(mailbox, &at, head_of(mailbox));

    if (!oldest)
        return;
    oldest->hdr.cmd_id = cmd_id;
    oldest->rsp.scsi_status = scsi_status;
    if (sense) {
        memset(oldest->rsp.sense_buffer, 0, sizeof(oldest->rsp.sense_buffer));
        memcpy(oldest->rsp.sense_buffer, sense, SENSE_FIXED_BYTES);
    }
    __atomic_store_n(&mailbox->cmd_tail, behind(mailbox, at), __ATOMIC_RELEASE);
}
