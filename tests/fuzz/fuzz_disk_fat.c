/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_input.h"
#include "fuzz.h"

/* What is searched for is in the seeds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_disk(data, size);
}
