/* SPDX-License-Identifier: Apache-2.0 */

/* Sizes as people type them, against the C library's own reading of the number. */

#include <errno.h>
#include <math.h>

#include "cleanup.h"
#include "fuzz.h"
#include "size.h"

/* What the letters behind the number stand for. */
static double unit_of(const char *letters)
{
    static const char order[] = "KMGT";
    const char *at = letters[0] ? strchr(order, letters[0] & ~0x20) : NULL;

    if (!at)
        return 1;
    return pow(letters[1] && (letters[1] & ~0x20) == 'B' ? 1000 : 1024, (double)(at - order + 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = fuzz_text(data, size);
    uint64_t bytes = 0;
    int result = size_parse(text, &bytes);

    FUZZ_CHECK(result == 0 || result == -EINVAL || result == -EDOM || result == -ERANGE);
    if (result == 0) {
        char shown[SIZE_TEXT_BYTES], *end;
        double number = strtod(text, &end), expected = number * unit_of(end);

        FUZZ_CHECK(bytes <= INT64_MAX);
        FUZZ_CHECK(fabs((double)bytes - expected) <= expected * 1e-12);
        FUZZ_CHECK(size_text(bytes, shown, sizeof(shown)) == shown && strlen(shown) > 0);
    }
    return 0;
}
