/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "capacity.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t encoded[READ_CAPACITY_16_BYTES];
    struct capacity capacity, again;
    int result = capacity_decode_16(data, size, &capacity);

    FUZZ_CHECK(result == 0 || result == -EINVAL);
    FUZZ_CHECK((result == 0) == (capacity.blocks > 0 && capacity.block_size > 0));
    if (result == 0) {
        capacity_encode_16(&capacity, encoded);
        FUZZ_CHECK(capacity_decode_16(encoded, sizeof(encoded), &again) == 0);
        FUZZ_CHECK(again.blocks == capacity.blocks && again.block_size == capacity.block_size);
        FUZZ_CHECK(again.lbpme == capacity.lbpme && again.lbprz == capacity.lbprz);
        FUZZ_CHECK(again.physical_exponent == capacity.physical_exponent);
        FUZZ_CHECK(again.lowest_aligned_lba == capacity.lowest_aligned_lba);

        capacity_encode_10(&capacity, encoded);
        result = capacity_decode_10(encoded, READ_CAPACITY_10_BYTES, &again);
        FUZZ_CHECK(result == (capacity.blocks > UINT32_MAX ? -ERANGE : 0));
        FUZZ_CHECK(result || again.blocks == capacity.blocks);
    }
    result = capacity_decode_10(data, size, &capacity);
    FUZZ_CHECK(result == 0 || result == -EINVAL || result == -ERANGE);
    FUZZ_CHECK((result == 0) == (capacity.blocks > 0 && capacity.block_size > 0));
    return 0;
}
