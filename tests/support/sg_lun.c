/* SPDX-License-Identifier: Apache-2.0 */

/* Lets any program that talks SG_IO talk to a logical unit of ours, with no kernel in between:
 * loaded before the program (LD_PRELOAD), it serves the SG_IO requests for a volume's file by
 * lun_execute. sg3_utils take the path of a volume for a device then, and what they print is what
 * somebody else's program makes of our replies.
 *
 * One volume a process. The first request opens it and takes its unit attentions. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lun.h"

#define MAX_ATTENTIONS  10
#define CHECK_CONDITION 0x02
#define DRIVER_SENSE    0x08

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct lun *lun;
static char path[4096];

static void close_lun(void)
{
    lun_close(lun);
    lun = NULL;
}

static void take_attentions(void)
{
    static const uint8_t test_unit_ready[6];
    uint8_t status = 1;

    for (int i = 0; i < MAX_ATTENTIONS && status != 0; i++) {
        struct lun_command command = {.cdb = test_unit_ready,
                                      .cdb_length = sizeof(test_unit_ready)};

        status = lun_execute(lun, &command);
    }
}

static void open_lun(void)
{
    struct volume *volume;
    struct errmsg err;

    if (volume_open(path, getenv("TM_SG_LUN_READ_ONLY") != NULL, &volume, &err) != 0) {
        fprintf(stderr, "sg_lun: %s\n", err.text);
        return;
    }
    if (lun_open(volume, &lun) != 0)
        return;
    atexit(close_lun);
    take_attentions();
}

/* No one else may write to a volume that is opened, not even the program that opened its file. */
static void give_up_writing(int fd)
{
    int read_only = open(path, O_RDONLY | O_CLOEXEC);

    if (read_only >= 0) {
        dup2(read_only, fd);
        close(read_only);
    }
}

/* The name behind the descriptor, which must be a volume's. */
static int find_lun(int fd)
{
    char link[64];
    ssize_t length;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof(path) - 1);
    if (length < 0)
        return -errno;
    path[length] = 0;
    if (!lun)
        give_up_writing(fd);
    pthread_once(&once, open_lun);
    return lun ? 0 : -ENODEV;
}

static int serve(int fd, struct sg_io_hdr *header)
{
    struct iovec data = {.iov_base = header->dxferp, .iov_len = header->dxfer_len};
    bool in = header->dxfer_direction == SG_DXFER_FROM_DEV;
    bool out = header->dxfer_direction == SG_DXFER_TO_DEV;
    struct lun_command command = {
        .cdb = header->cmdp,
        .cdb_length = header->cmd_len,
        .data_in = &data,
        .data_in_count = in && data.iov_len > 0,
        .data_out = &data,
        .data_out_count = out && data.iov_len > 0,
    };
    int error = find_lun(fd);
    size_t sense;

    if (error) {
        errno = -error;
        return -1;
    }
    header->status = lun_execute(lun, &command);
    header->masked_status = (header->status >> 1) & 0x1F;
    header->resid = in ? (int)(data.iov_len - command.data_in_bytes) : 0;
    header->host_status = 0;
    header->driver_status = header->status == CHECK_CONDITION ? DRIVER_SENSE : 0;
    sense = header->mx_sb_len < LUN_SENSE_BYTES ? header->mx_sb_len : LUN_SENSE_BYTES;
    header->sb_len_wr = 0;
    if (header->status == CHECK_CONDITION && header->sbp) {
        memcpy(header->sbp, command.sense, sense);
        header->sb_len_wr = (unsigned char)sense;
    }
    header->info = header->status ? SG_INFO_CHECK : SG_INFO_OK;
    return 0;
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
    int (*real)(int, unsigned long, ...) =
        (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    va_list list;
    void *argument;

    va_start(list, request);
    argument = va_arg(list, void *);
    va_end(list);
    return request == SG_IO ? serve(fd, argument) : real(fd, request, argument);
}
