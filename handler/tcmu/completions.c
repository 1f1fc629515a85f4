/* SPDX-License-Identifier: Apache-2.0 */
#include "completions.h"

#include <stdlib.h>

#include "dropped_watch.h"
#include "iov.h"
#include "ring.h"
#include "scsi_defs.h"
#include "sense.h"
#include "tcmur_abi.h"

/* Up to so much the kernel may learn a little later: many small commands, but not large ones, since
 * it can pass one on while the next is being copied. */
#define UNTOLD_MAX       16
#define UNTOLD_BYTES_MAX (64 * 1024)

void completions_init(struct completions *completions, struct tcmu_device *dev)
{
    size_t ring_bytes = 0;

    *completions = (struct completions){.dev = dev};
    pthread_mutex_init(&completions->lock, NULL);
    free(tcmu_dev_get_memory_info(dev, &completions->ring, &ring_bytes, NULL));
    if (!completions->ring)
        return;
    completions->taken = ring_start(completions->ring);
    completions->reached = tcmu_device_position(dev, completions->ring, ring_bytes);
    if (completions->reached)
        dropped_watch_add(completions);
}

/* Takes note that the kernel is told of all; false: it knows already. */
static bool take_untold(struct completions *completions)
{
    bool any = completions->untold > 0;

    completions->untold = 0;
    completions->untold_bytes = 0;
    return any;
}

void completions_tell(struct completions *completions)
{
    bool any;

    pthread_mutex_lock(&completions->lock);
    any = take_untold(completions);
    pthread_mutex_unlock(&completions->lock);
    if (any)
        tcmulib_processing_complete(completions->dev);
}

void completions_destroy(struct completions *completions)
{
    if (completions->reached)
        dropped_watch_remove(completions);
    pthread_mutex_destroy(&completions->lock);
}

/* The lock is held. */
static void refuse_dropped(struct completions *completions, uint16_t cmd_id)
{
    uint8_t sense[SENSE_FIXED_BYTES];

    sense_encode_fixed(&(struct sense){.key = SENSE_ILLEGAL_REQUEST,
                                       .asc_ascq = ASC_INVALID_OPERATION_CODE},
                       sense);
    ring_respond(completions->ring, cmd_id, SCSI_STATUS_CHECK_CONDITION, sense);
    completions->untold++;
}

void completions_took(struct completions *completions, const struct tcmulib_cmd *cmd)
{
    uint16_t dropped;

    if (!completions->ring)
        return;
    pthread_mutex_lock(&completions->lock);
    while (ring_passes_dropped(completions->ring, &completions->taken, cmd->cmd_id, &dropped))
        refuse_dropped(completions, dropped);
    pthread_mutex_unlock(&completions->lock);
}

void completions_refuse_dropped(struct completions *completions)
{
    uint32_t reached;
    uint16_t dropped;

    pthread_mutex_lock(&completions->lock);
    /* Under the lock: what is taken meanwhile would be behind it. */
    reached = __atomic_load_n(completions->reached, __ATOMIC_ACQUIRE);
    while (ring_passes_dropped_until(completions->ring, &completions->taken, reached, &dropped))
        refuse_dropped(completions, dropped);
    pthread_mutex_unlock(&completions->lock);
    completions_tell(completions);
}

static bool may_tell_later(const struct completions *completions)
{
    return completions->untold < UNTOLD_MAX && completions->untold_bytes <= UNTOLD_BYTES_MAX &&
           completions->ring && ring_has_more(completions->ring, completions->taken);
}

/* The lock is held. */
static void respond(struct completions *completions, struct tcmulib_cmd *cmd, int status)
{
    if (status != COMPLETION_RESERVATION_CONFLICT) {
        tcmulib_command_complete(completions->dev, cmd, status);
    } else if (!completions->ring) {
        tcmulib_command_complete(completions->dev, cmd, TCMU_STS_BUSY);
    } else {
        ring_respond(completions->ring, cmd->cmd_id, SCSI_STATUS_RESERVATION_CONFLICT, NULL);
        free(cmd); /* as libtcmu does */
    }
}

static void complete(struct completions *completions, struct tcmulib_cmd *cmd, int status,
                     size_t reply_bytes, bool was_held)
{
    size_t bytes = iov_total(cmd->iovec, (int)cmd->iov_cnt);
    bool tell;

    pthread_mutex_lock(&completions->lock);
    if (completions->ring && reply_bytes > 0 && reply_bytes < bytes)
        ring_set_read_bytes(completions->ring, (uint32_t)reply_bytes);
    respond(completions, cmd, status);
    completions->untold++;
    completions->untold_bytes += bytes;
    tell = was_held || !may_tell_later(completions);
    if (tell)
        take_untold(completions);
    pthread_mutex_unlock(&completions->lock);
    if (tell)
        tcmulib_processing_complete(completions->dev);
}

void completions_here(struct completions *completions, struct tcmulib_cmd *cmd, int status,
                      size_t reply_bytes)
{
    complete(completions, cmd, status, reply_bytes, false);
}

void completions_held(struct completions *completions, struct tcmulib_cmd *cmd, int status,
                      size_t reply_bytes)
{
    complete(completions, cmd, status, reply_bytes, true);
}
