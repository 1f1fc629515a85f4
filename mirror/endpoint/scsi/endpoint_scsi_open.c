/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_scsi.h"

/* Asks the logical unit who and what it is. All of this is synchronous, but the questions that do
 * not depend on each other go out together: three round trips, however much there is to ask. A unit
 * attention makes them all be asked again. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capacity.h"
#include "cdb.h"
#include "checked.h"
#include "endpoint_kinds.h"
#include "inquiry.h"
#include "lba_status.h"
#include "patience.h"
#include "scsi_defs.h"
#include "scsi_question.h"
#include "vpd.h"

#define RETRY_FOR_MS       30000 /* a target that is busy or becoming ready */
#define MAX_CHANGES        16
#define MAX_ANEW           4
#define MAX_TRANSFER_BYTES (UINT64_C(16) << 20)
#define MAP_LENGTH         (LBA_STATUS_HEADER_BYTES + 4095 * LBA_STATUS_DESCRIPTOR_BYTES)
#define MAP_LENGTH_SMALL   (LBA_STATUS_HEADER_BYTES + LBA_STATUS_DESCRIPTOR_BYTES)
#define MODE_PAGE_ALL      0x3F
#define MODE_BYTES         192
#define MODE_WP            0x80 /* in the DEVICE-SPECIFIC PARAMETER (SBC-4 6.5.1) */
/* Memory is set aside by the block. */
#define LARGEST_BLOCK_BYTES  (1024 * 1024)
#define SMALLEST_BLOCK_BYTES 512
#define NO_UNIT_HERE         0x3 /* PERIPHERAL QUALIFIER (SPC-4 6.6.2) */

/* What does not depend on anything else is asked first, all of it at once; then what the answers
 * give reason to ask. */
enum { ASK_READY, ASK_INQUIRY, ASK_PAGES, ASK_CAPACITY, ASK_MODE, FIRST_QUESTIONS };

enum {
    ASK_IDENTITY,
    ASK_SERIAL,
    ASK_LIMITS,
    ASK_PROVISIONING,
    ASK_BITMAP,
    ASK_MAP,
    SECOND_QUESTIONS
};

struct probe {
    struct scsi_endpoint *endpoint;
    struct errmsg *err;
    unsigned anew; /* so often everything may still be asked anew */
    struct scsi_question first[FIRST_QUESTIONS];
    struct scsi_question second[SECOND_QUESTIONS];
    struct scsi_question after; /* one that is asked alone */
    uint8_t map[MAP_LENGTH];
};

/* -EAGAIN when one of them met a unit attention or a new connection: what was answered before may
 * be out of date. When that comes to no end, the questions that meet it are asked again alone. */
static int ask(struct probe *probe, struct scsi_question questions[], size_t count)
{
    scsi_ask(probe->endpoint->transport, questions, count, RETRY_FOR_MS,
             probe->anew > 0 ? 0 : MAX_CHANGES);
    for (size_t i = 0; i < count && probe->anew > 0; i++)
        if (questions[i].changed) {
            probe->anew--;
            return -EAGAIN;
        }
    return 0;
}

/* The length of the answer, 0 when there is none of use. */
static size_t answer_bytes(const struct scsi_question *question)
{
    return question->outcome.verdict == VERDICT_GOOD ? question->request.transferred : 0;
}

static int no_such_lun(struct probe *probe)
{
    return errmsg_set(probe->err, -ENODEV, "%s: the target has no such LUN", probe->endpoint->name);
}

/* The sentence for a command that cannot be done without. */
static int probe_failed(struct probe *probe, const struct scsi_question *question)
{
    char text[512];

    if (question->outcome.error == -ENODEV)
        return no_such_lun(probe);
    return errmsg_set(probe->err, question->outcome.error, "%s: %s", probe->endpoint->name,
                      scsi_outcome_describe(&question->outcome, &question->request, text,
                                            sizeof(text)));
}

static int probe_ready(struct probe *probe, const struct scsi_question *question)
{
    return question->outcome.verdict == VERDICT_GOOD ? 0 : probe_failed(probe, question);
}

static int ask_first(struct probe *probe)
{
    struct scsi_question *first = probe->first;

    memset(first, 0, sizeof(probe->first));
    scsi_question_set(&first[ASK_READY], cdb_test_unit_ready(first[ASK_READY].request.cdb), 0);
    scsi_question_set(&first[ASK_INQUIRY],
                      cdb_inquiry(first[ASK_INQUIRY].request.cdb, INQUIRY_BYTES), INQUIRY_BYTES);
    scsi_question_set(&first[ASK_PAGES],
                      cdb_inquiry_vpd(first[ASK_PAGES].request.cdb, VPD_SUPPORTED_PAGES,
                                      SCSI_QUESTION_BYTES),
                      SCSI_QUESTION_BYTES);
    scsi_question_set(&first[ASK_CAPACITY],
                      cdb_read_capacity_16(first[ASK_CAPACITY].request.cdb, READ_CAPACITY_16_BYTES),
                      READ_CAPACITY_16_BYTES);
    if (probe->endpoint->base.info.writable)
        scsi_question_set(&first[ASK_MODE],
                          cdb_mode_sense_6(first[ASK_MODE].request.cdb, MODE_PAGE_ALL, MODE_BYTES),
                          MODE_BYTES);
    return ask(probe, first, FIRST_QUESTIONS);
}

static int probe_inquiry(struct probe *probe, struct inquiry *ret)
{
    const struct scsi_question *question = &probe->first[ASK_INQUIRY];

    if (question->outcome.verdict != VERDICT_GOOD)
        return probe_failed(probe, question);
    if (inquiry_decode(question->own, answer_bytes(question), ret) < 0)
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

static int probe_capacity(struct probe *probe, struct capacity *ret)
{
    struct scsi_unit *unit = &probe->endpoint->unit;
    struct scsi_question *question = &probe->first[ASK_CAPACITY];
    int r;

    unit->capacity_10 = question->outcome.verdict == VERDICT_UNSUPPORTED;
    if (unit->capacity_10) {
        question = &probe->after;
        scsi_question_set(question, cdb_read_capacity_10(question->request.cdb),
                          READ_CAPACITY_10_BYTES);
        r = ask(probe, question, 1);
        if (r < 0)
            return r;
    }
    if (question->outcome.verdict != VERDICT_GOOD)
        return probe_failed(probe, question);
    r = unit->capacity_10 ? capacity_decode_10(question->own, answer_bytes(question), ret)
                          : capacity_decode_16(question->own, answer_bytes(question), ret);
    if (r < 0)
        return errmsg_set(probe->err, -EIO, "%s: its capacity cannot be understood",
                          probe->endpoint->name);
    if (ret->block_size < SMALLEST_BLOCK_BYTES || (ret->block_size & (ret->block_size - 1)) != 0)
        return errmsg_set(
            probe->err, -EOPNOTSUPP,
            "%s: it says that its blocks are of %u bytes; only powers of two from 512 "
            "on are supported",
            probe->endpoint->name, ret->block_size);
    if (ret->block_size > LARGEST_BLOCK_BYTES)
        return errmsg_set(probe->err, -EOPNOTSUPP,
                          "%s: it says that its blocks are of %u bytes; more than 1 MiB is not "
                          "supported",
                          probe->endpoint->name, ret->block_size);
    unit->blocks = ret->blocks;
    unit->block_size = ret->block_size;
    return 0;
}

static int probe_write_protection(struct probe *probe)
{
    const struct scsi_question *question = &probe->first[ASK_MODE];

    /* A unit without mode pages says so at the first write. */
    if (answer_bytes(question) < 4 || !(question->own[2] & MODE_WP))
        return 0;
    return errmsg_set(probe->err, -EROFS, "%s: it is write protected", probe->endpoint->name);
}

/* Which pages to ask for. A unit without a list may have the first two. */
static void set_page_questions(struct probe *probe)
{
    static const struct {
        uint8_t page;
        bool without_list;
    } pages[] = {
        [ASK_IDENTITY] = {VPD_DEVICE_IDENTIFICATION, true},
        [ASK_SERIAL] = {VPD_UNIT_SERIAL_NUMBER, true},
        [ASK_LIMITS] = {VPD_BLOCK_LIMITS, false},
        [ASK_PROVISIONING] = {VPD_LOGICAL_BLOCK_PROVISIONING, false},
        [ASK_BITMAP] = {VPD_ALLOCATION_BITMAP, false},
    };
    const struct scsi_question *list = &probe->first[ASK_PAGES];
    size_t length = answer_bytes(list);

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        struct scsi_question *question = &probe->second[i];

        if (length ? vpd_supports(list->own, length, pages[i].page) : pages[i].without_list)
            scsi_question_set(question,
                              cdb_inquiry_vpd(question->request.cdb, pages[i].page,
                                              SCSI_QUESTION_BYTES),
                              SCSI_QUESTION_BYTES);
    }
}

static void set_map_question(struct probe *probe, struct scsi_question *question, uint32_t length)
{
    scsi_question_set(question, cdb_get_lba_status_16(question->request.cdb, 0, length), 0);
    question->reply = probe->map;
    question->reply_bytes = length;
}

static int ask_second(struct probe *probe, const struct capacity *capacity)
{
    memset(probe->second, 0, sizeof(probe->second));
    set_page_questions(probe);
    /* Without LBPME every block is mapped (SBC-4 4.7.2). */
    if (capacity->lbpme)
        set_map_question(probe, &probe->second[ASK_MAP], MAP_LENGTH);
    return ask(probe, probe->second, SECOND_QUESTIONS);
}

/* What went wrong in between shows here at the latest: a lost connection is no missing page. */
static int ask_still_ready(struct probe *probe)
{
    struct scsi_question *question = &probe->after;
    int r;

    scsi_question_set(question, cdb_test_unit_ready(question->request.cdb), 0);
    r = ask(probe, question, 1);
    return r == 0 ? probe_ready(probe, question) : r;
}

_Static_assert(ENDPOINT_IDENTITY_BYTES >= UNIT_IDENTITY_BYTES, "endpoint_info has room for it");

static void probe_identity(struct probe *probe, const struct inquiry *inquiry)
{
    struct scsi_endpoint *endpoint = probe->endpoint;
    struct endpoint_info *info = &endpoint->base.info;
    const struct scsi_question *page = probe->second;
    const struct unit_names names = {
        .identification = page[ASK_IDENTITY].own,
        .identification_bytes = answer_bytes(&page[ASK_IDENTITY]),
        .serial = page[ASK_SERIAL].own,
        .serial_bytes = answer_bytes(&page[ASK_SERIAL]),
        .inquiry = inquiry,
        .target = endpoint->transport->target,
    };

    strcpy(info->vendor, inquiry->vendor);
    strcpy(info->product, inquiry->product);
    unit_identity_read(&names, &endpoint->unit.identity, info->serial, sizeof(info->serial),
                       info->identity, sizeof(info->identity));
}

/* Whether it has answered a GET LBA STATUS, and how much it may be asked for at once. */
static int probe_map(struct probe *probe)
{
    static const size_t least = LBA_STATUS_HEADER_BYTES + LBA_STATUS_DESCRIPTOR_BYTES;
    struct scsi_endpoint *endpoint = probe->endpoint;
    struct scsi_question *question = &probe->second[ASK_MAP];
    bool asked = question->request.cdb_length > 0;
    int r = 0;

    if (asked && answer_bytes(question) < least) {
        question = &probe->after;
        set_map_question(probe, question, MAP_LENGTH_SMALL);
        r = ask(probe, question, 1);
    }
    endpoint->base.info.can_map = asked && answer_bytes(question) >= least;
    if (endpoint->base.info.can_map)
        endpoint->map_allocation_length = (uint32_t)question->reply_bytes;
    return r;
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
static int probe_provisioning(struct probe *probe, const struct capacity *capacity)
{
    struct scsi_endpoint *endpoint = probe->endpoint;
    struct endpoint_info *info = &endpoint->base.info;
    struct vpd_block_limits limits = {0};
    struct vpd_provisioning provisioning = {0};
    const struct scsi_question *page = &probe->second[ASK_LIMITS];

    if (vpd_decode_block_limits(page->own, answer_bytes(page), &limits) < 0)
        limits = (struct vpd_block_limits){0};
    page = &probe->second[ASK_PROVISIONING];
    if (vpd_decode_provisioning(page->own, answer_bytes(page), &provisioning) < 0)
        provisioning = (struct vpd_provisioning){0};
    info->blocks = capacity->blocks;
    info->block_size = capacity->block_size;
    info->thin = capacity->lbpme;
    info->unmapped_reads_zeros = capacity->lbpme && capacity->lbprz;
    set_limits(endpoint, &limits);
    if (scsi_zero_setup(endpoint, info->unmapped_reads_zeros, &provisioning, &limits) < 0)
        return errmsg_set(probe->err, -ENOMEM, "%s: out of memory", endpoint->name);
    return 0;
}

/* A page of that code may be another vendor's, and mean anything. */
static void probe_bitmap(struct probe *probe)
{
    struct scsi_endpoint *endpoint = probe->endpoint;
    struct bitmap_geometry *bitmap = &endpoint->bitmap;
    const struct scsi_question *page = &probe->second[ASK_BITMAP];

    endpoint->base.info.can_bitmap = false;
    if (bitmap_page_decode(page->own, answer_bytes(page), &bitmap->page) < 0)
        return;
    bitmap->block_size = endpoint->unit.block_size;
    bitmap->blocks = endpoint->unit.blocks;
    endpoint->base.info.can_bitmap = bitmap_geometry_is_sound(bitmap);
}

/* Asks for everything once. */
static int probe_once(struct probe *probe)
{
    struct inquiry inquiry;
    struct capacity capacity = {0};
    int r = ask_first(probe);

    if (r == 0)
        r = probe_ready(probe, &probe->first[ASK_READY]);
    if (r == 0)
        r = probe_inquiry(probe, &inquiry);
    if (r == 0)
        r = probe_capacity(probe, &capacity);
    if (r == 0)
        r = probe_write_protection(probe);
    if (r == 0)
        r = ask_second(probe, &capacity);
    if (r == 0)
        r = probe_map(probe);
    if (r == 0)
        r = ask_still_ready(probe);
    if (r < 0)
        return r;
    probe_identity(probe, &inquiry);
    probe_bitmap(probe);
    return probe_provisioning(probe, &capacity);
}

/* The answers are of one state of the unit: it had nothing to tell between the first and the last,
 * unless it always has. */
static int probe_unit(struct probe *probe)
{
    unsigned before;
    int r;

    probe->anew = MAX_ANEW;
    do {
        before = probe->anew;
        r = probe_once(probe);
    } while (probe->anew < before);
    return r;
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
    /* What an earlier process wrote, or unmapped, and did not flush may be on the unit: a copy that
     * goes on takes it as it sees it. */
    if (flags & ENDPOINT_WRITABLE)
        endpoint->changes_begun = endpoint->changes_ended = 1;
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
