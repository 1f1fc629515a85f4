/* SPDX-License-Identifier: Apache-2.0 */
#include "cleanup.h"
#include "fuzz.h"
#include "volume_meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = fuzz_text(data, size);
    struct errmsg err = {""};
    struct volume_meta meta;

    if (volume_meta_parse(text, size, &meta, &err)) {
        FUZZ_CHECK(err.text[0] != 0);
        return 0;
    }
    FUZZ_CHECK(err.text[0] == 0);
    FUZZ_CHECK(meta.block_size == 512 || meta.block_size == 4096);
    FUZZ_CHECK(!uuid_is_null(meta.uuid));
    FUZZ_CHECK(meta.mode_pages_bytes <= sizeof(meta.mode_pages));
    return 0;
}
