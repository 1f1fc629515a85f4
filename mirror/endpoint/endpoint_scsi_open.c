/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_scsi.h"

/* Asks the logical unit who and what it is. All of this is synchronous. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "capacity.h"
#include "cdb.h"
#include "checked.h"
#include "endpoint_kinds.h"
#include "inquiry.h"
#include "lba_status.h"
#include "monotonic.h"
#include "patience.h"
#include "scsi_defs.h"
#include "vpd.h"

#define RETRY_FOR_MS       30000 /* a target that is busy or becoming ready */
#define PROBE_PAUSE_MS     100
#define MAX_ATTENTIONS     16
#define MAX_TRANSFER_BYTES (UINT64_C(16) << 20)
#define MAP_LENGTH         (LBA_STATUS_HEADER_BYTES + 4095 * LBA_STATUS_DESCRIPTOR_BYTES)
#define MAP_LENGTH_SMALL   (LBA_STATUS_HEADER_BYTES + LBA_STATUS_DESCRIPTOR_BYTES)
#define MODE_PAGE_ALL      0x3F
#define MODE_BYTES         192
#define MODE_WP            0x80 /* in the DEVICE-SPECIFIC PARAMETER (SBC-4 6.5.1) */
#define NO_UNIT_HERE       0x3  /* PERIPHERAL QUALIFIER (SPC-4 6.6.2) */

/* A command of the probe and what came of it. */
struct probe {
    struct scsi_endpoint *endpoint;
    struct errmsg *err;
    struct transport_request request;
    struct outcome outcome;
    uint8_t data[SCSI_VPD_BYTES];
};

/* Runs the CDB in probe->request, of cdb_length bytes, reading length bytes to data. Sent again
 * after unit attentions and while the target is busy. The verdict. */
static enum verdict run(struct probe *probe, size_t cdb_length, void *data, size_t length)
{
    struct iovec iov = {data, length};
    uint64_t end = monotonic_ms() + RETRY_FOR_MS;
    unsigned attentions = 0;

    probe->request.cdb_length = cdb_length;
    probe->request.direction = length ? TRANSPORT_DATA_IN : TRANSPORT_NO_DATA;
    probe->request.iov = &iov;
    probe->request.iov_count = length ? 1 : 0;
    for (;;) {
        if (length)
            memset(data, 0, length);
        transport_run(probe->endpoint->transport, &probe->request);
        probe->outcome = scsi_outcome(&probe->request);
        if (probe->outcome.verdict == VERDICT_ATTENTION && ++attentions < MAX_ATTENTIONS)
            continue;
        if (probe->outcome.verdict != VERDICT_BUSY || monotonic_ms() >= end)
            return probe->outcome.verdict;
        poll(NULL, 0, PROBE_PAUSE_MS);
    }
}

static int no_such_lun(struct probe *probe)
{
    return errmsg_set(probe->err, -ENODEV, "%s: the target has no such LUN", probe->endpoint->name);
}

/* The sentence for a command that cannot be done without. */
static int probe_failed(struct probe *probe)
{
    char text[512];

    if (probe->outcome.error == -ENODEV)
        return no_such_lun(probe);
    return errmsg_set(probe->err, probe->outcome.error, "%s: %s", probe->endpoint->name,
                      scsi_outcome_describe(&probe->outcome, &probe->request, text, sizeof(text)));
}

static int probe_ready(struct probe *probe)
{
    if (run(probe, cdb_test_unit_ready(probe->request.cdb), NULL, 0) != VERDICT_GOOD)
        return probe_failed(probe);
    return 0;
}

static int probe_inquiry(struct probe *probe, struct inquiry *ret)
{
    if (run(probe, cdb_inquiry(probe->request.cdb, INQUIRY_BYTES), probe->data, INQUIRY_BYTES) !=
        VERDICT_GOOD)
        return probe_failed(probe);
    if (inquiry_decode(probe->data, probe->request.transferred, ret) < 0)
        return errmsg_set(probe->err, -EIO, "%s: its INQUIRY data cannot be understood",
                          probe->endpoint->name);
    if (ret->peripheral_qualifier == NO_UNIT_HERE)
        return no_such_lun(probe);
    if (ret->peripheral_qualifier != 0 ||
        ret->peripheral_type != INQUIRY_DIRECT_ACCESS_BLOCK_DEVICE)
        return errmsg_set(
            probe->err, -ENOTBLK,
            "%s: no disk but a device of type %02Xh (%s %s); only direct access block "
            "devices can be mirrored",
            probe->endpoint->name, ret->peripheral_type, ret->vendor, ret->product);
    return 0;
}

/* A VPD page into probe->data; its length, 0 when there is none. */
static size_t probe_vpd(struct probe *probe, uint8_t page)
{
    size_t length = cdb_inquiry_vpd(probe->request.cdb, page, SCSI_VPD_BYTES);

    if (run(probe, length, probe->data, SCSI_VPD_BYTES) != VERDICT_GOOD)
        return 0;
    return probe->request.transferred;
}

struct pages {
    bool serial, identification, limits, provisioning, bitmap;
};

/* Which pages to ask for. A unit without a list may have the first two. */
static struct pages probe_pages(struct probe *probe)
{
    size_t length = probe_vpd(probe, VPD_SUPPORTED_PAGES);
    const uint8_t *data = probe->data;

    if (length == 0)
        return (struct pages){.serial = true, .identification = true};
    return (struct pages){
        .serial = vpd_supports(data, length, VPD_UNIT_SERIAL_NUMBER),
        .identification = vpd_supports(data, length, VPD_DEVICE_IDENTIFICATION),
        .limits = vpd_supports(data, length, VPD_BLOCK_LIMITS),
        .provisioning = vpd_supports(data, length, VPD_LOGICAL_BLOCK_PROVISIONING),
        .bitmap = vpd_supports(data, length, VPD_ALLOCATION_BITMAP),
    };
}

static void probe_identity(struct probe *probe, const struct pages *pages,
                           const struct inquiry *inquiry)
{
    struct scsi_endpoint *endpoint = probe->endpoint;
    struct scsi_unit *unit = &endpoint->unit;
    struct endpoint_info *info = &endpoint->base.info;
    size_t length;

    strcpy(info->vendor, inquiry->vendor);
    strcpy(info->product, inquiry->product);
    length = pages->identification ? probe_vpd(probe, VPD_DEVICE_IDENTIFICATION) : 0;
    if (length && scsi_identity_key(VPD_DEVICE_IDENTIFICATION, probe->data, length,
                                    unit->identity_key, sizeof(unit->identity_key)))
        unit->identity_page = VPD_DEVICE_IDENTIFICATION;
    length = pages->serial ? probe_vpd(probe, VPD_UNIT_SERIAL_NUMBER) : 0;
    if (length && !scsi_identity_key(VPD_UNIT_SERIAL_NUMBER, probe->data, length, info->serial,
                                     sizeof(info->serial)))
        info->serial[0] = '\0';
    if (unit->identity_page == 0 && info->serial[0]) {
        unit->identity_page = VPD_UNIT_SERIAL_NUMBER;
        strcpy(unit->identity_key, info->serial);
    }
    scsi_identity_text(unit, info->serial, inquiry, endpoint->transport->target, info->identity,
                       sizeof(info->identity));
}

static int probe_capacity(struct probe *probe, struct capacity *ret)
{
    struct scsi_unit *unit = &probe->endpoint->unit;
    enum verdict verdict =
        run(probe, cdb_read_capacity_16(probe->request.cdb, READ_CAPACITY_16_BYTES), probe->data,
            READ_CAPACITY_16_BYTES);
    int r;

    unit->capacity_10 = verdict == VERDICT_UNSUPPORTED;
    if (unit->capacity_10)
        verdict = run(probe, cdb_read_capacity_10(probe->request.cdb), probe->data,
                      READ_CAPACITY_10_BYTES);
    if (verdict != VERDICT_GOOD)
        return probe_failed(probe);
    r = unit->capacity_10 ? capacity_decode_10(probe->data, probe->request.transferred, ret)
                          : capacity_decode_16(probe->data, probe->request.transferred, ret);
    if (r < 0)
        return errmsg_set(probe->err, -EIO, "%s: its capacity cannot be understood",
                          probe->endpoint->name);
    unit->blocks = ret->blocks;
    unit->block_size = ret->block_size;
    return 0;
}

static int probe_write_protection(struct probe *probe)
{
    size_t length = cdb_mode_sense_6(probe->request.cdb, MODE_PAGE_ALL, MODE_BYTES);

    /* A unit without mode pages says so at the first write. */
    if (run(probe, length, probe->data, MODE_BYTES) != VERDICT_GOOD ||
        probe->request.transferred < 4 || !(probe->data[2] & MODE_WP))
        return 0;
    return errmsg_set(probe->err, -EROFS, "%s: it is write protected", probe->endpoint->name);
}

/* Whether it answers a GET LBA STATUS, and how much it may be asked for at once. */
static int probe_map(struct probe *probe)
{
    static const uint32_t lengths[] = {MAP_LENGTH, MAP_LENGTH_SMALL};
    struct scsi_endpoint *endpoint = probe->endpoint;
    uint8_t *reply = malloc(MAP_LENGTH);

    if (!reply)
        return errmsg_set(probe->err, -ENOMEM, "%s: out of memory", endpoint->name);
    for (size_t i = 0; i < 2 && !endpoint->base.info.can_map; i++) {
        size_t length = cdb_get_lba_status_16(probe->request.cdb, 0, lengths[i]);

        if (run(probe, length, reply, lengths[i]) != VERDICT_GOOD ||
            probe->request.transferred < LBA_STATUS_HEADER_BYTES + LBA_STATUS_DESCRIPTOR_BYTES)
            continue;
        endpoint->map_allocation_length = lengths[i];
        endpoint->base.info.can_map = true;
    }
    free(reply);
    return 0;
}

static void set_limits(struct scsi_endpoint *endpoint, const struct vpd_block_limits *limits)
{
    struct endpoint_info *info = &endpoint->base.info;
    uint64_t transfer = MAX_TRANSFER_BYTES;

    if (endpoint->transport->max_transfer_bytes)
        transfer = min_u64(transfer, endpoint->transport->max_transfer_bytes);
    transfer = max_u64(transfer / info->block_size, 1);
    if (limits->max_transfer)
        transfer = min_u64(transfer, limits->max_transfer);
    info->max_transfer_blocks = (uint32_t)transfer;
    info->optimal_transfer_blocks = limits->optimal_transfer;
    info->max_burst_bytes = endpoint->transport->max_burst_bytes;
    info->unsolicited_bytes = endpoint->transport->unsolicited_bytes;
    info->transfer_granularity_blocks = limits->optimal_transfer_granularity;
    info->unmap_granularity_blocks =
        limits->optimal_unmap_granularity ? limits->optimal_unmap_granularity : 1;
    info->unmap_alignment_blocks = limits->unmap_alignment_valid ? limits->unmap_alignment : 0;
}

/* Thin provisioning, its limits and what they mean for zeroing. */
static int probe_provisioning(struct probe *probe, const struct pages *pages,
                              const struct capacity *capacity)
{
    struct scsi_endpoint *endpoint = probe->endpoint;
    struct endpoint_info *info = &endpoint->base.info;
    struct vpd_block_limits limits = {0};
    struct vpd_provisioning provisioning = {0};
    size_t length = pages->limits ? probe_vpd(probe, VPD_BLOCK_LIMITS) : 0;
    int r = 0;

    if (length && vpd_decode_block_limits(probe->data, length, &limits) < 0)
        limits = (struct vpd_block_limits){0};
    length = pages->provisioning ? probe_vpd(probe, VPD_LOGICAL_BLOCK_PROVISIONING) : 0;
    if (length && vpd_decode_provisioning(probe->data, length, &provisioning) < 0)
        provisioning = (struct vpd_provisioning){0};
    info->blocks = capacity->blocks;
    info->block_size = capacity->block_size;
    info->thin = capacity->lbpme;
    info->unmapped_reads_zeros = capacity->lbpme && capacity->lbprz;
    set_limits(endpoint, &limits);
    /* Without LBPME every block is mapped (SBC-4 4.7.2). */
    if (capacity->lbpme)
        r = probe_map(probe);
    if (r == 0 && scsi_zero_setup(endpoint, info->unmapped_reads_zeros, &provisioning, &limits) < 0)
        r = errmsg_set(probe->err, -ENOMEM, "%s: out of memory", endpoint->name);
    return r;
}

/* A page of that code may be another vendor's, and mean anything. */
static void probe_bitmap(struct probe *probe)
{
    struct scsi_endpoint *endpoint = probe->endpoint;
    struct bitmap_geometry *bitmap = &endpoint->bitmap;
    size_t length = probe_vpd(probe, VPD_ALLOCATION_BITMAP);

    if (length == 0 || bitmap_page_decode(probe->data, length, &bitmap->page) < 0)
        return;
    bitmap->block_size = endpoint->unit.block_size;
    bitmap->blocks = endpoint->unit.blocks;
    endpoint->base.info.can_bitmap = bitmap_geometry_is_sound(bitmap);
}

static int probe_unit(struct probe *probe)
{
    struct inquiry inquiry;
    struct capacity capacity = {0};
    struct pages pages;
    int r = probe_ready(probe);

    if (r == 0)
        r = probe_inquiry(probe, &inquiry);
    if (r < 0)
        return r;
    pages = probe_pages(probe);
    probe_identity(probe, &pages, &inquiry);
    r = probe_capacity(probe, &capacity);
    if (r == 0 && probe->endpoint->base.info.writable)
        r = probe_write_protection(probe);
    if (r == 0)
        r = probe_provisioning(probe, &pages, &capacity);
    if (r == 0 && pages.bitmap)
        probe_bitmap(probe);
    /* What went wrong in between shows here at the latest: a lost connection is no missing page. */
    return r == 0 ? probe_ready(probe) : r;
}

int endpoint_scsi_open(const char *name, const char *kind, struct transport *transport,
                       unsigned flags, struct endpoint **ret, struct errmsg *err)
{
    struct scsi_endpoint *endpoint = calloc(1, sizeof(*endpoint));
    struct probe *probe = calloc(1, sizeof(*probe));
    int r = -ENOMEM;

    if (endpoint)
        endpoint->name = strdup(name);
    if (!endpoint || !endpoint->name || !probe) {
        free(endpoint ? endpoint->name : NULL);
        free(endpoint);
        free(probe);
        transport_close(transport);
        return errmsg_set(err, -ENOMEM, "%s: out of memory", name);
    }
    endpoint->base.ops = &scsi_endpoint_ops;
    endpoint->base.info.name = endpoint->name;
    endpoint->base.info.kind = kind;
    endpoint->base.info.data_by = transport->data_by;
    endpoint->base.info.can_reserve = true;
    endpoint->base.info.writable = flags & ENDPOINT_WRITABLE;
    endpoint->transport = transport;
    endpoint->retry_for_ms = RETRY_FOR_MS;
    probe->endpoint = endpoint;
    probe->err = err;
    r = probe_unit(probe);
    free(probe);
    if (r < 0) {
        endpoint_close(&endpoint->base);
        return r;
    }
    transport->reconnect_ms = patience_reconnect_ms();
    *ret = &endpoint->base;
    return 0;
}
