/* SPDX-License-Identifier: Apache-2.0 */
#include "proc_text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum proc_lock_kind lock_kind(const char *name)
{
    if (strcmp(name, "FLOCK") == 0)
        return PROC_FLOCK;
    if (strcmp(name, "POSIX") == 0)
        return PROC_POSIX;
    return strcmp(name, "OFDLCK") == 0 ? PROC_OFD : PROC_LOCK_OTHER;
}

bool proc_parse_lock(const char *line, struct proc_lock *ret)
{
    char kind[16], type[8];
    int pid;

    if (strncmp(line, "lock:", strlen("lock:")) == 0)
        line += strlen("lock:");
    if (sscanf(line, "%*u: %15s %*s %7s %d %x:%x:%" SCNu64, kind, type, &pid, &ret->major,
               &ret->minor, &ret->inode) != 6)
        return false;
    ret->kind = lock_kind(kind);
    ret->exclusive = strcmp(type, "WRITE") == 0;
    ret->pid = pid;
    return true;
}

bool proc_parse_flags(const char *line, bool *ret_writable)
{
    unsigned flags;

    if (sscanf(line, "flags: %o", &flags) != 1)
        return false;
    *ret_writable = (flags & O_ACCMODE) != O_RDONLY;
    return true;
}

bool proc_parse_shared_map(const char *line, uint64_t *ret_inode)
{
    char access[5];

    return sscanf(line, "%*x-%*x %4s %*x %*x:%*x %" SCNu64, access, ret_inode) == 2 &&
           strlen(access) == 4 && access[1] == 'w' && access[3] == 's';
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* Copies what is escaped, up to a space or the end; false when it does not fit. */
static bool unescape(const char *from, char *to, size_t size)
{
    size_t length = 0;

    for (; *from && *from != ' ' && *from != '\t' && *from != '\n'; length++) {
        if (length + 1 >= size)
            return false;
        if (from[0] == '\\' && is_octal(from[1]) && is_octal(from[2]) && is_octal(from[3])) {
            to[length] = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            to[length] = *from++;
        }
    }
    to[length] = '\0';
    return true;
}

bool proc_parse_swap(const char *line, char *ret_path, size_t size)
{
    return line[0] == '/' && unescape(line, ret_path, size);
}

/* Where the last occurrence of the words begins, or NULL. */
static const char *find_last(const char *text, const char *words)
{
    const char *found = NULL;

    for (const char *at = strstr(text, words); at; at = strstr(at + 1, words))
        found = at;
    return found;
}

bool proc_parse_fileio(const char *line, char *ret_path, size_t size)
{
    const char *start = strstr(line, "File: ");
    const char *end = start ? find_last(start, "  Size: ") : NULL;

    if (!end)
        return false;
    start += strlen("File: ");
    if (end <= start || (size_t)(end - start) >= size)
        return false;
    memcpy(ret_path, start, (size_t)(end - start));
    ret_path[end - start] = '\0';
    return true;
}
