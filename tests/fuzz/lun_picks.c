/* SPDX-License-Identifier: Apache-2.0 */
#include "lun_picks.h"

#include "bitmap_reply.h"
#include "byteorder.h"
#include "cdb.h"
#include "checked.h"
#include "lba_status.h"
#include "lun_model_copy.h"
#include "lun_model_mode.h"
#include "lun_model_token.h"
#include "lun_model_track.h"
#include "scsi_defs.h"

/* Mostly near the ends of the LUN; sometimes anything. */
static uint64_t pick_lba(const struct lun_model *model, struct fuzz_input *input)
{
    uint64_t blocks = model->size / model->block_size;
    uint8_t choice = fuzz_byte(input);

    if (choice == 0xFF)
        return fuzz_number(input, 8);
    if (choice >= 0xF0)
        return blocks - 8 + (choice & 0x0F);
    return fuzz_byte(input) % blocks;
}

static uint32_t pick_blocks(struct fuzz_input *input)
{
    uint8_t choice = fuzz_byte(input);

    return choice == 0xFF ? (uint32_t)fuzz_number(input, 4) : choice % 20u;
}

size_t lun_pick_cdb(const struct lun_model *model, struct fuzz_input *input, uint8_t *cdb)
{
    /* clang-format off */
    static const uint8_t opcodes[] = {
        SCSI_READ_6, SCSI_READ_10, SCSI_READ_12, SCSI_READ_16, SCSI_WRITE_6, SCSI_WRITE_10,
        SCSI_WRITE_12, SCSI_WRITE_16, SCSI_VERIFY_10, SCSI_VERIFY_12, SCSI_VERIFY_16, SCSI_UNMAP,
        SCSI_WRITE_SAME_10, SCSI_WRITE_SAME_16, SCSI_SYNCHRONIZE_CACHE_10,
        SCSI_SYNCHRONIZE_CACHE_16, SCSI_SERVICE_ACTION_IN_16, SCSI_WRITE_AND_VERIFY_10,
        SCSI_WRITE_AND_VERIFY_12, SCSI_WRITE_AND_VERIFY_16, SCSI_COMPARE_AND_WRITE,
        SCSI_ORWRITE_16, SCSI_PRE_FETCH_10, SCSI_PRE_FETCH_16, SCSI_VARIABLE_LENGTH,
        SCSI_THIRD_PARTY_COPY_OUT, SCSI_MODE_SELECT_6,
        SCSI_FORMAT_UNIT, SCSI_SANITIZE, SCSI_READ_BUFFER_10, SCSI_READ_BUFFER_16,
    };
    /* clang-format on */
    uint8_t opcode = opcodes[fuzz_byte(input) % sizeof(opcodes)];
    uint64_t first = pick_lba(model, input);
    uint32_t count = pick_blocks(input);
    size_t length = cdb_read_16(cdb, first, count);

    if (cdb_length(opcode) < length) {
        /* The low halves of the long form's fields, where the shorter forms have theirs. */
        uint8_t lba[4], blocks[4];

        memcpy(lba, cdb + 6, 4);
        memcpy(blocks, cdb + 10, 4);
        memset(cdb, 0, SCSI_CDB_MAX_BYTES);
        length = cdb_length(opcode);
        if (length == 6) {
            memcpy(cdb + 1, lba + 1, 3);
            cdb[4] = blocks[3];
        } else {
            memcpy(cdb + 2, lba, 4);
            memcpy(cdb + (length == 10 ? 7 : 6), length == 10 ? blocks + 2 : blocks,
                   length == 10 ? 2 : 4);
        }
    }
    if (opcode == SCSI_VARIABLE_LENGTH)
        return cdb_get_lba_status_32(cdb, first, count, fuzz_byte(input) % 18, fuzz_byte(input));
    if (opcode == SCSI_READ_BUFFER_10)
        return bitmap_cdb(cdb, (uint32_t)(first % 8), fuzz_byte(input) % 128u);
    if (opcode == SCSI_READ_BUFFER_16)
        return lun_model_track_cdb(model, input, cdb);
    cdb[0] = opcode;
    if (opcode == SCSI_SANITIZE)
        memset(cdb + 2, 0, length - 2);
    if (length > 6)
        cdb[1] = fuzz_byte(input) & (opcode == SCSI_SERVICE_ACTION_IN_16 ? 0x1F : 0x1B);
    return length;
}

/* An UNMAP parameter list of up to 5 descriptors, sometimes with lengths that lie. */
static size_t pick_unmap_list(const struct lun_model *model, struct fuzz_input *input, uint8_t *cdb,
                              uint8_t *list)
{
    uint8_t shape = fuzz_byte(input);
    size_t count = shape % 6, length = 8 + 16 * count;

    memset(list, 0, length);
    list[1] = (uint8_t)(length - 2);
    list[3] = (uint8_t)(length - 8);
    for (size_t i = 0; i < count; i++) {
        uint64_t lba = pick_lba(model, input);
        uint32_t blocks = pick_blocks(input);

        put_be64(list + 8 + 16 * i, lba);
        put_be32(list + 8 + 16 * i + 8, blocks);
    }
    if (shape >= 0xC0)
        list[shape & 3] = fuzz_byte(input);
    if (shape >= 0xE0)
        length = fuzz_byte(input) % (length + 1);
    cdb[7] = 0;
    cdb[8] = (uint8_t)length;
    return length;
}

/* SANITIZE OVERWRITE's parameter list with a pattern of up to 8 bytes. */
static size_t pick_overwrite_list(struct fuzz_input *input, uint8_t *cdb, uint8_t *list)
{
    size_t pattern_bytes = 1 + fuzz_byte(input) % 8u;

    list[0] = fuzz_byte(input) & 0x9F;
    put_be16(list + 2, (uint16_t)pattern_bytes);
    list[4] = fuzz_byte(input);
    put_be16(cdb + 7, (uint16_t)(4 + pattern_bytes));
    return 4 + pattern_bytes;
}

/* What COMPARE AND WRITE would find, with the data that is in place behind it. */
static size_t pick_comparison(const struct lun_model *model, const struct cdb_block_fields *fields,
                              uint8_t *data)
{
    uint64_t length = fields->blocks * (uint64_t)model->block_size;

    if (!range_within(fields->lba, fields->blocks, model->size / model->block_size) ||
        2 * length > LUN_PICK_MAX_BYTES)
        return 2 * model->block_size;
    memcpy(data, model->bytes + fields->lba * model->block_size, length);
    return 2 * length;
}

size_t lun_pick_data(const struct lun_model *model, struct fuzz_input *input, uint8_t *cdb,
                     uint8_t *data)
{
    struct cdb_block_fields fields = {0};
    uint8_t shape = fuzz_byte(input);
    size_t needed;

    memset(data, shape & 0x40 ? 0 : shape, LUN_PICK_MAX_BYTES);
    if (shape == 0xFF) { /* as they stand in the input */
        needed = min_u64(fuzz_number(input, 2), LUN_PICK_MAX_BYTES);
        fuzz_bytes(input, data, needed);
        return needed;
    }
    if (cdb[0] == SCSI_MODE_SELECT_6)
        return lun_model_make_mode_select(input, cdb, data);
    if (cdb[0] == SCSI_UNMAP)
        return pick_unmap_list(model, input, cdb, data);
    if (cdb[0] == SCSI_THIRD_PARTY_COPY_OUT && !(cdb[1] & 0x10))
        return lun_model_make_copy(model, input, cdb, data);
    if (cdb[0] == SCSI_THIRD_PARTY_COPY_OUT)
        return lun_model_make_token_list(model, input, cdb, data);
    if (cdb[0] == SCSI_SANITIZE && (cdb[1] & 0x1F) == SCSI_SA_SANITIZE_OVERWRITE)
        return pick_overwrite_list(input, cdb, data);
    cdb_decode_block_fields(cdb, &fields);
    needed = min_u64((uint64_t)fields.blocks * model->block_size, LUN_PICK_MAX_BYTES);
    if (cdb[0] == SCSI_WRITE_SAME_10 || cdb[0] == SCSI_WRITE_SAME_16)
        needed = model->block_size;
    if (cdb[0] == SCSI_READ_BUFFER_16)
        needed = min_u64(get_be32(cdb + 10), LUN_PICK_MAX_BYTES);
    if (cdb[0] == SCSI_COMPARE_AND_WRITE)
        needed = pick_comparison(model, &fields, data);
    if (shape & 0x80)
        needed = min_u64(fuzz_number(input, 2), LUN_PICK_MAX_BYTES);
    if (needed > 0 && shape & 0x20) {
        size_t at = fuzz_number(input, 2) % needed;

        data[at] = fuzz_byte(input);
    }
    return needed;
}
