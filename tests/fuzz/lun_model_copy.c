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

static bool is_this_lun(const struct lun_model *model, const struct copy_list *list, uint16_t id)
{
    struct copy_cscd cscd;

    if (id == COPY_CSCD_ID_SELF)
        return true;
    if (id >= list->cscd_count)
        return false;
    cscd = copy_list_cscd(list, id);
    return !cscd.unused && cscd.peripheral_type == 0 && cscd.naa &&
           memcmp(cscd.naa, model->naa, sizeof(model->naa)) == 0 &&
           cscd.block_size == model->block_size;
}

/* False: it cannot be done. */
static bool copy_segment(struct lun_model *model, const struct copy_list *list, size_t index)
{
    struct copy_segment segment = copy_list_segment(list, index);
    uint64_t blocks = model->size / model->block_size;

    if (!is_this_lun(model, list, segment.source) || !is_this_lun(model, list, segment.destination))
        return false;
    if (!range_within(segment.source_lba, segment.blocks, blocks) ||
        !range_within(segment.destination_lba, segment.blocks, blocks))
        return false;
    if (segment.blocks == 0)
        return true;
    if (lun_model_is_protected(model))
        return false;
    memmove(model->bytes + segment.destination_lba * model->block_size,
            model->bytes + segment.source_lba * model->block_size,
            (size_t)segment.blocks * model->block_size);
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

    return choice < 0x70 ? COPY_CSCD_ID_SELF : choice >= 0xF0 ? choice & 0x03 : 0;
}

static uint64_t pick_lba(const struct lun_model *model, struct fuzz_input *input)
{
    uint8_t choice = fuzz_byte(input);

    return choice == 0xFF ? fuzz_number(input, 8) : choice % (model->size / model->block_size + 1);
}

size_t lun_model_make_copy(const struct lun_model *model, struct fuzz_input *input, uint8_t *cdb,
                           uint8_t *data)
{
    uint8_t shape = fuzz_byte(input);
    size_t segments = shape & 3, length = COPY_LIST_HEADER_BYTES + COPY_CSCD_BYTES;

    memset(data, 0, LUN_MODEL_COPY_BYTES);
    data[0] = fuzz_byte(input) & 3;
    put_be16(data + 2, COPY_CSCD_BYTES);
    put_be32(data + 8, (uint32_t)(segments * COPY_SEGMENT_BYTES));
    copy_cscd_encode(data + COPY_LIST_HEADER_BYTES, model->naa, model->block_size);
    for (size_t i = 0; i < segments; i++, length += COPY_SEGMENT_BYTES) {
        uint8_t *segment = data + length;

        segment[0] = COPY_SEGMENT_BLOCK_TO_BLOCK;
        put_be16(segment + COPY_SEGMENT_FIELD_LENGTH, COPY_SEGMENT_BYTES - 4);
        put_be16(segment + COPY_SEGMENT_FIELD_SOURCE, pick_id(input));
        put_be16(segment + COPY_SEGMENT_FIELD_DESTINATION, pick_id(input));
        put_be16(segment + COPY_SEGMENT_FIELD_BLOCKS, fuzz_byte(input));
        put_be64(segment + COPY_SEGMENT_FIELD_SOURCE_LBA, pick_lba(model, input));
        put_be64(segment + COPY_SEGMENT_FIELD_DESTINATION_LBA, pick_lba(model, input));
    }
    if (shape >= 0xC0)
        data[fuzz_byte(input) % length] = fuzz_byte(input);
    if (shape >= 0xF0)
        length = fuzz_byte(input) % (length + 1);
    memset(cdb, 0, 16);
    cdb[0] = SCSI_THIRD_PARTY_COPY_OUT;
    put_be32(cdb + 10, (uint32_t)length);
    return length;
}
