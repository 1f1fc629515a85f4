/* SPDX-License-Identifier: Apache-2.0 */
#include "lun_model_token.h"

#include "byteorder.h"
#include "checked.h"
#include "scsi_defs.h"
#include "token_list.h"
#include "zeros.h"

#define BLOCK_ZERO_TOKEN 0xFFFF0001

bool lun_model_is_token(const struct lun_exchange *exchange)
{
    uint8_t action = exchange->cdb_length >= 16 ? exchange->cdb[1] & 0x1F : 0;

    return exchange->cdb_length >= 16 && exchange->cdb[0] == SCSI_THIRD_PARTY_COPY_OUT &&
           (action == SCSI_SA_POPULATE_TOKEN || action == SCSI_SA_WRITE_USING_TOKEN);
}

static bool read_list(const struct lun_exchange *exchange, struct token_list *ret)
{
    size_t length = get_be32(exchange->cdb + 10);
    bool writes = (exchange->cdb[1] & 0x1F) == SCSI_SA_WRITE_USING_TOKEN;
    uint16_t field;

    *ret = (struct token_list){0};
    return length == 0 || (length <= exchange->data_out_bytes &&
                           token_list_decode(exchange->data_out, length, writes, ret, &field) == 0);
}

/* One range of the list in the model. */
static struct lun_model_range place_of(const struct lun_model *model, const struct token_list *list,
                                       size_t index)
{
    struct token_list_range range = token_list_get(list, index);

    FUZZ_CHECK(range_within(range.lba, range.blocks, model->size / model->block_size));
    return (struct lun_model_range){.start = range.lba * model->block_size,
                                    .length = (uint64_t)range.blocks * model->block_size};
}

static bool populate(struct lun_model *model, const struct token_list *list)
{
    struct lun_model_token *token = model->token;

    if (list->range_count == 0)
        return false;
    *token = (struct lun_model_token){0};
    for (size_t i = 0; i < list->range_count; i++) {
        struct lun_model_range place = place_of(model, list, i);

        FUZZ_CHECK(place.length <= sizeof(token->data) - token->length); /* none overlap */
        memcpy(token->data + token->length, model->bytes + place.start, place.length);
        token->length += place.length;
    }
    FUZZ_CHECK(token->length > 0);
    return true;
}

/* Each range is what the token's data are there, in the order of the list. */
static void write_using(struct lun_model *model, const struct token_list *list)
{
    const struct lun_model_token *token = model->token;
    bool zeros = list->range_count > 0 && get_be32(list->token) == BLOCK_ZERO_TOKEN;
    uint64_t at = 0;

    if (list->range_count == 0)
        return;
    FUZZ_CHECK(!lun_model_is_protected(model));
    if (!zeros) {
        FUZZ_CHECK(token->valid && memcmp(list->token, token->bytes, sizeof(token->bytes)) == 0);
        FUZZ_CHECK(!mul_overflows(list->offset_blocks, model->block_size, &at));
    }
    for (size_t i = 0; i < list->range_count; i++) {
        struct lun_model_range place = place_of(model, list, i);

        if (zeros) {
            memset(model->bytes + place.start, 0, place.length);
            continue;
        }
        FUZZ_CHECK(range_within(at, place.length, token->length));
        memcpy(model->bytes + place.start, token->data + at, place.length);
        at += place.length;
    }
    if (!zeros && list->delete_token)
        model->token->valid = false;
}

/* A token may be revoked half way, by its own writing too: what its ranges hold then is not said.
 */
static struct lun_model_range begun(const struct lun_model *model, const struct token_list *list)
{
    struct lun_model_range whole = {.even_without_fault = true};
    uint64_t end = 0;

    if (lun_model_is_protected(model))
        return whole;
    for (size_t i = 0; i < list->range_count; i++) {
        struct token_list_range range = token_list_get(list, i);
        uint64_t start = range.lba * model->block_size;

        if (!range_within(range.lba, range.blocks, model->size / model->block_size))
            return (struct lun_model_range){0};
        if (end == 0 || start < whole.start)
            whole.start = start;
        end = max_u64(end, start + (uint64_t)range.blocks * model->block_size);
    }
    whole.length = end - whole.start;
    return whole;
}

bool lun_model_token(struct lun_model *model, const struct lun_exchange *exchange,
                     struct lun_model_range *ret_undefined)
{
    bool writes = (exchange->cdb[1] & 0x1F) == SCSI_SA_WRITE_USING_TOKEN;
    struct token_list list;
    bool sound = read_list(exchange, &list);

    *ret_undefined = (struct lun_model_range){0};
    if (exchange->status != SCSI_STATUS_GOOD) {
        if (writes && sound && list.range_count > 0)
            *ret_undefined = begun(model, &list);
        return false;
    }
    FUZZ_CHECK(sound);
    if (!writes)
        return populate(model, &list);
    write_using(model, &list);
    return false;
}

void lun_model_keep_token(struct lun_model *model,
                          const uint8_t bytes[static LUN_MODEL_TOKEN_BYTES])
{
    memcpy(model->token->bytes, bytes, LUN_MODEL_TOKEN_BYTES);
    model->token->valid = true;
}

size_t lun_model_make_token_list(const struct lun_model *model, struct fuzz_input *input,
                                 uint8_t *cdb, uint8_t *data)
{
    bool writes = cdb[1] & 1;
    uint8_t shape = fuzz_byte(input);
    size_t at = writes ? TOKEN_LIST_WRITE_BYTES : TOKEN_LIST_POPULATE_BYTES;
    size_t length = at + (shape & 3) * TOKEN_LIST_RANGE_BYTES;

    memset(cdb, 0, 16);
    cdb[0] = SCSI_THIRD_PARTY_COPY_OUT;
    cdb[1] = writes ? SCSI_SA_WRITE_USING_TOKEN : SCSI_SA_POPULATE_TOKEN;
    memset(data, 0, LUN_MODEL_TOKEN_LIST_BYTES);
    put_be16(data, (uint16_t)(length - 2));
    put_be16(data + at - 2, (uint16_t)(length - at));
    if (writes) {
        data[2] = shape & 4 ? 2 : 0; /* DEL_TKN */
        put_be64(data + TOKEN_FIELD_OFFSET, fuzz_byte(input) % 8u);
        if (shape & 8)
            put_be32(data + TOKEN_LIST_WRITE_TOKEN_AT, BLOCK_ZERO_TOKEN);
        else
            memcpy(data + TOKEN_LIST_WRITE_TOKEN_AT, model->token->bytes, LUN_MODEL_TOKEN_BYTES);
        put_be16(data + TOKEN_LIST_WRITE_TOKEN_AT + 6, LUN_MODEL_TOKEN_BYTES - 8);
    }
    for (; at < length; at += TOKEN_LIST_RANGE_BYTES) {
        put_be64(data + at, fuzz_byte(input) % (model->size / model->block_size + 1));
        put_be32(data + at + 8, fuzz_byte(input) % 16u);
    }
    if (shape >= 0xC0)
        data[fuzz_byte(input) % length] = fuzz_byte(input);
    if (shape >= 0xF0)
        length = fuzz_byte(input) % (length + 1);
    put_be32(cdb + 10, (uint32_t)length);
    return length;
}
