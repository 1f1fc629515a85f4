/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "fuzz.h"
#include "unit_identity.h"
#include "vpd.h"

static void check_block_limits(const uint8_t *data, size_t size)
{
    struct vpd_block_limits limits, again;
    uint8_t page[VPD_PAGE_MAX_BYTES];
    size_t length;

    if (vpd_decode_block_limits(data, size, &limits))
        return;
    FUZZ_CHECK(limits.unmap_alignment_valid || limits.unmap_alignment == 0);
    length = vpd_encode_block_limits(page, &limits);
    FUZZ_CHECK(vpd_decode_block_limits(page, length, &again) == 0);
    FUZZ_CHECK(again.wsnz == limits.wsnz);
    FUZZ_CHECK(again.max_compare_and_write_blocks == limits.max_compare_and_write_blocks);
    FUZZ_CHECK(again.optimal_transfer_granularity == limits.optimal_transfer_granularity);
    FUZZ_CHECK(again.max_transfer == limits.max_transfer);
    FUZZ_CHECK(again.optimal_transfer == limits.optimal_transfer);
    FUZZ_CHECK(again.max_unmap_blocks == limits.max_unmap_blocks);
    FUZZ_CHECK(again.max_unmap_descriptors == limits.max_unmap_descriptors);
    FUZZ_CHECK(again.optimal_unmap_granularity == limits.optimal_unmap_granularity);
    FUZZ_CHECK(again.unmap_alignment_valid == limits.unmap_alignment_valid);
    FUZZ_CHECK(again.unmap_alignment == limits.unmap_alignment);
    FUZZ_CHECK(again.max_write_same == limits.max_write_same);
}

static void check_provisioning(const uint8_t *data, size_t size)
{
    struct vpd_provisioning provisioning, again;
    uint8_t page[VPD_PAGE_MAX_BYTES];
    size_t length;

    if (vpd_decode_provisioning(data, size, &provisioning))
        return;
    length = vpd_encode_provisioning(page, &provisioning);
    FUZZ_CHECK(vpd_decode_provisioning(page, length, &again) == 0);
    FUZZ_CHECK(again.threshold_exponent == provisioning.threshold_exponent);
    FUZZ_CHECK(again.lbpu == provisioning.lbpu && again.lbpws == provisioning.lbpws);
    FUZZ_CHECK(again.lbpws10 == provisioning.lbpws10 && again.lbprz == provisioning.lbprz);
    FUZZ_CHECK(again.anc_sup == provisioning.anc_sup);
    FUZZ_CHECK(again.provisioning_type == provisioning.provisioning_type);
}

static void check_printable(const char *text)
{
    for (; *text; text++)
        FUZZ_CHECK(*text >= 0x20 && *text <= 0x7E);
}

static void check_names(const uint8_t *data, size_t size, size_t serial_size)
{
    struct vpd_identity identity;
    char *serial = malloc(serial_size);
    int result;

    FUZZ_CHECK(serial);
    result = vpd_decode_serial(data, size, serial, serial_size);
    FUZZ_CHECK(result == 0 || result == -ENOENT || result == -EINVAL);
    FUZZ_CHECK((result == 0) == (serial[0] != 0));
    FUZZ_CHECK(strlen(serial) < serial_size);
    check_printable(serial);
    free(serial);

    result = vpd_decode_identity(data, size, &identity);
    FUZZ_CHECK(result == 0 || result == -ENOENT || result == -EINVAL);
    FUZZ_CHECK((result == 0) == (identity.text[0] != 0));
    FUZZ_CHECK(memchr(identity.text, 0, sizeof(identity.text)));
    check_printable(identity.text);
}

/* The pages say the same by every way to the unit. What has the way in its name is another unit at
 * another address, and may be any where an address is not known. */
static void check_identity(const uint8_t *data, size_t size, const char *vendor)
{
    struct inquiry inquiry = {.product = "DISK"};
    const char *const ways[] = {"iqn.2020-01.com.example:a/0", "iqn.2020-01.com.example:b/0", ""};
    char texts[3][UNIT_IDENTITY_BYTES], serial[VPD_DESIGNATOR_TEXT_BYTES];
    struct unit_identity unit;

    snprintf(inquiry.vendor, sizeof(inquiry.vendor), "%s", vendor);
    for (size_t i = 0; i < 3; i++) {
        const struct unit_names names = {data, data, size, size, &inquiry, ways[i]};

        unit_identity_read(&names, &unit, serial, sizeof(serial), texts[i], sizeof(texts[i]));
        FUZZ_CHECK((unit.page == 0) == (texts[i][0] == 0));
        FUZZ_CHECK(unit_identity_may_be_one(texts[i], texts[i]));
    }
    FUZZ_CHECK(unit_identity_may_be_one(texts[0], texts[2]));
    FUZZ_CHECK(unit_identity_may_be_one(texts[2], texts[1]));
    FUZZ_CHECK(unit_identity_may_be_one(texts[0], texts[1]) == (strcmp(texts[0], texts[1]) == 0));
    FUZZ_CHECK(unit_identity_may_be_one(texts[1], texts[0]) == (strcmp(texts[0], texts[1]) == 0));
    FUZZ_CHECK(texts[0][0] == 0 || !unit_identity_may_be_one(texts[0], "naa.6001@?"));
}

/* Input: the size of the buffer for a serial number, the page asked for, then the page. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    size_t serial_size = 1 + (size_t)fuzz_byte(&input);
    uint8_t page = fuzz_byte(&input);

    check_names(input.data, input.left, serial_size);
    check_block_limits(input.data, input.left);
    check_provisioning(input.data, input.left);
    check_identity(input.data, input.left, page & 1 ? "IET" : "VENDOR");
    if (vpd_supports(input.data, input.left, page))
        FUZZ_CHECK(input.left > VPD_HEADER_BYTES && input.data[1] == 0);
    return 0;
}
