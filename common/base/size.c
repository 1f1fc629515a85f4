/* SPDX-License-Identifier: Apache-2.0 */
#include "size.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

#define MOST_DIGITS 18 /* behind the point; 10^18 has room in 64 bits */

/* What the letters behind a number multiply it with; 0: they are no unit. */
static uint64_t unit_of(const char *text)
{
    static const char letters[] = "KMGT";
    const char *letter = text[0] ? strchr(letters, toupper((unsigned char)text[0])) : NULL;
    bool decimal = strcasecmp(text + (letter != NULL), "B") == 0;
    uint64_t unit = 1;

    if (text[0] == '\0')
        return 1;
    if (!letter || (!decimal && text[1] != '\0' && strcasecmp(text + 1, "iB") != 0))
        return 0;
    for (ptrdiff_t power = letter - letters; power >= 0; power--)
        unit *= decimal ? 1000 : 1024;
    return unit;
}

/* The digits behind the point, as a part of the unit. -EDOM: that is no whole number of bytes. */
static int parse_fraction(const char *digits, size_t count, uint64_t unit, uint64_t *ret_bytes)
{
    uint64_t number = 0, whole = 1;

    while (count > 0 && digits[count - 1] == '0')
        count--;
    if (count > MOST_DIGITS)
        return -EDOM;
    for (size_t i = 0; i < count; i++) {
        number = number * 10 + (uint64_t)(digits[i] - '0');
        whole *= 10;
    }
    if ((unsigned __int128)number * unit % whole != 0)
        return -EDOM;
    *ret_bytes = (uint64_t)((unsigned __int128)number * unit / whole);
    return 0;
}

int size_parse(const char *text, uint64_t *ret_bytes)
{
    uint64_t unit, fraction = 0;
    unsigned long long number;
    const char *digits = NULL;
    size_t count = 0;
    int error = 0;
    char *end;

    if (!isdigit((unsigned char)text[0])) /* strtoull would take a sign and spaces */
        return -EINVAL;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno == ERANGE)
        return -ERANGE;
    if (*end == '.') {
        digits = end + 1;
        count = strspn(digits, "0123456789");
        end += 1 + count;
        if (count == 0)
            return -EINVAL;
    }
    unit = unit_of(end);
    if (unit == 0)
        return -EINVAL;
    if (digits)
        error = parse_fraction(digits, count, unit, &fraction);
    if (error)
        return error;
    if (mul_overflows(number, unit, ret_bytes) || add_overflows(*ret_bytes, fraction, ret_bytes) ||
        *ret_bytes > INT64_MAX)
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
