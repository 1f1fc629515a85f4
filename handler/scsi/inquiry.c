/* SPDX-License-Identifier: Apache-2.0 */

/* INQUIRY, SPC-4 6.6, and the vital product data pages. */

#include "inquiry.h"

#include "byteorder.h"
#include "checked.h"
#include "copy_page.h"
#include "lun_internal.h"
#include "track.h"
#include "vpd.h"

#define VENDOR            "THINMIRR"
#define PRODUCT           "THIN VOLUME"
#define REVISION          "0001"

#define INQUIRY_EVPD      0x01
#define VERSION_SPC_4     0x06

#define TPGS_IMPLICIT     1
#define PROVISIONING_THIN 2
#define LBPRZ_ZEROS       1

static uint8_t standard_data(struct exec *exec, size_t allocation_length)
{
    const struct inquiry inquiry = {
        .tpgs = lun_ports(exec->lun).alua ? TPGS_IMPLICIT : 0,
        .peripheral_type = INQUIRY_DIRECT_ACCESS_BLOCK_DEVICE,
        .version = VERSION_SPC_4,
        .third_party_copy = true,
        .command_queuing = true,
        .vendor = VENDOR,
        .product = PRODUCT,
        .revision = REVISION,
        .version_descriptors = {INQUIRY_CLAIMS_SAM_5, INQUIRY_CLAIMS_SPC_4, INQUIRY_CLAIMS_SBC_3,
                                INQUIRY_CLAIMS_SBC_4},
    };
    uint8_t bytes[INQUIRY_BYTES];

    return reply_whole(exec, bytes, inquiry_encode(&inquiry, bytes), allocation_length);
}

/* The port that the command came through is known only where there is no other. */
static size_t identification(const struct lun *lun, uint8_t *to)
{
    const struct lun_ports ports = lun_ports(lun);
    size_t length = vpd_encode_identification(to, lun->naa, VENDOR, lun->serial);

    if (!ports.alua)
        return length;
    return vpd_add_target_port(to, length, ports.group, ports.count == 1 ? ports.ids[0] : 0);
}

static size_t block_limits(const struct volume *volume, uint8_t *to)
{
    uint32_t block_size = volume_block_size(volume);
    uint32_t granularity = volume_granularity(volume) / block_size;
    struct vpd_block_limits limits = {
        .wsnz = true,
        .max_compare_and_write_blocks = LUN_MAX_COMPARE_AND_WRITE_BLOCKS,
        .optimal_transfer_granularity = (uint16_t)min_u64(granularity, UINT16_MAX),
        .max_transfer = LUN_MAX_TRANSFER_BYTES / block_size,
        .optimal_transfer = LUN_OPTIMAL_TRANSFER_BYTES / block_size,
        .max_unmap_blocks = LUN_MAX_UNMAP_BLOCKS,
        .max_unmap_descriptors = LUN_MAX_UNMAP_DESCRIPTORS,
        .optimal_unmap_granularity = granularity,
        .unmap_alignment_valid = true,
        .max_write_same = LUN_MAX_WRITE_SAME_BYTES / block_size,
    };

    return vpd_encode_block_limits(to, &limits);
}

static size_t provisioning(const struct volume *volume, uint8_t *to)
{
    uint64_t threshold_set_blocks = LUN_THRESHOLD_SET_BYTES / volume_block_size(volume);
    const struct vpd_provisioning thin = {
        .threshold_exponent = (uint8_t)__builtin_ctzll(threshold_set_blocks),
        .threshold_percentage = 1,
        .lbpu = true,
        .lbpws = true,
        .lbpws10 = true,
        .lbprz = LBPRZ_ZEROS,
        .anc_sup = volume_can_anchor(volume),
        .provisioning_type = PROVISIONING_THIN,
    };

    return vpd_encode_provisioning(to, &thin);
}

static uint8_t vital_product_data(struct exec *exec, uint8_t page, size_t allocation_length)
{
    static const uint8_t pages[] = {VPD_SUPPORTED_PAGES,
                                    VPD_UNIT_SERIAL_NUMBER,
                                    VPD_DEVICE_IDENTIFICATION,
                                    VPD_EXTENDED_INQUIRY,
                                    VPD_THIRD_PARTY_COPY,
                                    VPD_BLOCK_LIMITS,
                                    VPD_BLOCK_DEVICE_CHARACTERISTICS,
                                    VPD_LOGICAL_BLOCK_PROVISIONING,
                                    VPD_ALLOCATION_BITMAP,
                                    VPD_CHANGE_RECORD};
    const struct lun *lun = exec->lun;
    uint8_t bytes[VPD_PAGE_MAX_BYTES];
    size_t length;

    switch (page) {
    case VPD_SUPPORTED_PAGES:
        length = vpd_encode_supported(bytes, pages, sizeof(pages));
        break;
    case VPD_UNIT_SERIAL_NUMBER:
        length = vpd_encode_serial(bytes, lun->serial);
        break;
    case VPD_DEVICE_IDENTIFICATION:
        length = identification(lun, bytes);
        break;
    case VPD_EXTENDED_INQUIRY:
        length = vpd_encode_extended_inquiry(bytes, LUN_SENSE_BYTES);
        break;
    case VPD_THIRD_PARTY_COPY:
        length = copy_page_encode(exec->volume, bytes);
        break;
    case VPD_BLOCK_LIMITS:
        length = block_limits(exec->volume, bytes);
        break;
    case VPD_BLOCK_DEVICE_CHARACTERISTICS:
        length = vpd_encode_characteristics(bytes);
        break;
    case VPD_LOGICAL_BLOCK_PROVISIONING:
        length = provisioning(exec->volume, bytes);
        break;
    case VPD_ALLOCATION_BITMAP:
        length = bitmap_page_of(exec->volume, bytes);
        break;
    case VPD_CHANGE_RECORD:
        length = track_page_of(exec->volume, bytes);
        break;
    default:
        return exec_fail_field(exec);
    }
    return reply_whole(exec, bytes, length, allocation_length);
}

uint8_t op_inquiry(struct exec *exec)
{
    const uint8_t *cdb = exec->cdb;
    size_t allocation_length = get_be16(cdb + 3);

    if (cdb[1] & INQUIRY_EVPD)
        return vital_product_data(exec, cdb[2], allocation_length);
    if (cdb[2] != 0)
        return exec_fail_field(exec);
    return standard_data(exec, allocation_length);
}
