/* SPDX-License-Identifier: Apache-2.0 */
#include "cfgstring.h"
#include "cleanup.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = fuzz_text(data, size);
    struct errmsg err = {""};
    struct cfgstring config;

    if (cfgstring_parse(text, &config, &err)) {
        FUZZ_CHECK(err.text[0] != 0);
        return 0;
    }
    FUZZ_CHECK(err.text[0] == 0);
    FUZZ_CHECK(strncmp(text, "thin/", 5) == 0 && strlen(text) <= CFGSTRING_MAX_BYTES);
    FUZZ_CHECK(config.path[0] == '/' && config.path[1] != 0);
    FUZZ_CHECK(memchr(config.path, 0, sizeof(config.path)) && !strchr(config.path, ';'));
    FUZZ_CHECK(config.threshold_percent >= 0 && config.threshold_percent < 100);
    FUZZ_CHECK(config.threads >= 1 && config.threads <= CFGSTRING_MAX_THREADS);
    return 0;
}
