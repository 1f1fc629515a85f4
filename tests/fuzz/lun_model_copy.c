/* SPDX-License-Identifier: Apache-2.0 */
#include "lun_model_copy.h"

#include "byteorder.h"
#include "checked.h"
#include "copy_limits.h"
#include "copy_list.h"
#include "scsi_defs.h"

bool lun_model_is_copy(const struct lun_exchange *exchange)
{
    return exchange->cdb_length >= 16 && exchange->cdb[0] == SCSI_THIRD_PARTY_COPY_OUT &&
           (exchange->cdb[1] & 0x1F) == SCSI_SA_EXTENDED_COPY_LID1;
}

/* NULL: neither of the two. */
static struct lun_model *find_lun(struct lun_model *model, const struct copy_list *list,
                                  uint16_t id)
{
    struct copy_cscd cscd;

    if (id == COPY_CSCD_ID_SELF)
        return model;
    if (id >= list->cscd_count)
        return NULL;
    cscd = copy_list_cscd(list, id);
    if (cscd.unused || cscd.peripheral_type != 0 || !cscd.naa)
        return NULL;
    if (memcmp(cscd.naa, model->naa, sizeof(model->naa)) != 0)
        model = model->other;
    return memcmp(cscd.naa, model->naa, sizeof(model->naa)) == 0 &&
                   cscd.block_size == model->block_size
               ? model
               : NULL;
}

/* False: it cannot be done. Counts in whole blocks of both, of the destination where DC says so. */
static bool copy_segment(struct lun_model *model, const struct copy_list *list, size_t index)
{
    struct copy_segment segment = copy_list_segment(list, index);
    struct lun_model *from = find_lun(model, list, segment.source);
    struct lun_model *to = find_lun(model, list, segment.destination);
    uint64_t bytes, from_offset, to_offset;

    if (!from || !to)
        return false;
    bytes = segment.has_offsets
                ? segment.bytes
                : (uint64_t)segment.blocks *
                      (segment.counts_destination_blocks ? to->block_size : from->block_size);
    if (!segment.has_offsets && (bytes % from->block_size != 0 || bytes % to->block_size != 0))
        return false;
    if (segment.source_lba > from->size / from->block_size ||
        segment.destination_lba > to->size / to->block_size ||
        segment.source_offset >= from->block_size || segment.destination_offset >= to->block_size)
        return false;
    from_offset = segment.source_lba * from->block_size + segment.source_offset;
    to_offset = segment.destination_lba * to->block_size + segment.destination_offset;
    if (!range_within(from_offset, bytes, from->size) || !range_within(to_offset, bytes, to->size))
        return false;
    if (bytes == 0)
        return true;
    if (lun_model_is_protected(to))
        return false;
    memmove(to->bytes + to_offset, from->bytes + from_offset, (size_t)bytes);
    return true;
}

/* Whether the parameter list can be begun with. */
static bool read_list(const struct lun_exchange *exchange, struct copy_list *ret)
{
    static const struct copy_list_limits limits = {COPY_MAX_CSCDS, COPY_MAX_SEGMENTS,
                                                   COPY_MAX_DESCRIPTOR_BYTES};
    size_t length = get_be32(exchange->cdb + 10);
    struct copy_list_refusal refusal;

    *ret = (struct copy_list){0};
    if (length == 0)
        return true;
    return length <= exchange->data_out_bytes &&
           copy_list_decode(exchange->data_out, min_u64(length, COPY_MAX_LIST_BYTES), &limits, ret,
                            &refusal) == 0;
}

void lun_model_copy(struct lun_model *model, const struct lun_exchange *exchange,
                    struct lun_model_range *ret_undefined)
{
    bool failed = exchange->status == SCSI_STATUS_CHECK_CONDITION;
    struct copy_list list;

    *ret_undefined = (struct lun_model_range){0};
    if (failed && exchange->sense_key != SENSE_COPY_ABORTED) /* before the first segment */
        return;
    FUZZ_CHECK(read_list(exchange, &list));
    for (size_t i = 0; i < list.segment_count; i++) {
        if (!copy_segment(model, &list, i)) {
            FUZZ_CHECK(failed);
            break;
        }
    }
    if (failed && !lun_model_is_protected(model))
        ret_undefined->length = model->size;
}

static uint16_t pick_id(struct fuzz_input *input)
{
    uint8_t choice = fuzz_byte(input);

    return choice < 0x70 ? COPY_CSCD_ID_SELF : choice >= 0xF0 ? choice & 0x03 : choice >= 0xB0;
}

static uint64_t pick_lba(const struct lun_model *model, struct fuzz_input *input)
{
    uint8_t choice = fuzz_byte(input);

    return choice == 0xFF ? fuzz_number(input, 8) : choice % (model->size / model->block_size + 1);
}

static size_t make_segment(const struct lun_model *model, struct fuzz_input *input,
                           uint8_t *segment)
{
    uint8_t flags = fuzz_byte(input);
    bool offsets = flags & 0x80;
    size_t length = offsets ? COPY_SEGMENT_MAX_BYTES : COPY_SEGMENT_BYTES;

    segment[0] = offsets ? COPY_SEGMENT_OFFSET_TO_OFFSET : COPY_SEGMENT_BLOCK_TO_BLOCK;
    segment[1] = flags & 0x07; /* CAT, DC, PAD */
    put_be16(segment + COPY_SEGMENT_FIELD_LENGTH, (uint16_t)(length - 4));
    put_be16(segment + COPY_SEGMENT_FIELD_SOURCE, pick_id(input));
    put_be16(segment + COPY_SEGMENT_FIELD_DESTINATION, pick_id(input));
    if (offsets)
        put_be32(segment + COPY_SEGMENT_FIELD_BYTES, (uint32_t)fuzz_number(input, 2));
    else
        put_be16(segment + COPY_SEGMENT_FIELD_BLOCKS, fuzz_byte(input));
    put_be64(segment + COPY_SEGMENT_FIELD_SOURCE_LBA, pick_lba(model, input));
    put_be64(segment + COPY_SEGMENT_FIELD_DESTINATION_LBA, pick_lba(model, input));
    if (offsets) {
        put_be16(segment + COPY_SEGMENT_FIELD_SOURCE_OFFSET, fuzz_byte(input));
        put_be16(segment + COPY_SEGMENT_FIELD_DESTINATION_OFFSET, fuzz_byte(input));
    }
    return length;
}

size_t lun_model_make_copy(const struct lun_model *model, struct fuzz_input *input, uint8_t *cdb,
                           uint8_t *data)
{
    uint8_t shape = fuzz_byte(input);
    size_t segments = shape & 3, length = COPY_LIST_HEADER_BYTES;

    memset(data, 0, LUN_MODEL_COPY_BYTES);
    data[0] = fuzz_byte(input) & 3;
    put_be16(data + 2, 2 * COPY_CSCD_BYTES);
    copy_cscd_encode(data + length, model->naa, model->block_size);
    copy_cscd_encode(data + length + COPY_CSCD_BYTES, model->other->naa, model->other->block_size);
    length += 2 * COPY_CSCD_BYTES;
    for (size_t i = 0; i < segments; i++)
        length += make_segment(model, input, data + length);
    put_be32(data + 8, (uint32_t)(length - COPY_LIST_HEADER_BYTES - 2 * COPY_CSCD_BYTES));
    if (shape >= 0xC0)
        data[fuzz_byte(input) % length] = fuzz_byte(input);
    if (shape >= 0xF0)
        length = fuzz_byte(input) % (length + 1);
    memset(cdb, 0, 16);
    cdb[0] = SCSI_THIRD_PARTY_COPY_OUT;
    put_be32(cdb + 10, (uint32_t)length);
    return length;
}
