/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "inquiry.h"

static void check_text(const char *text, size_t size)
{
    FUZZ_CHECK(memchr(text, 0, size));
    for (; *text; text++)
        FUZZ_CHECK(*text >= 0x20 && *text <= 0x7E);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t encoded[INQUIRY_BYTES];
    struct inquiry inquiry, again;

    if (inquiry_decode(data, size, &inquiry)) {
        FUZZ_CHECK(size < INQUIRY_MIN_BYTES);
        return 0;
    }
    check_text(inquiry.vendor, sizeof(inquiry.vendor));
    check_text(inquiry.product, sizeof(inquiry.product));
    check_text(inquiry.revision, sizeof(inquiry.revision));

    FUZZ_CHECK(inquiry_encode(&inquiry, encoded) == INQUIRY_BYTES);
    FUZZ_CHECK(inquiry_decode(encoded, sizeof(encoded), &again) == 0);
    FUZZ_CHECK(strcmp(again.vendor, inquiry.vendor) == 0);
    FUZZ_CHECK(strcmp(again.product, inquiry.product) == 0);
    FUZZ_CHECK(strcmp(again.revision, inquiry.revision) == 0);
    FUZZ_CHECK(again.peripheral_qualifier == inquiry.peripheral_qualifier);
    FUZZ_CHECK(again.peripheral_type == inquiry.peripheral_type);
    return 0;
}
