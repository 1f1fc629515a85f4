/* SPDX-License-Identifier: Apache-2.0 */
#include "shell_word.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Nothing that a shell makes something else of. What is no ASCII is a letter to it. */
static bool is_plain(unsigned char byte)
{
    return byte >= 0x80 || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte && strchr("/._-+,:@%=", byte));
}

static bool is_control(unsigned char byte)
{
    return byte < 0x20 || byte == 0x7F;
}

static bool is_any(const char *text, bool (*test)(unsigned char byte))
{
    while (*text)
        if (test((unsigned char)*text++))
            return true;
    return false;
}

static bool is_special(unsigned char byte)
{
    return !is_plain(byte);
}

const char *shell_word(const char *path, char *buffer, size_t size)
{
    bool dollar = is_any(path, is_control);
    bool quoted = path[0] == '\0' || is_any(path, is_special);
    FILE *out = fmemopen(buffer, size, "w");

    buffer[0] = '\0';
    if (!out)
        return buffer;
    fprintf(out, "%s%s", dollar ? "$" : "", quoted ? "'" : "");
    if (path[0] == '-')
        fputs("./", out);
    for (const char *at = path; *at; at++) {
        if (is_control((unsigned char)*at))
            fprintf(out, "\\x%02x", (unsigned char)*at);
        else if (*at == '\'')
            fputs(dollar ? "\\'" : "'\\''", out);
        else if (*at == '\\' && dollar)
            fputs("\\\\", out);
        else
            fputc(*at, out);
    }
    fputs(quoted ? "'" : "", out);
    fclose(out);
    buffer[size - 1] = '\0';
    return buffer;
}
