/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_scsi.h"

/* ENDPOINT_ZERO by UNMAP, and a look at what it has left.
 *
 * The ranges of several requests travel in one command, as far as MAXIMUM UNMAP LBA COUNT and
 * MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT let them (SBC-4 6.6.4). A request that comes to UNMAP joins
 * endpoint->batch, which is sent when it is full, or else from the next service, when everybody who
 * wants to has joined. The first of a batch leads: the command is its own, the others follow it
 * (leader->followers) and share its fate. Afterwards each goes its own way again. */

#include <errno.h>
#include <string.h>

#include "cdb.h"
#include "checked.h"
#include "cleanup.h"
#include "lba_status.h"
#include "scsi_defs.h"
#include "unmap_list.h"

/* Of the map of what was unmapped, asked for at once: mostly it is one extent, and as many requests
 * as are in flight may be looking. */
#define CHECK_BYTES (LBA_STATUS_HEADER_BYTES + 64 * LBA_STATUS_DESCRIPTOR_BYTES)

static void check_next(struct scsi_command *command);

static void check_written(struct scsi_command *command, const struct outcome *outcome)
{
    if (outcome->verdict != VERDICT_GOOD) {
        scsi_command_fail(command, outcome);
        return;
    }
    command->check_lba += command->step_blocks;
    check_next(command);
}

/* The map of what was unmapped: on to the first block that is mapped still. */
static void check_mapped(struct scsi_command *command, const struct outcome *outcome)
{
    CLEANUP(extent_list_free) struct extent_list map = {0};
    uint64_t end = command->check_end;
    int r = 0;

    if (outcome->verdict == VERDICT_UNSUPPORTED)
        r = extent_list_append(&map, command->check_lba, end - command->check_lba, EXTENT_MAPPED);
    else if (outcome->verdict == VERDICT_GOOD)
        r = scsi_command_map_decode(command, command->check_lba, command->check_end, &map, &end);
    if (r < 0 || (outcome->verdict != VERDICT_GOOD && outcome->verdict != VERDICT_UNSUPPORTED)) {
        const struct outcome no_memory = {.verdict = VERDICT_FAILED, .error = r};

        scsi_command_fail(command, r < 0 ? &no_memory : outcome);
        return;
    }
    for (size_t i = 0; i < map.count; i++) {
        if (map.items[i].status == EXTENT_MAPPED) {
            scsi_zero_write(command, map.items[i].start, map.items[i].length, check_written);
            return;
        }
        command->check_lba = map.items[i].start + map.items[i].length;
    }
    check_next(command);
}

static void check_next(struct scsi_command *command)
{
    if (command->check_lba == command->check_end) {
        command->zero_lba = command->check_end;
        scsi_zero_next(command);
        return;
    }
    if (scsi_command_map_cdb(command, command->check_lba, CHECK_BYTES) < 0) {
        const struct outcome no_memory = {.verdict = VERDICT_FAILED, .error = -ENOMEM};

        scsi_command_fail(command, &no_memory);
        return;
    }
    command->step = check_mapped;
    scsi_command_next(command);
}

static bool is_refused(const struct outcome *outcome)
{
    return outcome->verdict == VERDICT_UNSUPPORTED ||
           (outcome->has_sense && outcome->sense.key == SENSE_ILLEGAL_REQUEST &&
            outcome->sense.asc_ascq == ASC_INVALID_FIELD_IN_PARAMETER_LIST);
}

/* Goes on after an UNMAP that ended like this; alone: it was about one range. */
static void after_unmap(struct scsi_command *command, const struct outcome *outcome, bool alone)
{
    if (is_refused(outcome)) {
        if (alone)
            scsi_zero_downgrade(command);
        scsi_zero_next(command);
    } else if (outcome->verdict != VERDICT_GOOD) {
        scsi_command_fail(command, outcome);
    } else {
        check_next(command);
    }
}

static void unmapped(struct scsi_command *leader, const struct outcome *outcome)
{
    struct scsi_endpoint *endpoint = leader->endpoint;
    struct scsi_command *followers = leader->followers;
    bool alone = !followers;

    leader->followers = NULL;
    /* It may only be the number that the target does not like. */
    if (!alone && is_refused(outcome))
        endpoint->unmap_descriptors = 1;
    /* For the sentence about it, when it failed. */
    for (struct scsi_command *follower = followers; follower; follower = follower->next) {
        follower->request = leader->request;
        follower->request.opaque = follower;
        scsi_command_data(follower, TRANSPORT_NO_DATA, NULL, 0);
    }
    after_unmap(leader, outcome, alone);
    while (followers) {
        struct scsi_command *follower = followers;

        followers = follower->next;
        after_unmap(follower, outcome, alone);
    }
}

/* The leader with those that follow it. */
static void send_unmap(struct scsi_command *leader)
{
    struct unmap_descriptor ranges[SCSI_UNMAP_DESCRIPTORS];
    size_t count = 0, length;
    uint8_t *list = leader->small;

    ranges[count++] = (struct unmap_descriptor){leader->check_lba,
                                                (uint32_t)(leader->check_end - leader->check_lba)};
    for (const struct scsi_command *follower = leader->followers; follower;
         follower = follower->next)
        ranges[count++] =
            (struct unmap_descriptor){follower->check_lba,
                                      (uint32_t)(follower->check_end - follower->check_lba)};
    length = unmap_list_bytes(count);
    if (leader->followers)
        list = leader->reply;
    unmap_list_encode(list, ranges, count);
    scsi_command_data(leader, TRANSPORT_DATA_OUT, list, length);
    leader->request.cdb_length = cdb_unmap(leader->request.cdb, (uint16_t)length);
    leader->counter = &leader->endpoint->base.counters.zeros;
    leader->step = unmapped;
    scsi_command_next(leader);
}

void scsi_unmap_send(struct scsi_endpoint *endpoint)
{
    struct scsi_command *leader = endpoint->batch.first;
    size_t length = unmap_list_bytes(endpoint->batch.count);

    endpoint->batch = (struct unmap_batch){0};
    if (!leader)
        return;
    /* Each goes alone when the target has refused lists meanwhile, or without memory for one. */
    while (leader->next &&
           (endpoint->unmap_descriptors == 1 || !scsi_command_reply(leader, length))) {
        struct scsi_command *alone = leader;

        leader = leader->next;
        send_unmap(alone);
    }
    leader->followers = leader->next;
    send_unmap(leader);
}

static void join_batch(struct scsi_command *command)
{
    struct scsi_endpoint *endpoint = command->endpoint;
    struct unmap_batch *batch = &endpoint->batch;
    uint64_t blocks = command->check_end - command->check_lba;

    /* It may have become less than what has gathered. */
    if (batch->count >= endpoint->unmap_descriptors ||
        (batch->count > 0 && batch->blocks + blocks > endpoint->unmap_blocks))
        scsi_unmap_send(endpoint);
    command->next = NULL;
    *(batch->last ? &batch->last->next : &batch->first) = command;
    batch->last = command;
    batch->count++;
    batch->blocks += blocks;
}

/* Whole units are unmapped, as many as one command may; what stands before or after is written. */
void scsi_unmap(struct scsi_command *command)
{
    struct scsi_endpoint *endpoint = command->endpoint;
    const struct endpoint_info *info = &endpoint->base.info;
    uint64_t start = command->zero_lba, end = command->zero_end;
    uint64_t unit = info->unmap_granularity_blocks, most = endpoint->unmap_blocks;
    uint64_t before = scsi_zero_into_unit(info, start), after = scsi_zero_into_unit(info, end);

    if (before) {
        scsi_zero_write(command, start, min_u64(unit - before, end - start), scsi_zero_step_done);
        return;
    }
    if (end != info->blocks && after >= end - start) {
        scsi_zero_write(command, start, end - start, scsi_zero_step_done);
        return;
    }
    if (end != info->blocks)
        end -= after;
    if (end - start > most)
        end = start + (most >= unit ? most / unit * unit : most);
    command->check_lba = start;
    command->check_end = end;
    join_batch(command);
}
