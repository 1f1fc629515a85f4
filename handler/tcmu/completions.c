/* SPDX-License-Identifier: Apache-2.0 */
#include "completions.h"

#include <stdlib.h>

#include "cleanup.h"
#include "iov.h"
#include "ring.h"
#include "tcmur_abi.h"

/* Up to so much the kernel may learn a little later: many small commands, but not large ones, since
 * it can pass one on while the next is being copied. */
#define UNTOLD_MAX       16
#define UNTOLD_BYTES_MAX (64 * 1024)

void completions_init(struct completions *completions, struct tcmu_device *dev)
{
    *completions = (struct completions){.dev = dev};
    pthread_mutex_init(&completions->lock, NULL);
    free(tcmu_dev_get_memory_info(dev, &completions->ring, NULL, NULL));
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
    completions_tell(completions);
    pthread_mutex_destroy(&completions->lock);
}

void completions_hold(struct completions *completions)
{
    bool any;

    pthread_mutex_lock(&completions->lock);
    completions->held++;
    any = take_untold(completions);
    pthread_mutex_unlock(&completions->lock);
    if (any)
        tcmulib_processing_complete(completions->dev);
}

static bool may_tell_later(const struct completions *completions)
{
    return completions->untold < UNTOLD_MAX && completions->untold_bytes <= UNTOLD_BYTES_MAX &&
           completions->ring && ring_has_more_than(completions->ring, completions->held);
}

static void complete(struct completions *completions, struct tcmulib_cmd *cmd, int status,
                     size_t reply_bytes, bool was_held)
{
    size_t bytes = iov_total(cmd->iovec, (int)cmd->iov_cnt);
    bool tell;

    pthread_mutex_lock(&completions->lock);
    if (completions->ring && reply_bytes > 0 && reply_bytes < bytes)
        ring_set_read_bytes(completions->ring, (uint32_t)reply_bytes);
    tcmulib_command_complete(completions->dev, cmd, status);
    completions->untold++;
    completions->untold_bytes += bytes;
    if (was_held)
        completions->held--;
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
