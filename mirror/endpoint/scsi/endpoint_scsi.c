/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_scsi.h"

/* READ, WRITE, MAP and FLUSH of a logical unit. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdb.h"
#include "checked.h"
#include "cleanup.h"
#include "lba_status.h"
#include "scsi_defs.h"

/* So much counts as mapped when a reply says nothing of use; then the target is asked again. */
#define UNKNOWN_STRETCH_BYTES (UINT64_C(1) << 30)

/* Asked for at once of a bitmap, header included. */
#define BITMAP_REPLY_BYTES (UINT64_C(64) << 10)

bool scsi_command_reply(struct scsi_command *command, size_t length)
{
    if (command->reply && command->reply_bytes >= length) {
        memset(command->reply, 0, length);
    } else {
        free(command->reply);
        command->reply = calloc(1, length);
        command->reply_bytes = length;
    }
    return command->reply;
}

int scsi_command_begin(struct scsi_command *command)
{
    struct scsi_endpoint *endpoint = command->endpoint;
    struct endpoint_request *user = command->user;
    int r = scsi_command_start(command);

    if (r == 0)
        return 0;
    if (endpoint->failed)
        user->error = endpoint->failure;
    else
        errmsg_set(&user->error, r, "%s: %s", endpoint->name, strerror(-r));
    scsi_command_free(command);
    return r;
}

static int out_of_memory(struct scsi_endpoint *endpoint, struct endpoint_request *user)
{
    return errmsg_set(&user->error, -ENOMEM, "%s: out of memory", endpoint->name);
}

static void transfer_done(struct scsi_command *command, const struct outcome *outcome)
{
    struct endpoint_counters *counters = &command->endpoint->base.counters;
    struct endpoint_request *user = command->user;

    if (outcome->verdict != VERDICT_GOOD) {
        scsi_command_fail(command, outcome);
        return;
    }
    *(user->op == ENDPOINT_READ ? &counters->read_blocks : &counters->written_blocks) +=
        user->blocks;
    scsi_command_finish(command);
}

static int submit_transfer(struct scsi_endpoint *endpoint, struct endpoint_request *user)
{
    struct scsi_command *command = scsi_command_new(endpoint, user);
    uint8_t *cdb;

    if (!command)
        return out_of_memory(endpoint, user);
    cdb = command->request.cdb;
    command->step = transfer_done;
    command->request.iov = user->iov;
    command->request.iov_count = user->iov_count;
    command->request.medium_block_size = endpoint->unit.block_size;
    command->request.medium_lba = user->lba;
    if (user->op == ENDPOINT_READ) {
        command->request.direction = TRANSPORT_DATA_IN;
        command->request.cdb_length = cdb_read_16(cdb, user->lba, (uint32_t)user->blocks);
        command->counter = &endpoint->base.counters.reads;
    } else {
        command->request.direction = TRANSPORT_DATA_OUT;
        command->request.cdb_length = cdb_write_16(cdb, user->lba, (uint32_t)user->blocks, false);
        command->counter = &endpoint->base.counters.writes;
    }
    return scsi_command_begin(command);
}

int scsi_command_map_cdb(struct scsi_command *command, uint64_t lba, uint32_t most)
{
    uint32_t length = (uint32_t)min_u64(command->endpoint->map_allocation_length, most);

    if (!scsi_command_reply(command, length))
        return -ENOMEM;
    scsi_command_data(command, TRANSPORT_DATA_IN, command->reply, length);
    command->request.cdb_length = cdb_get_lba_status_16(command->request.cdb, lba, length);
    command->counter = &command->endpoint->base.counters.maps;
    return 0;
}

/* Appends what of the extent lies in [from, limit). */
static int append_clipped(struct extent_list *list, const struct extent *extent, uint64_t limit)
{
    if (extent->start >= limit)
        return 0;
    return extent_list_append(list, extent->start, min_u64(extent->length, limit - extent->start),
                              extent->status);
}

/* What the target has not told soundly about lba counts as mapped, as what says. */
static void mark_unsound(const struct scsi_command *command, uint64_t lba, const char *what)
{
    struct endpoint_request *user = command->user;

    if (user->unsound)
        return;
    user->unsound = true;
    errmsg_set(&user->error, 0, "%s: GET LBA STATUS at LBA %llu %s", command->endpoint->name,
               (unsigned long long)lba, what);
}

static void mark_defect(const struct scsi_command *command, enum lba_status_defect defect,
                        uint64_t lba)
{
    char what[128];

    snprintf(what, sizeof(what), "is answered with %s", lba_status_defect_text(defect));
    mark_unsound(command, lba, what);
}

int scsi_command_map_decode(struct scsi_command *command, uint64_t lba, uint64_t limit,
                            struct extent_list *list, uint64_t *ret_end)
{
    struct scsi_endpoint *endpoint = command->endpoint;
    CLEANUP(extent_list_free) struct extent_list told = {0};
    enum lba_status_defect defect;
    uint64_t next;
    int r = lba_status_decode(command->reply, command->request.transferred, lba,
                              endpoint->unit.blocks, &told, &next, &defect);

    for (size_t i = 0; r == 0 && i < told.count; i++)
        r = append_clipped(list, &told.items[i], limit);
    if (r < 0)
        return r;
    if (defect != LBA_STATUS_SOUND)
        mark_defect(command, defect, lba);
    if (next == lba) {
        uint64_t stretch = UNKNOWN_STRETCH_BYTES / endpoint->unit.block_size;

        next = lba + min_u64(limit - lba, stretch);
        r = extent_list_append(list, lba, next - lba, EXTENT_MAPPED);
    }
    *ret_end = min_u64(next, limit);
    return r;
}

static void map_done(struct scsi_command *command, const struct outcome *outcome)
{
    struct endpoint_request *user = command->user;
    struct scsi_endpoint *endpoint = command->endpoint;
    uint64_t end;

    if (outcome->verdict == VERDICT_UNSUPPORTED) {
        /* It did answer at open; what it does not want to tell counts as mapped. */
        mark_unsound(command, user->lba, "is refused, though it was answered before");
        user->result = extent_list_append(user->map, user->lba, user->blocks, EXTENT_MAPPED);
    } else if (outcome->verdict != VERDICT_GOOD) {
        scsi_command_fail(command, outcome);
        return;
    } else {
        user->result =
            scsi_command_map_decode(command, user->lba, user->lba + user->blocks, user->map, &end);
    }
    if (user->result < 0)
        errmsg_set(&user->error, user->result, "%s: the map of LBA %llu: %s", endpoint->name,
                   (unsigned long long)user->lba, strerror(-user->result));
    scsi_command_finish(command);
}

/* What the bitmap does not tell soundly counts as mapped, as far as one reply would have gone. */
static int without_bitmap(struct scsi_endpoint *endpoint, struct endpoint_request *user)
{
    uint64_t stretch = UNKNOWN_STRETCH_BYTES / endpoint->unit.block_size;

    user->unsound = true;
    errmsg_set(&user->error, 0, "%s: READ BUFFER does not give the bitmap of LBA %llu on",
               endpoint->name, (unsigned long long)user->lba);
    return extent_list_append(user->map, user->lba, min_u64(user->blocks, stretch), EXTENT_MAPPED);
}

static void bitmap_done(struct scsi_command *command, const struct outcome *outcome)
{
    struct endpoint_request *user = command->user;
    struct scsi_endpoint *endpoint = command->endpoint;
    uint64_t end;

    if (outcome->verdict != VERDICT_GOOD && outcome->verdict != VERDICT_UNSUPPORTED) {
        scsi_command_fail(command, outcome);
        return;
    }
    user->result =
        outcome->verdict == VERDICT_GOOD
            ? bitmap_reply_decode(&endpoint->bitmap, command->reply, command->request.transferred,
                                  user->lba, user->lba + user->blocks, user->map, &end)
            : -EINVAL;
    if (user->result == -EINVAL)
        user->result = without_bitmap(endpoint, user);
    if (user->result < 0)
        out_of_memory(endpoint, user);
    scsi_command_finish(command);
}

static int bitmap_cdb_for(struct scsi_command *command, uint64_t lba)
{
    const struct scsi_endpoint *endpoint = command->endpoint;
    const struct bitmap_geometry *bitmap = &endpoint->bitmap;
    uint64_t length = BITMAP_HEADER_BYTES + (uint64_t)bitmap->page.max_bitmap_bytes;
    size_t most = endpoint->transport->max_transfer_bytes;

    length = min_u64(length, BITMAP_REPLY_BYTES);
    if (most > 0)
        length = min_u64(length, max_u64(most, BITMAP_HEADER_BYTES + 1));
    if (!scsi_command_reply(command, length))
        return -ENOMEM;
    scsi_command_data(command, TRANSPORT_DATA_IN, command->reply, length);
    command->request.cdb_length =
        bitmap_cdb(command->request.cdb, bitmap_byte_of(bitmap, lba), (uint32_t)length);
    command->counter = &command->endpoint->base.counters.maps;
    return 0;
}

static void map_unknown(struct scsi_command *command, const struct outcome *outcome)
{
    struct endpoint_request *user = command->user;

    (void)outcome;
    user->result = extent_list_append(user->map, user->lba, user->blocks, EXTENT_MAPPED);
    if (user->result < 0)
        out_of_memory(command->endpoint, user);
    scsi_command_finish(command);
}

static int submit_map(struct scsi_endpoint *endpoint, struct endpoint_request *user)
{
    bool by_bitmap = endpoint->base.info.by_bitmap;
    struct scsi_command *command = scsi_command_new(endpoint, user);

    if (!command)
        return out_of_memory(endpoint, user);
    if (!endpoint->base.info.can_map && !by_bitmap) {
        command->step = map_unknown;
        scsi_command_defer(command);
        return 0;
    }
    command->step = by_bitmap ? bitmap_done : map_done;
    if ((by_bitmap ? bitmap_cdb_for(command, user->lba)
                   : scsi_command_map_cdb(command, user->lba, UINT32_MAX)) < 0) {
        scsi_command_free(command);
        return out_of_memory(endpoint, user);
    }
    return scsi_command_begin(command);
}

static void flush_done(struct scsi_command *command, const struct outcome *outcome);

static void flush_cdb(struct scsi_command *command)
{
    scsi_command_data(command, TRANSPORT_NO_DATA, NULL, 0);
    command->request.cdb_length = command->endpoint->flush_by_10
                                      ? cdb_synchronize_cache_10(command->request.cdb)
                                      : cdb_synchronize_cache_16(command->request.cdb);
    command->request.timeout_ms = SCSI_FLUSH_TIMEOUT_MS;
    command->request.vital = true; /* only its end tells what is durable */
    command->counter = &command->endpoint->base.counters.flushes;
    command->step = flush_done;
}

static void flush_done(struct scsi_command *command, const struct outcome *outcome)
{
    struct scsi_endpoint *endpoint = command->endpoint;
    struct endpoint_request *user = command->user;

    if (outcome->verdict == VERDICT_UNSUPPORTED &&
        command->request.cdb[0] == SCSI_SYNCHRONIZE_CACHE_16) {
        endpoint->flush_by_10 = true;
        flush_cdb(command);
        scsi_command_next(command);
        return;
    }
    if (outcome->verdict != VERDICT_GOOD) {
        scsi_command_fail(command, outcome);
        return;
    }
    if (endpoint->lost_writes)
        user->result = errmsg_set(&user->error, -ESTALE,
                                  "%s: the logical unit was reset before everything written to it "
                                  "was flushed; some of that may be lost",
                                  endpoint->name);
    endpoint->lost_writes = false;
    endpoint->changes_flushed = command->covers;
    scsi_command_finish(command);
}

static int submit_flush(struct scsi_endpoint *endpoint, struct endpoint_request *user)
{
    struct scsi_command *command = scsi_command_new(endpoint, user);

    if (!command)
        return out_of_memory(endpoint, user);
    /* A change that is not at its end may reach the medium after the flush. */
    command->covers = endpoint->changes_begun == endpoint->changes_ended
                          ? endpoint->changes_begun
                          : endpoint->changes_flushed;
    flush_cdb(command);
    return scsi_command_begin(command);
}

static int scsi_submit(struct endpoint *base, struct endpoint_request *request)
{
    struct scsi_endpoint *endpoint = (struct scsi_endpoint *)base;

    if (endpoint->failed) {
        request->error = endpoint->failure;
        return endpoint->failed;
    }
    switch (request->op) {
    case ENDPOINT_READ:
    case ENDPOINT_WRITE:
        return submit_transfer(endpoint, request);
    case ENDPOINT_ZERO:
        return scsi_zero_submit(endpoint, request);
    case ENDPOINT_MAP:
        return submit_map(endpoint, request);
    case ENDPOINT_FLUSH:
        return submit_flush(endpoint, request);
    case ENDPOINT_RESERVE:
        return scsi_reservation_submit(endpoint, request);
    }
    return -EINVAL;
}

static void scsi_stop_by(struct endpoint *base, const atomic_bool *stop)
{
    struct scsi_endpoint *endpoint = (struct scsi_endpoint *)base;

    atomic_store(&endpoint->transport->stop, stop);
}

const struct endpoint_ops scsi_endpoint_ops = {
    .close = scsi_endpoint_close,
    .submit = scsi_submit,
    .poll = scsi_endpoint_poll,
    .service = scsi_endpoint_service,
    .stop_by = scsi_stop_by,
};
