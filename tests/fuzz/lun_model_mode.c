/* SPDX-License-Identifier: Apache-2.0 */
#include "lun_model_mode.h"

#include "scsi_defs.h"

#define HEADER_6  4
#define HEADER_10 8
#define CONTROL   0x0A
#define SWP       0x08
#define SPF       0x40

static size_t page_length(const uint8_t *page)
{
    return page[0] & SPF ? 4u + ((size_t)page[2] << 8 | page[3]) : 2u + page[1];
}

void lun_model_mode_select(struct lun_model *model, const struct lun_exchange *exchange)
{
    bool is_10 = exchange->cdb[0] == SCSI_MODE_SELECT_10;
    const uint8_t *list = exchange->data_out;
    size_t length =
        is_10 ? (size_t)exchange->cdb[7] << 8 | exchange->cdb[8] : (size_t)exchange->cdb[4];
    size_t at = is_10 ? HEADER_10 : HEADER_6;

    FUZZ_CHECK(exchange->cdb[1] & 0x10);                         /* PF */
    FUZZ_CHECK(!(exchange->cdb[1] & 0x01) || !model->read_only); /* SP */
    if (length == 0)
        return;
    FUZZ_CHECK(length >= at && length <= exchange->data_out_bytes);
    at += is_10 ? (size_t)list[6] << 8 | list[7] : list[3];
    FUZZ_CHECK(at <= length);
    for (; at < length; at += page_length(list + at)) {
        FUZZ_CHECK(length - at >= 4 && page_length(list + at) <= length - at);
        if ((list[at] & 0x3F) == CONTROL)
            model->software_protected = list[at + 4] & SWP;
    }
}

/* The pages with their defaults, and of each a byte that may change. */
static const struct {
    uint8_t bytes[40];
    uint8_t length;
    uint8_t at;
    uint8_t may;
} pages[] = {
    {{0x01, 10, [7] = 0x80}, 12, 7, 0x80},
    {{0x08, 18, 0x04}, 20, 2, 0x04},
    {{CONTROL, 10, 0x02, 0x10, [8] = 0xFF, [9] = 0xFF}, 12, 4, SWP},
    {{CONTROL, 10, 0x02, 0x10, [8] = 0xFF, [9] = 0xFF}, 12, 2, 0x04},
    {{0x5C, 2, 0, 36, 1, [17] = 1, [24] = 1, [25] = 2, [32] = 8, [33] = 3}, 40, 24, 0x80},
};

size_t lun_model_make_mode_select(struct fuzz_input *input, uint8_t *cdb, uint8_t *data)
{
    uint8_t chosen = fuzz_byte(input), changed = fuzz_byte(input), shape = fuzz_byte(input);
    size_t length = HEADER_6;

    for (size_t i = 0; i < LUN_MODEL_MODE_BYTES; i++)
        data[i] = 0;
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (!(chosen >> i & 1))
            continue;
        for (size_t k = 0; k < pages[i].length; k++)
            data[length + k] = pages[i].bytes[k];
        if (changed >> i & 1)
            data[length + pages[i].at] ^= pages[i].may;
        length += pages[i].length;
    }
    if (shape & 0x80) {
        size_t at = fuzz_byte(input) % length;

        data[at] = fuzz_byte(input);
    }
    if (shape & 0x40)
        length = fuzz_byte(input) % (length + 1);
    cdb[1] = 0x10 | (shape & 0x01);
    cdb[2] = cdb[3] = cdb[5] = 0;
    cdb[4] = (uint8_t)length;
    return length;
}
