/* SPDX-License-Identifier: Apache-2.0 */
#include "lun_model.h"

#include "bitmap_reply.h"
#include "byteorder.h"
#include "capacity.h"
#include "cdb.h"
#include "checked.h"
#include "cleanup.h"
#include "fuzz.h"
#include "inquiry.h"
#include "lba_status.h"
#include "lun_model_copy.h"
#include "lun_model_mode.h"
#include "lun_model_token.h"
#include "lun_model_track.h"
#include "unmap_list.h"
#include "zeros.h"

/* The part of the CDB's range in the model; none when the range goes past the end. */
static struct lun_model_range range_of(const struct lun_model *model, uint64_t lba, uint64_t blocks)
{
    struct lun_model_range range = {0};

    if (range_within(lba, blocks, model->size / model->block_size)) {
        range.start = lba * model->block_size;
        range.length = blocks * model->block_size;
    }
    return range;
}

static bool out_of_range(const struct lun_model *model, uint64_t lba, uint64_t blocks)
{
    return !range_within(lba, blocks, model->size / model->block_size);
}

static void check_read(const struct lun_model *model, const struct lun_exchange *exchange,
                       const struct cdb_block_fields *fields)
{
    struct lun_model_range range = range_of(model, fields->lba, fields->blocks);

    FUZZ_CHECK(!out_of_range(model, fields->lba, fields->blocks) && fields->protect == 0);
    FUZZ_CHECK(exchange->data_in_filled == min_u64(range.length, exchange->data_in_bytes));
    FUZZ_CHECK(memcmp(exchange->data_in, model->bytes + range.start, exchange->data_in_filled) ==
               0);
}

static void apply_write(struct lun_model *model, const struct lun_exchange *exchange,
                        const struct cdb_block_fields *fields)
{
    struct lun_model_range range = range_of(model, fields->lba, fields->blocks);

    FUZZ_CHECK(!out_of_range(model, fields->lba, fields->blocks) && fields->protect == 0);
    FUZZ_CHECK(!lun_model_is_protected(model));
    FUZZ_CHECK(range.length <= exchange->data_out_bytes);
    if (range.length > 0)
        memcpy(model->bytes + range.start, exchange->data_out, range.length);
}

/* BYTCHK 0 compares nothing, 1 compares with as much data, 3 with one block over and over. */
static void check_verify(const struct lun_model *model, const struct lun_exchange *exchange,
                         const struct cdb_block_fields *fields)
{
    struct lun_model_range range = range_of(model, fields->lba, fields->blocks);
    size_t step = fields->bytchk == 3 ? model->block_size : range.length;

    FUZZ_CHECK(!out_of_range(model, fields->lba, fields->blocks) && fields->protect == 0);
    FUZZ_CHECK(fields->bytchk != 2);
    if (fields->bytchk == 0 || range.length == 0)
        return;
    FUZZ_CHECK(step <= exchange->data_out_bytes);
    for (uint64_t at = 0; at < range.length; at += step)
        FUZZ_CHECK(memcmp(model->bytes + range.start + at, exchange->data_out, step) == 0);
}

/* The first half of the data is what was there, the second what is there now. */
static void apply_compare_and_write(struct lun_model *model, const struct lun_exchange *exchange,
                                    const struct cdb_block_fields *fields)
{
    struct lun_model_range range = range_of(model, fields->lba, fields->blocks);

    FUZZ_CHECK(!out_of_range(model, fields->lba, fields->blocks) && fields->protect == 0);
    FUZZ_CHECK(!lun_model_is_protected(model));
    FUZZ_CHECK(2 * range.length == exchange->data_out_bytes);
    if (range.length == 0)
        return;
    FUZZ_CHECK(memcmp(model->bytes + range.start, exchange->data_out, range.length) == 0);
    memcpy(model->bytes + range.start, exchange->data_out + range.length, range.length);
}

static void apply_orwrite(struct lun_model *model, const struct lun_exchange *exchange,
                          const struct cdb_block_fields *fields)
{
    struct lun_model_range range = range_of(model, fields->lba, fields->blocks);

    FUZZ_CHECK(!out_of_range(model, fields->lba, fields->blocks) && fields->protect == 0);
    FUZZ_CHECK(!lun_model_is_protected(model));
    FUZZ_CHECK(range.length == exchange->data_out_bytes);
    for (uint64_t i = 0; i < range.length; i++)
        model->bytes[range.start + i] |= exchange->data_out[i];
}

static void apply_write_same(struct lun_model *model, const struct lun_exchange *exchange,
                             const struct cdb_block_fields *fields)
{
    struct lun_model_range range = range_of(model, fields->lba, fields->blocks);

    /* WSNZ is advertised: a count of zero is refused. */
    FUZZ_CHECK(fields->blocks > 0 && !out_of_range(model, fields->lba, fields->blocks));
    FUZZ_CHECK(!lun_model_is_protected(model) && fields->protect == 0 && !fields->obsolete);
    FUZZ_CHECK(!fields->anchor || fields->unmap);
    FUZZ_CHECK(fields->ndob || exchange->data_out_bytes >= model->block_size);
    for (uint64_t at = 0; at < range.length; at += model->block_size) {
        if (fields->ndob)
            memset(model->bytes + range.start + at, 0, model->block_size);
        else
            memcpy(model->bytes + range.start + at, exchange->data_out, model->block_size);
    }
}

/* The bytes of the parameter list there really are. */
static struct unmap_list unmap_list_of(const struct lun_exchange *exchange)
{
    size_t stated = (size_t)exchange->cdb[7] << 8 | exchange->cdb[8];
    struct unmap_list list = {0};

    if (unmap_list_decode(exchange->data_out, min_u64(stated, exchange->data_out_bytes), &list))
        FUZZ_CHECK(exchange->status != SCSI_STATUS_GOOD);
    return list;
}

static void apply_unmap(struct lun_model *model, const struct lun_exchange *exchange)
{
    struct unmap_list list = unmap_list_of(exchange);

    for (size_t i = 0; i < list.count; i++) {
        struct unmap_descriptor descriptor = unmap_list_get(&list, i);
        struct lun_model_range range = range_of(model, descriptor.lba, descriptor.blocks);

        FUZZ_CHECK(!out_of_range(model, descriptor.lba, descriptor.blocks));
        FUZZ_CHECK(!lun_model_is_protected(model) || descriptor.blocks == 0);
        memset(model->bytes + range.start, 0, range.length);
    }
}

/* Deallocated and anchored blocks are promised to read as zeros. */
static void check_extents(const struct lun_model *model, const struct extent_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct extent *extent = &list->items[i];

        if (extent->status != EXTENT_MAPPED)
            FUZZ_CHECK(bytes_are_zero(model->bytes + extent->start * model->block_size,
                                      extent->length * model->block_size));
    }
}

/* What a GET LBA STATUS command asks for. */
struct status_query {
    uint64_t lba;
    uint64_t scan_blocks; /* 0: up to the end */
    uint32_t allocation_length;
    uint8_t type;
};

static struct status_query status_query_of(const uint8_t *cdb)
{
    struct fuzz_input lba = {cdb + 2, 8}, length = {cdb + 10, 4}, scan = {cdb + 20, 4};
    struct status_query query = {.type = cdb[14]};

    if (cdb[0] == SCSI_VARIABLE_LENGTH) {
        query.type = cdb[10];
        lba = (struct fuzz_input){cdb + 12, 8};
        length = (struct fuzz_input){cdb + 28, 4};
        query.scan_blocks = fuzz_number(&scan, 4);
    }
    query.lba = fuzz_number(&lba, 8);
    query.allocation_length = (uint32_t)fuzz_number(&length, 4);
    return query;
}

/* A list of some of the blocks: in order, within the LUN, of the status that was asked for. */
static void check_some(const struct lun_model *model, const struct lun_exchange *exchange,
                       const struct status_query *query)
{
    uint64_t next = query->lba;

    FUZZ_CHECK(query->type <= 4 || query->type == 0x10);
    for (size_t at = 8; at + 16 <= exchange->data_in_filled; at += 16) {
        struct fuzz_input descriptor = {exchange->data_in + at, 16};
        uint64_t lba = fuzz_number(&descriptor, 8), blocks = fuzz_number(&descriptor, 4);
        uint8_t status = exchange->data_in[at + 12];

        FUZZ_CHECK(lba >= next && blocks > 0 && !out_of_range(model, lba, blocks));
        FUZZ_CHECK(status >= 1 && status <= 3);
        FUZZ_CHECK(query->type == 1 || query->type == (status == 3 ? 2 : status + 2));
        if (status != 3)
            FUZZ_CHECK(
                bytes_are_zero(model->bytes + lba * model->block_size, blocks * model->block_size));
        next = lba + blocks;
    }
    FUZZ_CHECK(query->scan_blocks == 0 || next - query->lba <= query->scan_blocks);
}

static void check_lba_status(const struct lun_model *model, const struct lun_exchange *exchange)
{
    struct status_query query = status_query_of(exchange->cdb);
    uint64_t blocks = model->size / model->block_size, next;
    uint32_t available;
    struct fuzz_input reply = {exchange->data_in, exchange->data_in_filled};
    CLEANUP(extent_list_free) struct extent_list list = {0};
    enum lba_status_defect defect;

    FUZZ_CHECK(query.lba < blocks);
    FUZZ_CHECK(exchange->data_in_filled <= query.allocation_length);
    if (reply.left < LBA_STATUS_HEADER_BYTES)
        return;
    available = (uint32_t)fuzz_number(&reply, 4);
    FUZZ_CHECK(available % LBA_STATUS_DESCRIPTOR_BYTES == 4);
    FUZZ_CHECK((exchange->data_in[7] & 0xF1) == 1); /* RTP */
    FUZZ_CHECK(exchange->data_in_filled ==
               min_u64(UINT64_C(4) + available,
                       min_u64(query.allocation_length, exchange->data_in_bytes)));
    if (query.type != 0) {
        check_some(model, exchange, &query);
        return;
    }
    FUZZ_CHECK(available >= 4 + LBA_STATUS_DESCRIPTOR_BYTES);
    FUZZ_CHECK(lba_status_decode(exchange->data_in, exchange->data_in_filled, query.lba, blocks,
                                 &list, &next, &defect) == 0);
    FUZZ_CHECK(defect == LBA_STATUS_SOUND ||
               (defect == LBA_STATUS_SHORT &&
                exchange->data_in_filled < LBA_STATUS_HEADER_BYTES + LBA_STATUS_DESCRIPTOR_BYTES));
    FUZZ_CHECK(query.scan_blocks == 0 || next - query.lba <= query.scan_blocks);
    check_extents(model, &list);
}

/* The bitmap from some byte on: what it calls not backed reads as zeros. */
static void check_bitmap(const struct lun_model *model, const struct lun_exchange *exchange)
{
    const uint8_t *reply = exchange->data_in;
    uint64_t first = get_be32(exchange->cdb + 2) * UINT64_C(8), next, lba;
    struct bitmap_geometry geometry = {.block_size = model->block_size,
                                       .blocks = model->size / model->block_size};
    CLEANUP(extent_list_free) struct extent_list list = {0};

    FUZZ_CHECK(exchange->cdb[1] == 1);
    FUZZ_CHECK(exchange->data_in_filled <= get_be24(exchange->cdb + 6));
    if (exchange->data_in_filled < BITMAP_HEADER_BYTES)
        return;
    memcpy(geometry.page.uuid, reply + 16, sizeof(geometry.page.uuid));
    geometry.page.element_bytes = get_be64(reply + 40);
    FUZZ_CHECK(bitmap_geometry_is_sound(&geometry));
    lba = first * (geometry.page.element_bytes / model->block_size);
    FUZZ_CHECK(lba < geometry.blocks);
    if (get_be64(reply + 56) == first) /* there was no room for a bit */
        return;
    FUZZ_CHECK(bitmap_reply_decode(&geometry, reply, exchange->data_in_filled, lba, geometry.blocks,
                                   &list, &next) == 0);
    FUZZ_CHECK(next > lba && next <= geometry.blocks);
    check_extents(model, &list);
}

static void check_capacity(const struct lun_model *model, const struct lun_exchange *exchange)
{
    struct capacity capacity;
    int result = exchange->cdb[0] == SCSI_READ_CAPACITY_10
                     ? capacity_decode_10(exchange->data_in, exchange->data_in_filled, &capacity)
                     : capacity_decode_16(exchange->data_in, exchange->data_in_filled, &capacity);

    if (result == 0) {
        FUZZ_CHECK(capacity.block_size == model->block_size);
        FUZZ_CHECK(capacity.blocks * capacity.block_size == model->size);
    }
}

static void check_service_action_in(const struct lun_model *model,
                                    const struct lun_exchange *exchange)
{
    switch (exchange->cdb[1] & 0x1F) {
    case SCSI_SA_READ_CAPACITY_16:
        check_capacity(model, exchange);
        break;
    case SCSI_SA_GET_LBA_STATUS_16:
        check_lba_status(model, exchange);
        break;
    default:
        FUZZ_CHECK(exchange->status != SCSI_STATUS_GOOD); /* it is unknown */
    }
}

static void check_inquiry(const struct lun_exchange *exchange)
{
    struct inquiry inquiry;

    FUZZ_CHECK(exchange->data_in_filled <= ((size_t)exchange->cdb[3] << 8 | exchange->cdb[4]));
    if (exchange->cdb[1] & 0x01) {
        FUZZ_CHECK(exchange->data_in_filled < 2 || exchange->data_in[1] == exchange->cdb[2]);
        return;
    }
    FUZZ_CHECK(exchange->cdb[2] == 0);
    if (inquiry_decode(exchange->data_in, exchange->data_in_filled, &inquiry) == 0)
        FUZZ_CHECK(inquiry.peripheral_type == INQUIRY_DIRECT_ACCESS_BLOCK_DEVICE);
}

static void apply_good(struct lun_model *model, const struct lun_exchange *exchange)
{
    struct cdb_block_fields fields = {0};
    bool has_blocks = cdb_decode_block_fields(exchange->cdb, &fields) == 0;

    switch (exchange->cdb[0]) {
    case SCSI_READ_6:
    case SCSI_READ_10:
    case SCSI_READ_12:
    case SCSI_READ_16:
        check_read(model, exchange, &fields);
        break;
    case SCSI_WRITE_6:
    case SCSI_WRITE_10:
    case SCSI_WRITE_12:
    case SCSI_WRITE_16:
    case SCSI_WRITE_AND_VERIFY_10:
    case SCSI_WRITE_AND_VERIFY_12:
    case SCSI_WRITE_AND_VERIFY_16:
        apply_write(model, exchange, &fields);
        break;
    case SCSI_COMPARE_AND_WRITE:
        apply_compare_and_write(model, exchange, &fields);
        break;
    case SCSI_ORWRITE_16:
        apply_orwrite(model, exchange, &fields);
        break;
    case SCSI_VERIFY_10:
    case SCSI_VERIFY_12:
    case SCSI_VERIFY_16:
        check_verify(model, exchange, &fields);
        break;
    case SCSI_WRITE_SAME_10:
    case SCSI_WRITE_SAME_16:
        apply_write_same(model, exchange, &fields);
        break;
    case SCSI_UNMAP:
        apply_unmap(model, exchange);
        break;
    case SCSI_FORMAT_UNIT:
        FUZZ_CHECK(!lun_model_is_protected(model));
        memset(model->bytes, 0, model->size);
        break;
    case SCSI_MODE_SELECT_6:
    case SCSI_MODE_SELECT_10:
        lun_model_mode_select(model, exchange);
        break;
    case SCSI_READ_CAPACITY_10:
        check_capacity(model, exchange);
        break;
    case SCSI_SERVICE_ACTION_IN_16:
        check_service_action_in(model, exchange);
        break;
    case SCSI_VARIABLE_LENGTH:
        FUZZ_CHECK(exchange->cdb[7] == 0x18 && exchange->cdb[8] == 0 && exchange->cdb[9] == 0x12);
        check_lba_status(model, exchange);
        break;
    case SCSI_READ_BUFFER_10:
        check_bitmap(model, exchange);
        break;
    case SCSI_INQUIRY:
        check_inquiry(exchange);
        break;
    default:
        FUZZ_CHECK(!has_blocks || !out_of_range(model, fields.lba, fields.blocks));
    }
}

/* What a failed command may have changed: its own range, when it is sound enough to have begun. */
static struct lun_model_range undefined_after(const struct lun_model *model,
                                              const struct lun_exchange *exchange)
{
    struct lun_model_range whole = {.length = model->size};
    struct cdb_block_fields fields;

    if (lun_model_is_protected(model) || exchange->cdb_length < cdb_length(exchange->cdb[0]))
        return (struct lun_model_range){0};
    switch (exchange->cdb[0]) {
    case SCSI_WRITE_6:
    case SCSI_WRITE_10:
    case SCSI_WRITE_12:
    case SCSI_WRITE_16:
    case SCSI_WRITE_AND_VERIFY_10:
    case SCSI_WRITE_AND_VERIFY_12:
    case SCSI_WRITE_AND_VERIFY_16:
    case SCSI_COMPARE_AND_WRITE:
    case SCSI_ORWRITE_16:
    case SCSI_WRITE_SAME_10:
    case SCSI_WRITE_SAME_16:
        cdb_decode_block_fields(exchange->cdb, &fields);
        return range_of(model, fields.lba, fields.blocks);
    case SCSI_FORMAT_UNIT:
        return whole;
    case SCSI_UNMAP: {
        struct unmap_list list = unmap_list_of(exchange);

        for (size_t i = 0; i < list.count; i++) {
            struct unmap_descriptor descriptor = unmap_list_get(&list, i);

            if (out_of_range(model, descriptor.lba, descriptor.blocks))
                return (struct lun_model_range){0};
        }
        return whole;
    }
    default:
        return (struct lun_model_range){0};
    }
}

bool lun_model_apply(struct lun_model *model, const struct lun_exchange *exchange,
                     struct lun_model_range *ret_undefined)
{
    *ret_undefined = (struct lun_model_range){0};
    if (lun_model_is_copy(exchange)) {
        lun_model_copy(model, exchange, ret_undefined);
        return false;
    }
    if (lun_model_is_token(exchange))
        return lun_model_token(model, exchange, ret_undefined);
    if (exchange->cdb_length >= 16 && exchange->cdb[0] == SCSI_READ_BUFFER_16) {
        lun_model_track_apply(model, exchange);
        return false;
    }
    if (exchange->status == SCSI_STATUS_CHECK_CONDITION) {
        if (exchange->cdb_length > 0)
            *ret_undefined = undefined_after(model, exchange);
        return false;
    }
    FUZZ_CHECK(exchange->cdb_length > 0);
    FUZZ_CHECK(cdb_length(exchange->cdb[0]) > 0);
    FUZZ_CHECK(exchange->cdb_length >= cdb_length(exchange->cdb[0]));
    apply_good(model, exchange);
    return false;
}
