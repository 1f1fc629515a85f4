/* SPDX-License-Identifier: Apache-2.0 */
#include "utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The bytes of the character at at, by Unicode's table 3-7 of well-formed UTF-8: no overlong form,
 * no surrogate, nothing beyond U+10FFFF. 0 when there is none. at ends with a NUL. */
static size_t utf8_length(const unsigned char *at)
{
    size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    unsigned char least = 0x80, most = 0xBF;

    if (length == 1)
        return 1;
    if (at[0] < 0xC2 || at[0] > 0xF4)
        return 0;
    if (at[0] == 0xE0)
        least = 0xA0;
    else if (at[0] == 0xED)
        most = 0x9F;
    else if (at[0] == 0xF0)
        least = 0x90;
    else if (at[0] == 0xF4)
        most = 0x8F;
    if (at[1] < least || at[1] > most)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

char *utf8_copy(const char *text)
{
    char *copy = strdup(text);

    for (unsigned char *at = (unsigned char *)copy; at && *at;) {
        size_t length = utf8_length(at);

        if (length == 0)
            *at = '?';
        at += length ? length : 1;
    }
    return copy;
}

/* U+0000 to U+001F, U+007F, U+0080 to U+009F, or no character at all. */
static bool is_control(const unsigned char *at, size_t length)
{
    return length == 0 || at[0] < 0x20 || at[0] == 0x7F || (at[0] == 0xC2 && at[1] < 0xA0);
}

char *utf8_printable(const char *text)
{
    char *copy = malloc(strlen(text) * strlen("\\xNN") + 1), *to = copy;

    for (const unsigned char *at = (const unsigned char *)text; copy && *at;) {
        size_t length = utf8_length(at), taken = length ? length : 1;

        if (is_control(at, length))
            for (size_t i = 0; i < taken; i++)
                to += sprintf(to, "\\x%02x", at[i]);
        else
            to = mempcpy(to, at, taken);
        at += taken;
    }
    if (copy)
        *to = '\0';
    return copy;
}

void utf8_print(FILE *out, const char *text)
{
    char *copy = utf8_printable(text);

    fputs(copy ? copy : "?", out);
    free(copy);
}
