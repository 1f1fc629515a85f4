/* SPDX-License-Identifier: Apache-2.0 */

/* MODE SELECT, SPC-4 6.11 and 6.12: all of the parameter list takes effect, or nothing of it. */

#include <string.h>

#include "byteorder.h"
#include "cleanup.h"
#include "lun_internal.h"
#include "sense.h"

#define SELECT_PF         0x10
#define SELECT_SP         0x01
#define HEADER_10_LONGLBA 0x01
#define SHORT_DESCRIPTOR  8
#define LONG_DESCRIPTOR   16
#define PAGE_SPF          0x40

/* The longest list that is looked at: all pages several times over. */
#define LIST_MAX_BYTES        512

#define THRESHOLD_MAX_PERCENT 100

/* The parameter list; `at` is how far it has been read. */
struct mode_list {
    uint8_t bytes[LIST_MAX_BYTES];
    size_t length;
    size_t at;
};

static uint8_t fail_length(struct exec *exec)
{
    return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
}

/* INVALID FIELD IN PARAMETER LIST, 5/26/00; the sense data names the byte, and the bit when it is
 * one of a bit field (bit 0 to 7, or -1). */
static uint8_t fail_list(struct exec *exec, size_t byte, int bit)
{
    struct sense sense = {.key = SENSE_ILLEGAL_REQUEST,
                          .asc_ascq = ASC_INVALID_FIELD_IN_PARAMETER_LIST};

    sense_set_field(&sense, false, (uint16_t)byte, bit);
    return exec_fail_sense(exec, &sense);
}

/* Neither the number of blocks nor their size can be changed (SBC-4 6.5.2). All ones and 0 ask for
 * the number there is. */
static uint8_t check_descriptor(struct exec *exec, struct mode_list *list, size_t length)
{
    const uint8_t *from = list->bytes + list->at;
    bool is_long = length == LONG_DESCRIPTOR;
    uint64_t blocks, all_ones = is_long ? UINT64_MAX : UINT32_MAX;
    uint32_t block_size;

    if (length == 0)
        return SCSI_STATUS_GOOD;
    if (list->length - list->at < length)
        return fail_length(exec);
    blocks = is_long ? get_be64(from) : get_be32(from);
    block_size = is_long ? get_be32(from + 12) : get_be24(from + 5);
    if (blocks != 0 && blocks != all_ones && blocks != volume_blocks(exec->volume))
        return fail_list(exec, list->at, -1);
    if (block_size != volume_block_size(exec->volume))
        return fail_list(exec, list->at + (is_long ? 12 : 5), -1);
    list->at += length;
    return SCSI_STATUS_GOOD;
}

/* The header and the block descriptor. DEVICE-SPECIFIC PARAMETER and MODE DATA LENGTH mean nothing
 * here. */
static uint8_t check_header(struct exec *exec, struct mode_list *list, bool is_10)
{
    const uint8_t *header = list->bytes;
    size_t medium_type = is_10 ? 2 : 1;
    bool long_lba = is_10 && (header[4] & HEADER_10_LONGLBA);
    size_t descriptor;

    list->at = is_10 ? 8 : 4;
    if (list->length < list->at)
        return fail_length(exec);
    if (header[medium_type] != 0)
        return fail_list(exec, medium_type, -1);
    descriptor = is_10 ? get_be16(header + 6) : header[3];
    if (descriptor != 0 && descriptor != (long_lba ? LONG_DESCRIPTOR : SHORT_DESCRIPTOR))
        return fail_list(exec, is_10 ? 6 : 3, -1);
    return check_descriptor(exec, list, descriptor);
}

static const struct mode_page *find_page(uint8_t code, uint8_t subpage)
{
    size_t count;
    const struct mode_page *pages = mode_pages(&count);

    for (size_t i = 0; i < count; i++)
        if (pages[i].code == code && pages[i].subpage == subpage)
            return &pages[i];
    return NULL;
}

static int highest_bit(uint8_t bits)
{
    return 31 - __builtin_clz(bits);
}

/* A page's parameters, from its first byte behind the header on: what may not change must be as it
 * is. */
static uint8_t take_page(struct exec *exec, const struct mode_list *list,
                         const struct mode_page *page, size_t header, uint8_t *values)
{
    const uint8_t *from = list->bytes + list->at, *may = mode_changeable() + page->at;
    uint8_t *to = values + page->at;

    for (size_t i = header; i < page->length; i++) {
        uint8_t wrong = (uint8_t)((from[i] ^ to[i]) & ~may[i]);

        if (wrong != 0)
            return fail_list(exec, list->at + i, highest_bit(wrong));
    }
    if (page == find_page(MODE_PAGE_PROVISIONING, MODE_SUBPAGE_PROVISIONING) &&
        from[page->length - 1] > THRESHOLD_MAX_PERCENT)
        return fail_list(exec, list->at + page->length - 1u, -1);
    memcpy(to + header, from + header, page->length - header);
    return SCSI_STATUS_GOOD;
}

static uint8_t take_pages(struct exec *exec, struct mode_list *list, uint8_t *values)
{
    while (list->at < list->length) {
        const uint8_t *from = list->bytes + list->at;
        size_t left = list->length - list->at;
        bool has_subpage = from[0] & PAGE_SPF;
        size_t header = has_subpage ? 4 : 2;
        const struct mode_page *page;
        uint8_t status;

        if (left < header)
            return fail_length(exec);
        page = find_page(from[0] & 0x3F, has_subpage ? from[1] : 0);
        if (!page || has_subpage != (page->subpage != 0))
            return fail_list(exec, list->at, 5);
        if (header + (has_subpage ? get_be16(from + 2) : from[1]) != page->length)
            return fail_list(exec, list->at + header / 2, -1);
        if (left < page->length)
            return fail_length(exec);
        status = take_page(exec, list, page, header, values);
        if (status != SCSI_STATUS_GOOD)
            return status;
        list->at += page->length;
    }
    return SCSI_STATUS_GOOD;
}

/* What was written before a write cache or writing itself is switched off becomes durable (SPC-4
 * 7.5.8, SBC-4 6.5.5). A write under way looks at the switch when it is done, so the switch comes
 * first. */
static int flush_for(struct exec *exec, const uint8_t *values)
{
    struct mode_state *mode = &exec->lun->mode;
    bool stops_caching = mode_says_write_through(values) && !mode->write_through;
    bool stops_writing = mode_says_write_protected(values) && !mode->write_protected;

    if (stops_caching)
        atomic_store(&mode->write_through, true);
    if (stops_writing)
        atomic_store(&mode->write_protected, true);
    return stops_caching || stops_writing ? volume_flush(exec->volume) : 0;
}

static int save_values(struct exec *exec, const uint8_t *values)
{
    struct errmsg err;
    int error = volume_save_mode_pages(exec->volume, values, MODE_PAGES_BYTES, &err);

    if (error)
        lun_log(exec->lun, LUN_LOG_MODE_PAGES, LOG_LEVEL_ERROR,
                "its mode pages cannot be saved: %s", err.text);
    else
        memcpy(exec->lun->mode.saved, values, MODE_PAGES_BYTES);
    return error;
}

/* Everything is checked: now it is done. The caller holds the lock of the mode pages. */
static uint8_t commit(struct exec *exec, const uint8_t *values, bool save)
{
    struct mode_state *mode = &exec->lun->mode;
    bool changes = memcmp(values, mode->current, MODE_PAGES_BYTES) != 0;
    int error = flush_for(exec, values);

    if (!error && save)
        error = save_values(exec, values);
    /* After a failure, what flush_for switched goes back to what it was. */
    mode_set_current(mode, error ? mode->current : values);
    /* SPC-4 spares the one who sent the command, who cannot be told from the others here. Who
     * changes a value for the moment goes on and relies on it; a change that is saved is made for
     * later senders, which are told. */
    if (!error && save && changes)
        lun_raise_attention(exec->lun, LUN_ATTENTION_MODE_CHANGED);
    return exec_result(exec, error, true);
}

static uint8_t select_mode(struct exec *exec, struct mode_list *list, bool is_10)
{
    struct mode_state *mode = &exec->lun->mode;
    bool save = exec->cdb[1] & SELECT_SP;
    uint8_t status = check_header(exec, list, is_10);
    uint8_t values[MODE_PAGES_BYTES];

    if (status != SCSI_STATUS_GOOD)
        return status;
    {
        SCOPED_LOCK(&mode->lock);

        memcpy(values, mode->current, MODE_PAGES_BYTES);
        status = take_pages(exec, list, values);
        if (status == SCSI_STATUS_GOOD)
            status = commit(exec, values, save);
    }
    lun_look_at_thresholds(exec->lun);
    return status;
}

static uint8_t start(struct exec *exec, size_t length, bool is_10)
{
    struct lun_command *command = exec->command;
    struct iov_cursor data = iov_cursor_at_start(command->data_out, command->data_out_count);
    struct mode_list list = {.length = length};

    if (!(exec->cdb[1] & SELECT_PF)) /* pages of a vendor's own format */
        return exec_fail_field(exec);
    if ((exec->cdb[1] & SELECT_SP) && !volume_can_save(exec->volume))
        return exec_fail_field(exec);
    if (length == 0)
        return SCSI_STATUS_GOOD;
    if (!exec_data_out_has(exec, length))
        return exec_fail_length(exec);
    if (length > sizeof(list.bytes))
        return fail_length(exec);
    iov_cursor_read(&data, list.bytes, length);
    return select_mode(exec, &list, is_10);
}

uint8_t op_mode_select_6(struct exec *exec)
{
    return start(exec, exec->cdb[4], false);
}

uint8_t op_mode_select_10(struct exec *exec)
{
    return start(exec, get_be16(exec->cdb + 7), true);
}
