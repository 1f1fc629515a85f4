/* SPDX-License-Identifier: Apache-2.0 */
#include "iscsi_name.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "target_url.h"

#define TYPE_BYTES 4 /* "iqn." */

/* Each # of the pattern is a digit. */
static bool is_like(const char *text, const char *pattern)
{
    for (; *pattern; text++, pattern++)
        if (*pattern == '#' ? !isdigit((unsigned char)*text) : *text != *pattern)
            return false;
    return true;
}

/* ASCII only; what else Unicode has is the target's to judge. */
static bool is_name_byte(unsigned char byte)
{
    return byte >= 0x80 || isalnum(byte) || (byte && strchr("-.:_", byte));
}

static bool is_hexadecimal(const char *text, size_t length)
{
    return strlen(text) == length && strspn(text, "0123456789abcdefABCDEF") == length;
}

bool iscsi_name_is_valid(const char *name)
{
    const char *rest = name + TYPE_BYTES;

    if (strncasecmp(name, "eui.", TYPE_BYTES) == 0)
        return is_hexadecimal(rest, 16);
    if (strncasecmp(name, "naa.", TYPE_BYTES) == 0)
        return is_hexadecimal(rest, 16) || is_hexadecimal(rest, 32);
    if (strncasecmp(name, "iqn.", TYPE_BYTES) != 0 || !is_like(rest, "####-##.") ||
        rest[strlen("####-##.")] == '\0' || strlen(name) >= ISCSI_NAME_BYTES)
        return false;
    for (const char *at = rest; *at; at++)
        if (!is_name_byte((unsigned char)*at))
            return false;
    return true;
}
