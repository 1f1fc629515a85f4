/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "fuzz.h"
#include "sense.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t encoded[SENSE_FIXED_BYTES], descriptors[SENSE_DESCRIPTOR_MAX_BYTES];
    struct sense sense, again;
    char text[80];

    if (sense_decode(data, size, &sense)) {
        FUZZ_CHECK(sense_decode(data, size, &sense) == -EINVAL);
        return 0;
    }
    FUZZ_CHECK(sense.key <= 0x0F);
    FUZZ_CHECK(sense.information_valid || sense.information == 0);
    FUZZ_CHECK(sense_describe(&sense, text, sizeof(text)) == text);
    FUZZ_CHECK(memcmp(text, "key ", 4) == 0 && strlen(text) >= strlen("key 0/00/00"));

    sense_encode_fixed(&sense, encoded);
    FUZZ_CHECK(sense_decode(encoded, sizeof(encoded), &again) == 0);
    FUZZ_CHECK(again.key == sense.key && again.asc_ascq == sense.asc_ascq);
    FUZZ_CHECK(again.information_valid ==
               (sense.information_valid && sense.information <= UINT32_MAX));
    FUZZ_CHECK(!again.information_valid || again.information == sense.information);
    FUZZ_CHECK(memcmp(again.specific, sense.specific, sizeof(again.specific)) == 0);

    sense.deferred = false;
    FUZZ_CHECK(sense_decode(descriptors, sense_encode_descriptor(&sense, descriptors), &again) ==
               0);
    FUZZ_CHECK(again.key == sense.key && again.asc_ascq == sense.asc_ascq);
    FUZZ_CHECK(again.information_valid == sense.information_valid);
    FUZZ_CHECK(again.information == sense.information);
    FUZZ_CHECK(memcmp(again.specific, sense.specific, sizeof(again.specific)) == 0);
    return 0;
}
