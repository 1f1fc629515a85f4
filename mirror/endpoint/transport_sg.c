/* SPDX-License-Identifier: Apache-2.0 */
#include "transport.h"

/* A SCSI device node of this machine by SG_IO, through libsgutils2. SG_IO blocks, so the commands
 * run on a pool of threads.
 *
 * A writable /dev/sdX is opened with O_EXCL, which the kernel refuses while the disk, or a
 * partition of it, is mounted or held, and which keeps others out afterwards. A /dev/sgN has no
 * such thing: the disk of the same unit is opened so beside it.
 *
 * Without CAP_SYS_RAWIO the kernel lets only some commands through: GET LBA STATUS, UNMAP and WRITE
 * SAME are not among them (EPERM). */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <scsi/sg_pt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "sg_device.h"
#include "workpool.h"

#define SG_THREADS                 16
#define COMMAND_TIMEOUT_S          30
#define DEFAULT_MAX_TRANSFER_BYTES (UINT64_C(512) * 1024)
#define STATUS_CHECK_CONDITION     0x02
#define STATUS_BUSY                0x08
#define PAGE_BYTES                 4096

struct sg_transport {
    struct transport base;
    struct workpool *pool;
    int fd;
    int disk_fd; /* of the block device, when that is another node; -1: none */
    bool writable;
};

struct sg_work {
    struct work work;
    struct sg_transport *transport;
    struct transport_request *request;
};

static void copy_in_or_out(const struct transport_request *request, char *bounce)
{
    for (int i = 0; i < request->iov_count; i++) {
        const struct iovec *piece = &request->iov[i];

        if (piece->iov_len && request->direction == TRANSPORT_DATA_OUT)
            memcpy(bounce, piece->iov_base, piece->iov_len);
        else if (piece->iov_len)
            memcpy(piece->iov_base, bounce, piece->iov_len);
        bounce += piece->iov_len;
    }
}

/* What the host adapter says of a command that is worth another attempt (Linux host bytes BUS_BUSY,
 * SOFT_ERROR, IMM_RETRY, REQUEUE); the rest is no connection, a timeout or a reset. */
static bool is_passing(int host_status)
{
    return host_status == 0x02 || host_status == 0x0B || host_status == 0x0C || host_status == 0x0D;
}

/* SG_IO's answer as ours: 0, or -errno when the unit was not reached. */
static int take_result(const struct sg_pt_base *pt, struct transport_request *request,
                       uint64_t bytes)
{
    int resid = get_scsi_pt_resid(pt), sense = get_scsi_pt_sense_len(pt);

    request->transferred = resid > 0 && (uint64_t)resid <= bytes ? bytes - (uint64_t)resid : bytes;
    switch (get_scsi_pt_result_category(pt)) {
    case SCSI_PT_RESULT_GOOD:
        return 0;
    case SCSI_PT_RESULT_STATUS:
        request->status = (uint8_t)get_scsi_pt_status_response(pt);
        return 0;
    case SCSI_PT_RESULT_SENSE:
        request->status = STATUS_CHECK_CONDITION;
        request->sense_length = sense > 0 ? (size_t)sense : 0;
        return 0;
    case SCSI_PT_RESULT_OS_ERR:
        return -get_scsi_pt_os_err(pt);
    default:
        if (!is_passing(get_scsi_pt_transport_err(pt)))
            return -ENOTCONN;
        request->status = STATUS_BUSY;
        return 0;
    }
}

static int do_command(const struct sg_transport *transport, struct transport_request *request,
                      void *data, uint64_t bytes)
{
    struct sg_pt_base *pt = construct_scsi_pt_obj_with_fd(transport->fd, 0);
    int timeout_s =
        request->timeout_ms ? (int)((request->timeout_ms + 999) / 1000) : COMMAND_TIMEOUT_S;
    int r;

    if (!pt)
        return -ENOMEM;
    set_scsi_pt_cdb(pt, request->cdb, (int)request->cdb_length);
    set_scsi_pt_sense(pt, request->sense, (int)sizeof(request->sense));
    if (request->direction == TRANSPORT_DATA_IN)
        set_scsi_pt_data_in(pt, data, (int)bytes);
    else if (request->direction == TRANSPORT_DATA_OUT)
        set_scsi_pt_data_out(pt, data, (int)bytes);
    r = do_scsi_pt(pt, transport->fd, timeout_s, 0);
    if (r == 0)
        r = take_result(pt, request, bytes);
    else if (r > 0)
        r = r == SCSI_PT_DO_TIMEOUT ? -ETIMEDOUT : -EINVAL;
    destruct_scsi_pt_obj(pt);
    return r;
}

/* The pieces of a request go through one buffer when they are many: SG_IO by way of libsgutils2
 * takes one. */
static void run(struct work *work)
{
    struct sg_work *item = (struct sg_work *)work;
    struct transport_request *request = item->request;
    uint64_t bytes = transport_data_bytes(request);
    void *bounce = NULL, *data = request->iov_count ? request->iov[0].iov_base : NULL;

    if (request->iov_count > 1) {
        if (posix_memalign(&bounce, PAGE_BYTES, bytes) != 0) {
            request->result = -ENOMEM;
            return;
        }
        data = bounce;
        if (request->direction == TRANSPORT_DATA_OUT)
            copy_in_or_out(request, bounce);
    }
    request->result = do_command(item->transport, request, data, bytes);
    if (bounce && request->direction == TRANSPORT_DATA_IN && request->result == 0)
        copy_in_or_out(request, bounce);
    free(bounce);
}

static void finished(struct work *work)
{
    struct sg_work *item = (struct sg_work *)work;
    struct sg_transport *transport = item->transport;
    struct transport_request *request = item->request;

    free(item);
    transport_complete(&transport->base, request);
}

static int sg_submit(struct transport *base, struct transport_request *request)
{
    struct sg_transport *transport = (struct sg_transport *)base;
    struct sg_work *item = malloc(sizeof(*item));

    if (!item)
        return -ENOMEM;
    *item = (struct sg_work){.work = {.run = run, .done = finished},
                             .transport = transport,
                             .request = request};
    workpool_submit(transport->pool, &item->work);
    return 0;
}

static int sg_poll(struct transport *base, struct pollfd *ret)
{
    struct sg_transport *transport = (struct sg_transport *)base;

    *ret = (struct pollfd){.fd = workpool_fd(transport->pool), .events = POLLIN};
    return -1;
}

static int sg_service(struct transport *base, short revents)
{
    (void)revents;
    workpool_service(((struct sg_transport *)base)->pool);
    return 0;
}

/* SG_IO goes past the page cache: forget what was cached of the disk before. */
static void forget_cache(const struct sg_transport *transport)
{
    ioctl(transport->disk_fd >= 0 ? transport->disk_fd : transport->fd, BLKFLSBUF, 0);
}

static void sg_close(struct transport *base)
{
    struct sg_transport *transport = (struct sg_transport *)base;

    workpool_destroy(transport->pool);
    if (transport->fd >= 0 && transport->writable)
        forget_cache(transport);
    if (transport->disk_fd >= 0)
        close(transport->disk_fd);
    if (transport->fd >= 0)
        close(transport->fd);
    free(transport);
}

static const struct transport_ops sg_ops = {
    .kind = "sg",
    .close = sg_close,
    .submit = sg_submit,
    .poll = sg_poll,
    .service = sg_service,
};

/* Why the node cannot be opened; shown: what the user named, path: the node in question. */
static int explain_open(const char *shown, const char *path, int error, struct errmsg *err)
{
    struct stat st;
    char user[256];

    if (error == EBUSY && stat(path, &st) == 0 && device_find_user(st.st_rdev, user, sizeof(user)))
        return errmsg_set(err, -EBUSY, "%s: %s; it would be overwritten", shown, user);
    if (error == EBUSY)
        return errmsg_set(err, -EBUSY, "%s: mounted, or held by another program", shown);
    if (error == EACCES || error == EPERM)
        return errmsg_set(err, -error, "%s: %s; SCSI commands to a device node need root", shown,
                          strerror(error));
    return errmsg_set(err, -error, "%s: %s", shown, strerror(error));
}

/* A loop device over the disk; opening it has not told. */
static int refuse_loop(const struct sg_transport *transport, const char *shown, struct errmsg *err)
{
    struct stat st;
    char user[256];

    if (fstat(transport->disk_fd >= 0 ? transport->disk_fd : transport->fd, &st) == 0 &&
        S_ISBLK(st.st_mode) && device_find_loop(&st, user, sizeof(user)))
        return errmsg_set(err, -EBUSY, "%s: %s; it would be overwritten", shown, user);
    return 0;
}

static int open_nodes(struct sg_transport *transport, const char *path,
                      const struct sg_device *device, struct errmsg *err)
{
    bool generic = device_kind_of(path) == DEVICE_SCSI_GENERIC;
    int exclusive = transport->writable ? O_EXCL : 0;
    char disk[SG_DEVICE_NAME_BYTES + 8];

    if (generic && device->disk[0]) {
        snprintf(disk, sizeof(disk), "/dev/%s", device->disk);
        transport->disk_fd = open(disk, O_RDONLY | O_CLOEXEC | O_NONBLOCK | exclusive);
        if (transport->disk_fd < 0 && (transport->writable || errno != ENOENT))
            return explain_open(path, disk, errno, err);
    }
    /* O_EXCL on a /dev/sgN would wait for, and shut out, every other user of it. */
    transport->fd = open(path, (transport->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK |
                                   (generic ? 0 : exclusive));
    if (transport->fd < 0)
        return explain_open(path, path, errno, err);
    return transport->writable ? refuse_loop(transport, path, err) : 0;
}

int transport_sg_open(const char *path, bool writable, struct transport **ret, struct errmsg *err)
{
    struct sg_transport *transport = calloc(1, sizeof(*transport));
    struct sg_device device;
    int r;

    if (!transport)
        return errmsg_set(err, -ENOMEM, "%s: out of memory", path);
    transport->base.ops = &sg_ops;
    transport->fd = transport->disk_fd = -1;
    transport->writable = writable;
    sg_device_look_up("/sys", path, &device);
    r = open_nodes(transport, path, &device, err);
    if (r == 0) {
        r = workpool_create(SG_THREADS, &transport->pool);
        if (r < 0)
            errmsg_set(err, r, "%s: %s", path, strerror(-r));
    }
    if (r < 0) {
        sg_close(&transport->base);
        return r;
    }
    forget_cache(transport);
    transport->base.max_transfer_bytes =
        device.max_transfer_bytes ? device.max_transfer_bytes : DEFAULT_MAX_TRANSFER_BYTES;
    memcpy(transport->base.target, device.target, sizeof(transport->base.target));
    *ret = &transport->base;
    return 0;
}
