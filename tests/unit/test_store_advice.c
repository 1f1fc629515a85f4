/* SPDX-License-Identifier: Apache-2.0 */

/* What the file store makes of advice, as the kernel tells it: which pages are in memory. */

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"
#include "skip.h"
#include "store_file.h"

#define PAGE  4096
#define PAGES 256

/* How many of the first pages are in memory. */
static unsigned resident(const char *path, size_t pages)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *bytes = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    unsigned char flags[PAGES];
    unsigned count = 0;

    assert_true(fd >= 0);
    assert_ptr_not_equal(bytes, MAP_FAILED);
    assert_int_equal(mincore(bytes, pages * PAGE, flags), 0);
    for (size_t i = 0; i < pages; i++)
        count += flags[i] & 1;
    munmap(bytes, pages * PAGE);
    close(fd);
    return count;
}

/* A file system in memory has nowhere else to drop it to. */
static void needs_a_disk(struct scratch *scratch)
{
    struct statfs st;

    assert_int_equal(statfs(scratch->directory, &st), 0);
    if (st.f_type != TMPFS_MAGIC && st.f_type != RAMFS_MAGIC && sysconf(_SC_PAGESIZE) == PAGE)
        return;
    scratch_remove(scratch);
    skip_because("the folder for scratch files is in memory");
}

static void what_will_be_read_again_leaves_memory_and_what_will_be_read_comes(void **state)
{
    struct scratch scratch;
    struct store *store;
    struct errmsg err;
    static uint8_t bytes[PAGES * PAGE];
    struct iovec iov = {.iov_base = bytes, .iov_len = PAGES * PAGE};
    const char *path;

    (void)state;
    scratch_make(&scratch);
    path = scratch_path(&scratch, "v");
    needs_a_disk(&scratch);
    memset(bytes, 0x42, iov.iov_len);
    assert_int_equal(store_file_create(path, PAGES * PAGE, &store, &err), 0);
    assert_int_equal(store_write(store, &iov, 1, 0, false), 0);
    assert_int_equal(store_flush(store), 0);
    assert_int_equal(resident(path, PAGES), PAGES);

    assert_int_equal(store_advise(store, 0, PAGES / 2 * PAGE, STORE_RE_READ), 0);
    assert_int_equal(resident(path, PAGES / 2), 0);

    assert_int_equal(store_advise(store, 0, PAGES * PAGE, STORE_WILL_READ), 0);
    for (int i = 0; i < 5000 && resident(path, PAGES) < PAGES; i++)
        usleep(1000);
    assert_int_equal(resident(path, PAGES), PAGES);

    assert_int_equal(store_read(store, &iov, 1, 0), 0);
    for (size_t i = 0; i < iov.iov_len; i++)
        assert_int_equal(bytes[i], 0x42);
    assert_int_equal(store_advise(store, PAGE, PAGES * PAGE, STORE_RE_READ), -ERANGE);
    store_close(store);
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_will_be_read_again_leaves_memory_and_what_will_be_read_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
