/* SPDX-License-Identifier: Apache-2.0 */

/* MODE SENSE, SPC-4 6.13 and 6.14. */

#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "lun_internal.h"

#define MODE_DBD     0x08
#define MODE_LLBAA   0x10
#define HEADER_6     4
#define HEADER_10    8
#define ALL_PAGES    0x3F
#define NO_SUBPAGE   0x00
#define ALL_SUBPAGES 0xFF

/* DEVICE-SPECIFIC PARAMETER (SBC-4 6.5.1) */
#define DEVICE_WP         0x80
#define DEVICE_DPOFUA     0x10

#define HEADER_10_LONGLBA 0x01
#define PAGE_PS           0x80

#define MODE_DATA_MAX     (HEADER_10 + 16 + MODE_PAGES_BYTES)

struct mode_data {
    uint8_t bytes[MODE_DATA_MAX];
    size_t length;
};

static bool page_is_asked_for(const struct mode_page *page, uint8_t code, uint8_t subpage)
{
    return (code == ALL_PAGES || code == page->code) &&
           (subpage == ALL_SUBPAGES || subpage == page->subpage);
}

/* False when there is no such page. */
static bool add_pages(struct exec *exec, struct mode_data *data, uint8_t code, uint8_t subpage,
                      enum mode_values kind)
{
    uint8_t savable = volume_can_save(exec->volume) ? PAGE_PS : 0;
    uint8_t values[MODE_PAGES_BYTES];
    bool found = false;
    size_t count;
    const struct mode_page *pages = mode_pages(&count);

    if (code == ALL_PAGES && subpage != NO_SUBPAGE && subpage != ALL_SUBPAGES)
        return false;
    mode_get(&exec->lun->mode, kind, values);
    for (size_t i = 0; i < count; i++) {
        uint8_t *to = data->bytes + data->length;

        if (!page_is_asked_for(&pages[i], code, subpage))
            continue;
        memcpy(to, values + pages[i].at, pages[i].length);
        to[0] |= savable;
        data->length += pages[i].length;
        found = true;
    }
    return found;
}

/* SBC-4 6.5.2.2 */
static void add_short_descriptor(struct mode_data *data, const struct volume *volume)
{
    uint8_t *to = data->bytes + data->length;

    put_be32(to, (uint32_t)min_u64(volume_blocks(volume), UINT32_MAX));
    put_be24(to + 5, volume_block_size(volume));
    data->length += 8;
}

/* SBC-4 6.5.2.3 */
static void add_long_descriptor(struct mode_data *data, const struct volume *volume)
{
    uint8_t *to = data->bytes + data->length;

    put_be64(to, volume_blocks(volume));
    put_be32(to + 12, volume_block_size(volume));
    data->length += 16;
}

static uint8_t device_specific(struct exec *exec)
{
    return DEVICE_DPOFUA | (lun_write_protection(exec->lun) != ASC_NONE ? DEVICE_WP : 0);
}

/* Fills in everything behind the header, whose length is header_length. */
static uint8_t fill(struct exec *exec, struct mode_data *data, size_t header_length,
                    bool long_descriptor, size_t *ret_descriptor_length)
{
    const uint8_t *cdb = exec->cdb;
    enum mode_values kind = cdb[2] >> 6;

    data->length = header_length;
    if (kind == MODE_SAVED && !volume_can_save(exec->volume))
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_SAVING_PARAMETERS_NOT_SUPPORTED);
    if (!(cdb[1] & MODE_DBD)) {
        if (long_descriptor)
            add_long_descriptor(data, exec->volume);
        else
            add_short_descriptor(data, exec->volume);
    }
    *ret_descriptor_length = data->length - header_length;
    if (!add_pages(exec, data, cdb[2] & 0x3F, cdb[3], kind))
        return exec_fail_field(exec);
    return SCSI_STATUS_GOOD;
}

uint8_t op_mode_sense_6(struct exec *exec)
{
    struct mode_data data = {0};
    size_t descriptor_length = 0;
    uint8_t status = fill(exec, &data, HEADER_6, false, &descriptor_length);

    if (status != SCSI_STATUS_GOOD)
        return status;
    data.bytes[0] = (uint8_t)(data.length - 1);
    data.bytes[2] = device_specific(exec);
    data.bytes[3] = (uint8_t)descriptor_length;
    return reply_whole(exec, data.bytes, data.length, exec->cdb[4]);
}

uint8_t op_mode_sense_10(struct exec *exec)
{
    bool long_descriptor = exec->cdb[1] & MODE_LLBAA;
    struct mode_data data = {0};
    size_t descriptor_length = 0;
    uint8_t status = fill(exec, &data, HEADER_10, long_descriptor, &descriptor_length);

    if (status != SCSI_STATUS_GOOD)
        return status;
    put_be16(data.bytes, (uint16_t)(data.length - 2));
    data.bytes[3] = device_specific(exec);
    if (long_descriptor && descriptor_length > 0)
        data.bytes[4] = HEADER_10_LONGLBA;
    put_be16(data.bytes + 6, (uint16_t)descriptor_length);
    return reply_whole(exec, data.bytes, data.length, get_be16(exec->cdb + 7));
}
