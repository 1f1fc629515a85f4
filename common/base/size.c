/* SPDX-License-Identifier: Apache-2.0 */
#include "size.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

int size_parse(const char *text, uint64_t *ret_bytes)
{
    static const char suffixes[] = "KMGT";
    unsigned long long number;
    uint64_t unit = 1;
    char *end;

    if (!isdigit((unsigned char)text[0])) /* strtoull would take a sign and spaces */
        return -EINVAL;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno == ERANGE)
        return -ERANGE;
    if (*end != '\0') {
        const char *suffix = strchr(suffixes, toupper((unsigned char)*end));

        if (!suffix || end[1] != '\0')
            return -EINVAL;
        unit = UINT64_C(1024) << (10 * (suffix - suffixes));
    }
    if (mul_overflows(number, unit, ret_bytes) || *ret_bytes > INT64_MAX)
        return -ERANGE;
    return 0;
}

const char *size_text(uint64_t bytes, char *buffer, size_t size)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    uint64_t unit = 1;
    unsigned i = 0;

    while (bytes / unit >= 1024 && i + 1 < sizeof(units) / sizeof(units[0])) {
        unit *= 1024;
        i++;
    }
    if (bytes % unit == 0)
        snprintf(buffer, size, "%" PRIu64 " %s", bytes / unit, units[i]);
    else
        snprintf(buffer, size, "%.2f %s", (double)bytes / (double)unit, units[i]);
    return buffer;
}
