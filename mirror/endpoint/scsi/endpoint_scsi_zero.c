/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_scsi.h"

/* ENDPOINT_ZERO: the range certainly reads as zeros afterwards, deallocated as far as possible.
 *
 *   WRITE SAME(16) with UNMAP=1 and a block of zeros: the standard wants zeros to be written where
 *     the target does not unmap (SBC-4 5.49), and unmapped blocks read as zeros when LBPRZ is set.
 *   UNMAP promises nothing: the target may leave blocks as they are (SBC-4 5.35). So its map is
 *     read afterwards, and zeros are written to what is mapped. It needs LBPRZ and a map. See
 *     endpoint_scsi_unmap.c
 *   WRITE SAME(16) of zeros, then WRITE(16) of zeros: nothing is deallocated.
 *
 * A way that the target refuses (5/20/00, 5/24/00, and 5/26/00 for UNMAP) makes place for the next
 * one that the unit qualifies for, for this request and all that follow. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cdb.h"
#include "checked.h"
#include "log.h"
#include "scsi_defs.h"

#define MIB                     (UINT64_C(1) << 20)
#define UNMAP_BYTES             (1024 * MIB) /* at once, when the target names no limit */
#define WRITE_SAME_BYTES        (32 * MIB)   /* these are really written */
#define ZEROS_BYTES             (64 * 1024)  /* the buffer, SCSI_ZERO_IOV times of it in a WRITE */
#define MAX_UNMAP_COMMAND_BYTES (4096 * MIB) /* however much the target would take */

static uint64_t limit_blocks(uint64_t stated, uint64_t default_bytes, uint64_t most_bytes,
                             uint32_t block_size)
{
    uint64_t blocks = stated ? stated : default_bytes / block_size;

    return max_u64(min_u64(min_u64(blocks, most_bytes / block_size), UINT32_MAX), 1);
}

int scsi_zero_setup(struct scsi_endpoint *endpoint, bool lbprz,
                    const struct vpd_provisioning *provisioning,
                    const struct vpd_block_limits *limits)
{
    struct endpoint_info *info = &endpoint->base.info;
    uint32_t block_size = endpoint->unit.block_size;

    endpoint->zeros_blocks = ZEROS_BYTES / block_size ? ZEROS_BYTES / block_size : 1;
    endpoint->zeros = calloc(endpoint->zeros_blocks, block_size);
    if (!endpoint->zeros)
        return -ENOMEM;
    endpoint->write_same_unmap_blocks =
        limit_blocks(limits->max_write_same, UNMAP_BYTES, MAX_UNMAP_COMMAND_BYTES, block_size);
    endpoint->write_same_blocks =
        limit_blocks(limits->max_write_same, WRITE_SAME_BYTES, WRITE_SAME_BYTES, block_size);
    endpoint->unmap_blocks =
        limit_blocks(limits->max_unmap_blocks, UNMAP_BYTES, MAX_UNMAP_COMMAND_BYTES, block_size);
    endpoint->unmap_descriptors =
        (uint32_t)min_u64(max_u64(limits->max_unmap_descriptors, 1), SCSI_UNMAP_DESCRIPTORS);
    endpoint->may_unmap = lbprz && provisioning->lbpu && info->can_map;
    if (lbprz && provisioning->lbpws)
        endpoint->zero_method = ZERO_BY_WRITE_SAME_UNMAP;
    else if (endpoint->may_unmap)
        endpoint->zero_method = ZERO_BY_UNMAP;
    else
        endpoint->zero_method = ZERO_BY_WRITE_SAME;
    info->can_unmap = endpoint->zero_method <= ZERO_BY_UNMAP;
    info->max_zero_blocks = endpoint->zero_method == ZERO_BY_WRITE_SAME_UNMAP
                                ? endpoint->write_same_unmap_blocks
                            : endpoint->zero_method == ZERO_BY_UNMAP ? endpoint->unmap_blocks
                                                                     : endpoint->write_same_blocks;
    return 0;
}

void scsi_zero_downgrade(struct scsi_command *command)
{
    static const char *const names[] = {"WRITE SAME(16) with UNMAP", "UNMAP", "WRITE SAME(16)"};
    struct scsi_endpoint *endpoint = command->endpoint;

    if (endpoint->zero_method > command->method)
        return;
    log_info("%s: refuses %s", endpoint->name, names[command->method]);
    endpoint->zero_method++;
    if (endpoint->zero_method == ZERO_BY_UNMAP && !endpoint->may_unmap)
        endpoint->zero_method++;
    endpoint->base.info.can_unmap = endpoint->zero_method <= ZERO_BY_UNMAP;
}

uint64_t scsi_zero_into_unit(const struct endpoint_info *info, uint64_t lba)
{
    uint64_t unit = info->unmap_granularity_blocks, alignment = info->unmap_alignment_blocks % unit;

    return (lba % unit + unit - alignment) % unit;
}

/* Whether [lba, lba + blocks) consists of whole units of unmapping, the end of the LUN being the
 * end of a unit too. */
static bool is_aligned(const struct scsi_endpoint *endpoint, uint64_t lba, uint64_t blocks)
{
    const struct endpoint_info *info = &endpoint->base.info;
    uint64_t end = lba + blocks;

    return scsi_zero_into_unit(info, lba) == 0 &&
           (scsi_zero_into_unit(info, end) == 0 || end == info->blocks);
}

void scsi_zero_write(struct scsi_command *command, uint64_t lba, uint64_t blocks,
                     void (*step)(struct scsi_command *, const struct outcome *))
{
    struct scsi_endpoint *endpoint = command->endpoint;
    struct transport_request *request = &command->request;
    uint64_t most = (uint64_t)endpoint->zeros_blocks * SCSI_ZERO_IOV, left;

    blocks = min_u64(blocks, min_u64(most, endpoint->base.info.max_transfer_blocks));
    command->step_blocks = (uint32_t)blocks;
    command->wrote_zeros = true;
    scsi_command_data(command, TRANSPORT_DATA_OUT, NULL, 0);
    for (left = blocks; left > 0; request->iov_count++) {
        uint64_t piece = min_u64(left, endpoint->zeros_blocks);

        request->iov[request->iov_count] =
            (struct iovec){endpoint->zeros, piece * endpoint->unit.block_size};
        left -= piece;
    }
    request->cdb_length = cdb_write_16(request->cdb, lba, (uint32_t)blocks, false);
    command->counter = &endpoint->base.counters.writes;
    command->step = step;
    scsi_command_next(command);
}

void scsi_zero_step_done(struct scsi_command *command, const struct outcome *outcome)
{
    if (outcome->verdict == VERDICT_UNSUPPORTED && command->method < ZERO_BY_WRITE) {
        scsi_zero_downgrade(command);
        scsi_zero_next(command);
        return;
    }
    if (outcome->verdict != VERDICT_GOOD) {
        scsi_command_fail(command, outcome);
        return;
    }
    command->zero_lba += command->step_blocks;
    scsi_zero_next(command);
}

static void write_same(struct scsi_command *command, bool unmap)
{
    struct scsi_endpoint *endpoint = command->endpoint;
    uint64_t most = unmap ? endpoint->write_same_unmap_blocks : endpoint->write_same_blocks;
    uint64_t blocks = min_u64(command->zero_end - command->zero_lba, most);

    command->step_blocks = (uint32_t)blocks;
    if (!unmap || !is_aligned(endpoint, command->zero_lba, blocks))
        command->wrote_zeros = true;
    scsi_command_data(command, TRANSPORT_DATA_OUT, endpoint->zeros, endpoint->unit.block_size);
    command->request.cdb_length =
        cdb_write_same_16(command->request.cdb, command->zero_lba, command->step_blocks, unmap);
    command->counter = &endpoint->base.counters.zeros;
    command->step = scsi_zero_step_done;
    scsi_command_next(command);
}

void scsi_zero_next(struct scsi_command *command)
{
    struct scsi_endpoint *endpoint = command->endpoint;

    if (command->zero_lba == command->zero_end) {
        command->user->deallocated = !command->wrote_zeros;
        endpoint->base.counters.zeroed_blocks += command->user->blocks;
        scsi_command_finish(command);
        return;
    }
    command->method = endpoint->zero_method;
    switch (command->method) {
    case ZERO_BY_WRITE_SAME_UNMAP:
        write_same(command, true);
        break;
    case ZERO_BY_UNMAP:
        scsi_unmap(command);
        break;
    case ZERO_BY_WRITE_SAME:
        write_same(command, false);
        break;
    case ZERO_BY_WRITE:
        scsi_zero_write(command, command->zero_lba, command->zero_end - command->zero_lba,
                        scsi_zero_step_done);
        break;
    }
}

int scsi_zero_submit(struct scsi_endpoint *endpoint, struct endpoint_request *user)
{
    struct scsi_command *command = scsi_command_new(endpoint, user);

    if (!command)
        return errmsg_set(&user->error, -ENOMEM, "%s: out of memory", endpoint->name);
    command->request.timeout_ms = SCSI_ZERO_TIMEOUT_MS;
    command->zero_lba = user->lba;
    command->zero_end = user->lba + user->blocks;
    scsi_zero_next(command);
    return 0;
}
