/* SPDX-License-Identifier: Apache-2.0 */
#include "transport.h"

/* A SCSI device node of this machine by SG_IO, through libsgutils2. SG_IO blocks, so the commands
 * run on a pool of threads.
 *
 * The blocks of a /dev/sdX are read and written by io_uring and O_DIRECT instead, where there is
 * io_uring. What fails so, for whatever reason, or does not move all of its data, is done again by
 * SG_IO: the sense data decide, never an errno. What does not fail may have met a unit attention
 * all the same, which the kernel keeps to itself: another unit may answer now, or the same one with
 * what was not flushed lost. So before any command is told to have gone well the kernel's count of
 * errors (error_count.h) is compared with those that SG_IO has shown. When there are more, all that
 * is in flight ends with -ERESTART, and that is an interruption: who answers is looked at, and what
 * was not flushed is written again, as after a connection was lost. After RING_INTERRUPTIONS of
 * them SG_IO moves the data, too, as it shows what there is.
 *
 * Where the kernel replaces a lost session by a new one (iSCSI, Fibre Channel) it sends the writes
 * in flight again to whatever answers then. Nothing is to be sent to a unit that isn't known: there
 * SG_IO does the writing, which the kernel does not repeat. A new session of open-iscsi's
 * (kernel_session.h) is an interruption, too, as its target may have been restarted.
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

#include "block_ring.h"
#include "checked.h"
#include "device.h"
#include "error_count.h"
#include "kernel_session.h"
#include "log.h"
#include "sg_device.h"
#include "workpool.h"

#define SG_THREADS                 16
#define COMMAND_TIMEOUT_S          30
#define DEFAULT_MAX_TRANSFER_BYTES (UINT64_C(512) * 1024)
#define STATUS_CHECK_CONDITION     0x02
#define STATUS_BUSY                0x08
#define HOST_TRANSPORT_DISRUPTED   0x0E
#define PAGE_BYTES                 4096
#define HELD_UP_MS                 10
#define RING_INTERRUPTIONS         4  /* fewer than sessions a command may lose */
#define RING_FAILURES              64 /* of no use for this device or these buffers */

struct sg_transport {
    struct transport base;
    struct workpool *pool;
    char *name;
    int fd;
    int disk_fd; /* of the block device, when that is another node; -1: none */
    bool writable;
    struct kernel_session session;

    struct block_ring *ring; /* NULL: SG_IO moves the data, too */
    int direct_fd;           /* the ring's */
    uint32_t block_size;     /* as the kernel has it */
    bool ring_writes;
    struct error_count errors;
    bool counts;         /* the ring was used: commands that go well are held against the count */
    bool in_doubt;       /* what is in the ring was there when the count moved; nothing is added */
    unsigned generation; /* goes up with each of these moments, and with each new session */
    bool ring_ends;      /* nothing more goes to the ring */
    unsigned ring_in_flight, ring_interruptions, ring_failures;
};

struct sg_work {
    struct work work;
    struct sg_transport *transport;
    struct transport_request *request;
    unsigned generation; /* the transport's when it was sent */
    bool told;           /* the unit's status and sense data came */
    bool lost;           /* its session was lost, and there may be another one soon */
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
static int take_result(const struct sg_pt_base *pt, struct sg_work *item, uint64_t bytes)
{
    struct transport_request *request = item->request;
    int resid = get_scsi_pt_resid(pt), sense = get_scsi_pt_sense_len(pt);

    request->transferred = resid > 0 && (uint64_t)resid <= bytes ? bytes - (uint64_t)resid : bytes;
    switch (get_scsi_pt_result_category(pt)) {
    case SCSI_PT_RESULT_GOOD:
        return 0;
    case SCSI_PT_RESULT_STATUS:
        request->status = (uint8_t)get_scsi_pt_status_response(pt);
        item->told = true;
        return 0;
    case SCSI_PT_RESULT_SENSE:
        request->status = STATUS_CHECK_CONDITION;
        request->sense_length = sense > 0 ? (size_t)sense : 0;
        item->told = true;
        return 0;
    case SCSI_PT_RESULT_OS_ERR:
        return -get_scsi_pt_os_err(pt);
    default:
        item->lost = get_scsi_pt_transport_err(pt) == HOST_TRANSPORT_DISRUPTED;
        if (!is_passing(get_scsi_pt_transport_err(pt)))
            return -ENOTCONN;
        request->status = STATUS_BUSY;
        return 0;
    }
}

static int do_command(struct sg_work *item, void *data, uint64_t bytes)
{
    const struct sg_transport *transport = item->transport;
    struct transport_request *request = item->request;
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
        r = take_result(pt, item, bytes);
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
    request->result = do_command(item, data, bytes);
    if (bounce && request->direction == TRANSPORT_DATA_IN && request->result == 0)
        copy_in_or_out(request, bounce);
    free(bounce);
}

/* No more data by the ring; what it has in hand it brings to its end. */
static void leave_ring(struct sg_transport *transport, const char *why)
{
    if (!transport->ring_ends)
        log_warning("%s: %s: its data move by SG_IO from now on", transport->name, why);
    transport->ring_ends = true;
}

/* Whether there was an error that was not reported. */
static bool has_hidden_error(struct sg_transport *transport)
{
    if (!transport->counts || !error_count_moved(&transport->errors))
        return false;
    log_info("%s: the kernel met an error of the unit and kept it to itself", transport->name);
    if (++transport->ring_interruptions == RING_INTERRUPTIONS)
        leave_ring(transport, "the kernel goes on past its errors and unit attentions");
    return true;
}

/* Whether another unit may answer now, or the same one with what was not flushed lost; if so, all
 * that is in flight is in doubt. */
static bool is_interrupted(struct sg_transport *transport)
{
    bool hidden = has_hidden_error(transport);
    bool replaced = kernel_session_replaced(&transport->session);

    if (!hidden && !replaced)
        return false;
    if (replaced)
        log_info("%s: the kernel has replaced its session", transport->name);
    transport->in_doubt = transport->ring_in_flight > 0;
    transport->base.interruptions++;
    transport->generation++;
    return true;
}

static void end(struct sg_transport *transport, struct transport_request *request)
{
    if (transport->ring_in_flight == 0) {
        transport->in_doubt = false;
        transport->counts = transport->counts && !transport->ring_ends;
    }
    transport_complete(&transport->base, request);
}

static void finished(struct work *work)
{
    struct sg_work *item = (struct sg_work *)work;
    struct sg_transport *transport = item->transport;
    struct transport_request *request = item->request;
    bool well = request->result == 0 && request->status == 0;

    /* What is sent now waits in the kernel until the session is there again, or given up. */
    if (item->lost && transport->base.reconnect_ms > 0) {
        request->result = -ERESTART;
        transport->base.interruptions++;
    }
    /* What was in flight when the count moved may have been what moved it. */
    if (item->told && item->generation == transport->generation)
        error_count_expect(&transport->errors);
    if (well && (is_interrupted(transport) || item->generation != transport->generation))
        request->result = -ERESTART;
    free(item);
    end(transport, request);
}

static int submit_by_sg(struct sg_transport *transport, struct transport_request *request)
{
    struct sg_work *item = malloc(sizeof(*item));

    if (!item)
        return -ENOMEM;
    *item = (struct sg_work){.work = {.run = run, .done = finished},
                             .transport = transport,
                             .request = request,
                             .generation = transport->generation};
    workpool_submit(transport->pool, &item->work);
    return 0;
}

/* Whether the ring may have it, in whole blocks of the size that the kernel knows; the buffers
 * aligned to them, as O_DIRECT wants it. */
static bool is_for_ring(const struct sg_transport *transport,
                        const struct transport_request *request, uint64_t *ret_offset)
{
    const uint32_t block_size = transport->block_size;

    if (!transport->ring || transport->ring_ends || transport->in_doubt ||
        request->medium_block_size != block_size ||
        (request->direction == TRANSPORT_DATA_OUT && !transport->ring_writes) ||
        mul_overflows(request->medium_lba, block_size, ret_offset))
        return false;
    for (int i = 0; i < request->iov_count; i++)
        if ((uintptr_t)request->iov[i].iov_base % block_size != 0 ||
            request->iov[i].iov_len % block_size != 0)
            return false;
    return true;
}

static bool submit_by_ring(struct sg_transport *transport, struct transport_request *request)
{
    struct block_ring_io io = {.write = request->direction == TRANSPORT_DATA_OUT,
                               .iov = request->iov,
                               .iov_count = request->iov_count,
                               .opaque = request};

    if (!is_for_ring(transport, request, &io.offset) || block_ring_submit(transport->ring, &io) < 0)
        return false;
    transport->counts = true;
    transport->ring_in_flight++;
    return true;
}

static int sg_submit(struct transport *base, struct transport_request *request)
{
    struct sg_transport *transport = (struct sg_transport *)base;

    return submit_by_ring(transport, request) ? 0 : submit_by_sg(transport, request);
}

/* By SG_IO, at once when it is certain who would get it, otherwise once that was looked at. */
static void ring_failed(struct sg_transport *transport, struct transport_request *request,
                        bool doubted)
{
    if (++transport->ring_failures == RING_FAILURES)
        leave_ring(transport, "io_uring fails");
    request->medium_block_size = 0;
    request->result = doubted ? -ERESTART : submit_by_sg(transport, request);
    if (request->result < 0)
        end(transport, request);
}

static void ring_ended(struct sg_transport *transport, struct transport_request *request,
                       int64_t moved)
{
    const uint64_t bytes = transport_data_bytes(request);
    bool doubted = transport->in_doubt;

    transport->ring_in_flight--;
    doubted = is_interrupted(transport) || doubted;
    if (moved < 0 || (uint64_t)moved != bytes) {
        ring_failed(transport, request, doubted);
        return;
    }
    request->transferred = bytes;
    request->result = doubted ? -ERESTART : 0;
    end(transport, request);
}

/* wait: until nothing is in flight. */
static void ring_service(struct sg_transport *transport, bool wait)
{
    struct transport_request *request;
    int64_t moved;

    while (transport->ring && (request = block_ring_next(transport->ring, wait, &moved)))
        ring_ended(transport, request, moved);
}

static int sg_poll(struct transport *base, struct pollfd *ret)
{
    struct sg_transport *transport = (struct sg_transport *)base;

    *ret = (struct pollfd){.fd = workpool_fd(transport->pool), .events = POLLIN};
    return transport->ring && block_ring_is_held_up(transport->ring) ? HELD_UP_MS : -1;
}

static int sg_service(struct transport *base, short revents)
{
    struct sg_transport *transport = (struct sg_transport *)base;

    (void)revents;
    workpool_service(transport->pool); /* makes what the ring raises, too, not readable */
    ring_service(transport, false);
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

    ring_service(transport, true);
    workpool_destroy(transport->pool);
    block_ring_destroy(transport->ring);
    error_count_close(&transport->errors);
    kernel_session_close(&transport->session);
    if (transport->direct_fd >= 0)
        close(transport->direct_fd);
    if (transport->fd >= 0 && transport->writable)
        forget_cache(transport);
    if (transport->disk_fd >= 0)
        close(transport->disk_fd);
    if (transport->fd >= 0)
        close(transport->fd);
    free(transport->name);
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
        return errmsg_set(err, -EBUSY, "%s %s; it would be overwritten", shown, user);
    if (error == EBUSY)
        return errmsg_set(err, -EBUSY, "%s: mounted, or held by another program", shown);
    if (error == EACCES || error == EPERM)
        return errmsg_set(err, -error, "%s: %s; SCSI commands to a device node need root", shown,
                          strerror(error));
    return errmsg_set(err, -error, "%s: %s", shown, strerror(error));
}

/* What opening it has not told: a loop device over the disk, and that it is to be read only. */
static int refuse_disk(const struct sg_transport *transport, const char *shown, struct errmsg *err)
{
    int fd = transport->disk_fd >= 0 ? transport->disk_fd : transport->fd;
    struct stat st;
    char user[256];

    if (fstat(fd, &st) == 0 && S_ISBLK(st.st_mode) && device_find_loop(&st, user, sizeof(user)))
        return errmsg_set(err, -EBUSY, "%s %s; it would be overwritten", shown, user);
    return device_check_writable(fd, shown, err);
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
    return transport->writable ? refuse_disk(transport, path, err) : 0;
}

/* The same node once more, for O_DIRECT. O_NONBLOCK would make io_uring fail with EAGAIN where it
 * has to wait. */
static int open_direct(struct sg_transport *transport, const char *path)
{
    struct stat first, second;
    int block_size = 0;

    transport->direct_fd =
        open(path, (transport->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_DIRECT);
    if (transport->direct_fd < 0 || fstat(transport->fd, &first) < 0 ||
        fstat(transport->direct_fd, &second) < 0 ||
        ioctl(transport->direct_fd, BLKSSZGET, &block_size) < 0)
        return -errno;
    if (first.st_rdev != second.st_rdev || block_size <= 0)
        return -ENODEV;
    transport->block_size = (uint32_t)block_size;
    return 0;
}

static void watch_session(struct sg_transport *transport)
{
    struct stat st;
    int r = fstat(transport->fd, &st) < 0 ? -errno
                                          : kernel_session_open(&transport->session, "/sys", &st);

    if (r < 0 && r != -ENOENT)
        log_info("%s: its session is not watched: %s", transport->name, strerror(-r));
}

/* Without one SG_IO moves the data: that is no error, and shown by probe. */
static int open_ring(struct sg_transport *transport, const char *path,
                     const struct sg_device *device)
{
    int r;

    if (device_kind_of(path) != DEVICE_SCSI_DISK)
        return 0;
    r = error_count_open(&transport->errors, "/sys", transport->fd);
    if (r == 0)
        r = open_direct(transport, path);
    transport->ring_writes = !device->comes_back;
    return r < 0 ? r
                 : block_ring_create(transport->direct_fd, workpool_fd(transport->pool),
                                     &transport->ring);
}

static int open_all(struct sg_transport *transport, const char *path,
                    const struct sg_device *device, struct errmsg *err)
{
    int r = open_nodes(transport, path, device, err);

    if (r < 0)
        return r;
    r = workpool_create(SG_THREADS, &transport->pool);
    if (r < 0)
        return errmsg_set(err, r, "%s: %s", path, strerror(-r));
    transport->name = strdup(path);
    if (!transport->name)
        return errmsg_set(err, -ENOMEM, "%s: out of memory", path);
    watch_session(transport);
    r = open_ring(transport, path, device);
    if (r < 0)
        log_info("%s: no io_uring: %s", path, strerror(-r));
    transport->base.data_by = !transport->ring         ? "SG_IO"
                              : transport->ring_writes ? "io_uring"
                                                       : "io_uring, writes by SG_IO";
    forget_cache(transport);
    return 0;
}

int transport_sg_open(const char *path, bool writable, struct transport **ret, struct errmsg *err)
{
    struct sg_transport *transport = calloc(1, sizeof(*transport));
    struct sg_device device;
    int r;

    if (!transport)
        return errmsg_set(err, -ENOMEM, "%s: out of memory", path);
    transport->base.ops = &sg_ops;
    transport->fd = transport->disk_fd = transport->direct_fd = -1;
    transport->errors.errors_fd = transport->errors.timeouts_fd = transport->session.port_fd = -1;
    transport->writable = writable;
    sg_device_look_up("/sys", path, &device);
    r = open_all(transport, path, &device, err);
    if (r < 0) {
        sg_close(&transport->base);
        return r;
    }
    transport->base.max_transfer_bytes =
        device.max_transfer_bytes ? device.max_transfer_bytes : DEFAULT_MAX_TRANSFER_BYTES;
    memcpy(transport->base.target, device.target, sizeof(transport->base.target));
    *ret = &transport->base;
    return 0;
}
