/* SPDX-License-Identifier: Apache-2.0 */
#include "file_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "cleanup.h"

/* "3f2b...-..." as 16 bytes; all 0 when it cannot be read. */
static void read_boot(uint8_t ret[16])
{
    CLEANUP_FCLOSE FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    unsigned count = 0;
    int c, digit;

    memset(ret, 0, 16);
    while (file && count < 32 && (c = fgetc(file)) != EOF) {
        if (c == '-')
            continue;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if (c >= 'a' && c <= 'f')
            digit = c - 'a' + 10;
        else
            break;
        ret[count / 2] = (uint8_t)(ret[count / 2] << 4 | digit);
        count++;
    }
    if (count < 32)
        memset(ret, 0, 16);
}

/* Counts how often disks came and went: two with one number are not the same disk. 0: the file
 * system is on no disk of its own. */
static uint64_t disk_sequence(const struct statx *stx)
{
    char path[64];
    uint64_t number = 0;

    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/diskseq", stx->stx_dev_major,
             stx->stx_dev_minor);
    CLEANUP_FCLOSE FILE *file = fopen(path, "re");
    if (!file) { /* a partition has that of its disk */
        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../diskseq", stx->stx_dev_major,
                 stx->stx_dev_minor);
        file = fopen(path, "re");
    }
    if (file && fscanf(file, "%" SCNu64, &number) != 1)
        number = 0;
    return number;
}

static uint64_t nanoseconds(const struct statx_timestamp *time)
{
    return (uint64_t)time->tv_sec * UINT64_C(1000000000) + time->tv_nsec;
}

int file_identity(int fd, struct store_identity *ret)
{
    struct statx stx;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, &stx) < 0)
        return -errno;
    *ret = (struct store_identity){
        .mount = stx.stx_mask & STATX_MNT_ID ? stx.stx_mnt_id : 0,
        .device = makedev(stx.stx_dev_major, stx.stx_dev_minor),
        .disk_sequence = disk_sequence(&stx),
        .inode = stx.stx_ino,
        .birth_ns = stx.stx_mask & STATX_BTIME ? nanoseconds(&stx.stx_btime) : 0,
        .modified_ns = nanoseconds(&stx.stx_mtime),
        .changed_ns = nanoseconds(&stx.stx_ctime),
    };
    read_boot(ret->boot);
    return 0;
}

/* Times of files are those of the kernel's tick. */
int file_identity_now(int fd, struct store_identity *ret)
{
    const struct timespec a_tick = {.tv_nsec = 4000000};
    struct timespec now;
    int error = file_identity(fd, ret);

    for (int i = 0; !error && i < 10; i++) {
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
        if ((uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec > ret->changed_ns)
            break;
        nanosleep(&a_tick, NULL);
    }
    return error;
}
