/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_unit.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "capacity.h"
#include "cdb.h"
#include "inquiry.h"
#include "lba_status.h"
#include "scsi_defs.h"
#include "sense.h"
#include "unmap_list.h"
#include "vpd.h"

static const uint8_t default_naa[16] = {0x60, 0x01, 0x40, 0x50, 1, 2,  3,  4,
                                        5,    6,    7,    8,    9, 10, 11, 12};

/* One command while it is served. */
struct turn {
    struct fake_unit *unit;
    struct transport_request *request;
    char words[2048];
    uint8_t reply[65536];
    size_t reply_length;
};

static void check_condition(struct transport_request *request, const struct sense *sense)
{
    request->status = SCSI_STATUS_CHECK_CONDITION;
    sense_encode_fixed(sense, request->sense);
    if (sense->deferred)
        request->sense[0] = (uint8_t)(request->sense[0] | 0x01);
    request->sense_length = SENSE_FIXED_BYTES;
}

static void illegal_request(struct transport_request *request, uint16_t asc_ascq)
{
    const struct sense sense = {.key = SENSE_ILLEGAL_REQUEST, .asc_ascq = asc_ascq};

    request->transferred = 0;
    check_condition(request, &sense);
}

/* Between the request's buffers and one piece of memory. */
static void move_data(struct transport_request *request, uint8_t *data, size_t length)
{
    size_t at = 0;

    for (int i = 0; i < request->iov_count && at < length; i++) {
        size_t piece =
            request->iov[i].iov_len < length - at ? request->iov[i].iov_len : length - at;

        if (piece && request->direction == TRANSPORT_DATA_OUT)
            memcpy(data + at, request->iov[i].iov_base, piece);
        else if (piece)
            memcpy(request->iov[i].iov_base, data + at, piece);
        at += piece;
    }
    request->transferred = at;
}

static bool in_range(struct turn *turn, uint64_t lba, uint64_t blocks)
{
    if (lba <= turn->unit->blocks && blocks <= turn->unit->blocks - lba)
        return true;
    illegal_request(turn->request, ASC_LBA_OUT_OF_RANGE);
    return false;
}

static void set_mapped(struct fake_unit *unit, uint64_t lba, uint64_t blocks, bool mapped)
{
    for (uint64_t i = lba; i < lba + blocks; i++)
        unit->mapped[i] = mapped;
}

static void clear(struct fake_unit *unit, uint64_t lba, uint64_t blocks)
{
    memset(unit->data + lba * unit->block_size, 0, blocks * unit->block_size);
}

static void read_or_write(struct turn *turn, bool write)
{
    struct fake_unit *unit = turn->unit;
    uint64_t lba = get_be64(turn->request->cdb + 2);
    uint32_t blocks = get_be32(turn->request->cdb + 10);

    snprintf(turn->words, sizeof(turn->words), "%c %llu+%u", write ? 'W' : 'R',
             (unsigned long long)lba, blocks);
    if (!in_range(turn, lba, blocks))
        return;
    assert(transport_data_bytes(turn->request) == (uint64_t)blocks * unit->block_size);
    move_data(turn->request, unit->data + lba * unit->block_size,
              (size_t)blocks * unit->block_size);
    if (write)
        set_mapped(unit, lba, blocks, true);
}

static void write_same(struct turn *turn)
{
    struct fake_unit *unit = turn->unit;
    uint64_t lba = get_be64(turn->request->cdb + 2);
    uint32_t blocks = get_be32(turn->request->cdb + 10);
    bool unmap = turn->request->cdb[1] & 0x08;
    uint8_t pattern[4096];

    snprintf(turn->words, sizeof(turn->words), "WS %llu+%u%s", (unsigned long long)lba, blocks,
             unmap ? " u" : "");
    if (unmap && !unit->lbpws) {
        illegal_request(turn->request, ASC_INVALID_FIELD_IN_CDB);
        return;
    }
    assert(blocks > 0 && transport_data_bytes(turn->request) == unit->block_size);
    if (unit->max_write_same && blocks > unit->max_write_same)
        illegal_request(turn->request, ASC_INVALID_FIELD_IN_CDB);
    else if (in_range(turn, lba, blocks)) {
        move_data(turn->request, pattern, unit->block_size);
        for (uint32_t i = 0; i < unit->block_size; i++)
            assert(pattern[i] == 0);
        clear(unit, lba, blocks);
        set_mapped(unit, lba, blocks, !unmap);
    }
}

static void unmap_range(struct fake_unit *unit, const struct unmap_descriptor *range)
{
    uint64_t whole = unit->unmap_unit, end = range->lba + range->blocks;

    for (uint64_t at = (range->lba + whole - 1) / whole * whole; at + whole <= end; at += whole) {
        clear(unit, at, whole);
        set_mapped(unit, at, whole, false);
    }
}

static void unmap(struct turn *turn)
{
    struct fake_unit *unit = turn->unit;
    uint8_t bytes[8 + 16 * 256];
    struct unmap_list list;
    size_t length = transport_data_bytes(turn->request), used;
    uint64_t blocks = 0;

    assert(length <= sizeof(bytes) && length == get_be16(turn->request->cdb + 7));
    move_data(turn->request, bytes, length);
    assert(unmap_list_decode(bytes, length, &list) == 0 && list.count > 0);
    used = (size_t)snprintf(turn->words, sizeof(turn->words), "UN ");
    for (size_t i = 0; i < list.count; i++) {
        struct unmap_descriptor range = unmap_list_get(&list, i);

        assert(used < sizeof(turn->words));
        used += (size_t)snprintf(turn->words + used, sizeof(turn->words) - used, "%s%llu+%u",
                                 i ? "," : "", (unsigned long long)range.lba, range.blocks);
        blocks += range.blocks;
    }
    if (!unit->lbpu)
        illegal_request(turn->request, ASC_INVALID_OPERATION_CODE);
    else if ((unit->max_unmap && blocks > unit->max_unmap) ||
             list.count > unit->max_unmap_descriptors)
        illegal_request(turn->request, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    else
        for (size_t i = 0; i < list.count; i++) {
            struct unmap_descriptor range = unmap_list_get(&list, i);

            if (!in_range(turn, range.lba, range.blocks))
                return;
            unmap_range(unit, &range);
        }
}

static void map(struct turn *turn)
{
    struct fake_unit *unit = turn->unit;
    uint64_t lba = get_be64(turn->request->cdb + 2), at = lba, end;
    uint32_t length = get_be32(turn->request->cdb + 10), count = 0;

    snprintf(turn->words, sizeof(turn->words), "MAP %llu:%u", (unsigned long long)lba, length);
    if (unit->map_limit && length > unit->map_limit) {
        illegal_request(turn->request, ASC_INVALID_FIELD_IN_CDB);
        return;
    }
    if (unit->lie) {
        turn->reply_length = unit->lie(unit, lba, turn->reply, sizeof(turn->reply));
        return;
    }
    if (!in_range(turn, lba, 1))
        return;
    for (; at < unit->blocks && count < lba_status_capacity(length); at = end, count++) {
        for (end = at; end < unit->blocks && unit->mapped[end] == unit->mapped[at]; end++)
            ;
        lba_status_encode_descriptor(turn->reply + 8 + count * 16, at, (uint32_t)(end - at),
                                     unit->mapped[at] ? EXTENT_MAPPED : EXTENT_DEALLOCATED);
    }
    lba_status_encode_header(turn->reply, count, LBA_STATUS_NO_INDICATION, false);
    turn->reply_length = 8 + count * 16;
}

static void vpd(struct turn *turn, uint8_t page)
{
    const struct fake_unit *unit = turn->unit;
    uint8_t pages[] = {0x00, 0x80, 0xB0, 0xB2, 0x83};
    const struct vpd_block_limits limits = {
        .max_write_same = unit->max_write_same,
        .max_unmap_blocks = unit->max_unmap,
        .max_unmap_descriptors = unit->max_unmap_descriptors,
        .optimal_unmap_granularity = unit->granularity,
        .unmap_alignment_valid = unit->alignment != 0,
        .unmap_alignment = unit->alignment,
        .max_transfer = unit->max_transfer,
        .optimal_transfer = unit->optimal_transfer,
    };
    const struct vpd_provisioning provisioning = {.lbpu = unit->lbpu,
                                                  .lbpws = unit->lbpws,
                                                  .lbprz = unit->lbprz,
                                                  .provisioning_type = 2};

    snprintf(turn->words, sizeof(turn->words), "VPD%02X", page);
    if (page == VPD_SUPPORTED_PAGES)
        turn->reply_length = vpd_encode_supported(turn->reply, pages, unit->naa ? 5 : 4);
    else if (page == VPD_UNIT_SERIAL_NUMBER)
        turn->reply_length = vpd_encode_serial(turn->reply, unit->serial);
    else if (page == VPD_DEVICE_IDENTIFICATION && unit->naa)
        turn->reply_length = vpd_encode_identification(turn->reply, unit->naa, "FAKE", "unit");
    else if (page == VPD_BLOCK_LIMITS)
        turn->reply_length = vpd_encode_block_limits(turn->reply, &limits);
    else if (page == VPD_LOGICAL_BLOCK_PROVISIONING)
        turn->reply_length = vpd_encode_provisioning(turn->reply, &provisioning);
    else
        illegal_request(turn->request, ASC_INVALID_FIELD_IN_CDB);
}

static void inquiry(struct turn *turn)
{
    struct inquiry data = {.peripheral_qualifier = turn->unit->qualifier,
                           .peripheral_type = turn->unit->type,
                           .version = 6,
                           .product = "UNIT",
                           .revision = "1"};

    strcpy(turn->words, "INQ");
    snprintf(data.vendor, sizeof(data.vendor), "%s", turn->unit->vendor);
    turn->reply_length = inquiry_encode(&data, turn->reply);
}

static void capacity(struct turn *turn, bool of_16)
{
    const struct fake_unit *unit = turn->unit;
    const struct capacity data = {.blocks = unit->blocks,
                                  .block_size = unit->block_size,
                                  .lbpme = unit->thin,
                                  .lbprz = unit->lbprz};

    strcpy(turn->words, of_16 ? "RC16" : "RC10");
    if (of_16)
        capacity_encode_16(&data, turn->reply);
    else
        capacity_encode_10(&data, turn->reply);
    turn->reply_length = of_16 ? READ_CAPACITY_16_BYTES : READ_CAPACITY_10_BYTES;
}

static void service_action(struct turn *turn)
{
    if ((turn->request->cdb[1] & 0x1F) == SCSI_SA_GET_LBA_STATUS_16)
        map(turn);
    else
        capacity(turn, true);
}

static void reserve(struct turn *turn)
{
    uint8_t list[24] = {0};

    if (turn->request->direction == TRANSPORT_DATA_OUT)
        move_data(turn->request, list, sizeof(list));
    turn->request->status =
        fake_reservation_serve(&turn->unit->reservation, turn->request->cdb, list, turn->words,
                               turn->reply, &turn->reply_length);
    if (turn->request->direction == TRANSPORT_DATA_IN && turn->unit->lie_of_reservation)
        turn->reply_length =
            turn->unit->lie_of_reservation(turn->unit, turn->reply, sizeof(turn->reply));
}

static void execute(struct turn *turn)
{
    const uint8_t *cdb = turn->request->cdb;

    switch (cdb[0]) {
    case SCSI_TEST_UNIT_READY:
        strcpy(turn->words, "TUR");
        break;
    case SCSI_INQUIRY:
        if (cdb[1] & 1)
            vpd(turn, cdb[2]);
        else
            inquiry(turn);
        break;
    case SCSI_READ_CAPACITY_10:
        capacity(turn, false);
        break;
    case SCSI_SERVICE_ACTION_IN_16:
        service_action(turn);
        break;
    case SCSI_MODE_SENSE_6:
        strcpy(turn->words, "MODE");
        turn->reply[0] = 3;
        turn->reply[2] = turn->unit->write_protected ? 0x80 : 0;
        turn->reply_length = 4;
        break;
    case SCSI_READ_16:
    case SCSI_WRITE_16:
        read_or_write(turn, cdb[0] == SCSI_WRITE_16);
        break;
    case SCSI_WRITE_SAME_16:
        write_same(turn);
        break;
    case SCSI_UNMAP:
        unmap(turn);
        break;
    case SCSI_SYNCHRONIZE_CACHE_10:
    case SCSI_SYNCHRONIZE_CACHE_16:
        strcpy(turn->words, cdb[0] == SCSI_SYNCHRONIZE_CACHE_16 ? "SC16" : "SC10");
        break;
    case SCSI_PERSISTENT_RESERVE_IN:
    case SCSI_PERSISTENT_RESERVE_OUT:
        reserve(turn);
        break;
    default:
        snprintf(turn->words, sizeof(turn->words), "?%02X", cdb[0]);
        illegal_request(turn->request, ASC_INVALID_OPERATION_CODE);
        break;
    }
}

/* Whether word is the first one of words. */
static bool begins_with(const char *words, const char *word, size_t length)
{
    return strncmp(words, word, length) == 0 && (words[length] == ' ' || words[length] == '\0');
}

static bool is_unknown(const struct fake_unit *unit, const char *words)
{
    const char *at = unit->unknown;

    while (at && *at) {
        size_t length = strcspn(at, " ");

        if (begins_with(words, at, length))
            return true;
        at += length + strspn(at + length, " ");
    }
    return false;
}

/* The fault that this command meets, or NULL. */
static struct fake_fault *take_fault(struct fake_unit *unit, const char *words)
{
    for (size_t i = 0; i < sizeof(unit->faults) / sizeof(unit->faults[0]); i++) {
        struct fake_fault *fault = &unit->faults[i];

        if (!fault->word || fault->times == 0 ||
            !begins_with(words, fault->word, strlen(fault->word)))
            continue;
        if (fault->skip > 0) {
            fault->skip--;
            continue;
        }
        fault->times--;
        return fault;
    }
    return NULL;
}

static void apply_fault(struct transport_request *request, const struct fake_fault *fault)
{
    const struct sense sense = {.key = fault->key,
                                .asc_ascq = fault->asc_ascq,
                                .deferred = fault->deferred,
                                .information_valid = fault->information_valid,
                                .information = fault->information};

    if (fault->short_by) {
        request->transferred -= fault->short_by;
        return;
    }
    request->result = fault->result;
    request->status = fault->status;
    if (!fault->carried_out)
        request->transferred = 0;
    if (fault->key || fault->asc_ascq || fault->deferred)
        check_condition(request, &sense);
}

static void note(struct fake_unit *unit, const char *words)
{
    size_t used = strlen(unit->log);

    assert(used + strlen(words) + 2 < sizeof(unit->log));
    snprintf(unit->log + used, sizeof(unit->log) - used, "%s%s", used ? " " : "", words);
}

static void serve(struct fake_unit *unit, struct transport_request *request)
{
    struct turn *turn = calloc(1, sizeof(*turn));
    struct fake_fault *fault;
    uint8_t *data = malloc(unit->blocks * unit->block_size);
    bool *mapped = malloc(unit->blocks * sizeof(*mapped));

    assert(turn && data && mapped);
    /* A command that fails has done nothing. */
    memcpy(data, unit->data, unit->blocks * unit->block_size);
    memcpy(mapped, unit->mapped, unit->blocks * sizeof(*mapped));
    turn->unit = unit;
    turn->request = request;
    unit->last_timeout_ms = request->timeout_ms;
    execute(turn);
    if (turn->reply_length)
        move_data(request, turn->reply, turn->reply_length);
    note(unit, turn->words);
    if (is_unknown(unit, turn->words))
        illegal_request(request, ASC_INVALID_OPERATION_CODE);
    fault = take_fault(unit, turn->words);
    if (fault)
        apply_fault(request, fault);
    if ((request->status || request->result) && !(fault && fault->carried_out)) {
        memcpy(unit->data, data, unit->blocks * unit->block_size);
        memcpy(unit->mapped, mapped, unit->blocks * sizeof(*mapped));
    }
    free(data);
    free(mapped);
    free(turn);
}

static int fake_submit(struct transport *transport, struct transport_request *request)
{
    struct fake_unit *unit = (struct fake_unit *)transport;

    if (unit->dead)
        return unit->dead;
    assert(unit->queued < sizeof(unit->queue) / sizeof(unit->queue[0]));
    unit->queue[unit->queued++] = request;
    return 0;
}

static int fake_poll(struct transport *transport, struct pollfd *ret)
{
    *ret = (struct pollfd){.fd = -1};
    return ((struct fake_unit *)transport)->queued ? 0 : -1;
}

static void fail_queued(struct fake_unit *unit)
{
    while (unit->queued > 0) {
        struct transport_request *request = unit->queue[--unit->queued];

        request->result = unit->dead;
        transport_complete(&unit->transport, request);
    }
}

/* Answers what was queued when it began; what comes in meanwhile waits for the next time. */
static int fake_service(struct transport *transport, short revents)
{
    struct fake_unit *unit = (struct fake_unit *)transport;
    struct transport_request *now[sizeof(unit->queue) / sizeof(unit->queue[0])];
    size_t count = unit->queued;

    (void)revents;
    unit->rounds += count > 0;
    memcpy(now, unit->queue, count * sizeof(now[0]));
    unit->queued = 0;
    for (size_t i = 0; i < count; i++)
        if (unit->dead) {
            now[i]->result = unit->dead;
            transport_complete(transport, now[i]);
        } else {
            serve(unit, now[i]);
            if (now[i]->result == -ENOTCONN || now[i]->result == -ETIMEDOUT)
                unit->dead = now[i]->result;
            transport_complete(transport, now[i]);
        }
    if (unit->dead)
        fail_queued(unit);
    return unit->dead;
}

static void fake_close(struct transport *transport)
{
    struct fake_unit *unit = (struct fake_unit *)transport;

    unit->dead = -ECANCELED;
    fail_queued(unit);
    free(unit->data);
    free(unit->mapped);
    unit->data = NULL;
    unit->mapped = NULL;
}

static const struct transport_ops fake_ops = {
    .kind = "fake",
    .close = fake_close,
    .submit = fake_submit,
    .poll = fake_poll,
    .service = fake_service,
};

void fake_unit_format(struct fake_unit *unit)
{
    free(unit->data);
    free(unit->mapped);
    unit->data = calloc(unit->blocks, unit->block_size);
    unit->mapped = calloc(unit->blocks, sizeof(*unit->mapped));
    assert(unit->data && unit->mapped);
}

struct fake_unit *fake_unit_new(void)
{
    struct fake_unit *unit = calloc(1, sizeof(*unit));

    assert(unit);
    unit->transport.ops = &fake_ops;
    unit->blocks = 1024;
    unit->block_size = 512;
    unit->vendor = "FAKE";
    unit->serial = "serial-1";
    unit->naa = default_naa;
    unit->thin = unit->lbprz = unit->lbpu = unit->lbpws = true;
    unit->granularity = 1;
    unit->unmap_unit = 1;
    unit->max_unmap_descriptors = 1;
    fake_unit_format(unit);
    return unit;
}

void fake_unit_free(struct fake_unit *unit)
{
    free(unit);
}

void fake_unit_fault(struct fake_unit *unit, struct fake_fault fault)
{
    for (size_t i = 0; i < sizeof(unit->faults) / sizeof(unit->faults[0]); i++)
        if (!unit->faults[i].word || unit->faults[i].times == 0) {
            unit->faults[i] = fault;
            return;
        }
    assert(false && "no room for another fault");
}

void fake_unit_fill(struct fake_unit *unit, uint64_t lba, uint64_t blocks, uint8_t byte)
{
    memset(unit->data + lba * unit->block_size, byte, blocks * unit->block_size);
    set_mapped(unit, lba, blocks, true);
}

bool fake_unit_is(const struct fake_unit *unit, uint64_t lba, uint64_t blocks, uint8_t byte)
{
    const uint8_t *at = unit->data + lba * unit->block_size;

    for (uint64_t i = 0; i < blocks * unit->block_size; i++)
        if (at[i] != byte)
            return false;
    return true;
}
