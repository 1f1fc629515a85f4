/* SPDX-License-Identifier: Apache-2.0 */

/* Lines of procfs and configfs, which hold names that any user may choose. */

#include "cleanup.h"
#include "fuzz.h"
#include "proc_text.h"

static void check_path(const char *line, const char *path, size_t size)
{
    FUZZ_CHECK(strlen(path) < size);
    FUZZ_CHECK(strlen(path) <= strlen(line));
}

static void check_line(const char *line)
{
    char path[64], exact[8];
    struct proc_lock lock;
    uint64_t inode;
    bool writable;

    if (proc_parse_lock(line, &lock))
        FUZZ_CHECK(lock.kind <= PROC_LOCK_OTHER);
    proc_parse_flags(line, &writable);
    if (proc_parse_shared_map(line, &inode))
        FUZZ_CHECK(strchr(line, 's') && strchr(line, 'w'));
    if (proc_parse_swap(line, path, sizeof(path)))
        check_path(line, path, sizeof(path));
    if (proc_parse_swap(line, exact, sizeof(exact)))
        check_path(line, exact, sizeof(exact));
    if (proc_parse_fileio(line, path, sizeof(path))) {
        check_path(line, path, sizeof(path));
        FUZZ_CHECK(path[0] && strstr(line, path));
    }
    if (proc_parse_fileio(line, exact, sizeof(exact)))
        check_path(line, exact, sizeof(exact));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = fuzz_text(data, size);

    check_line(text);
    return 0;
}
