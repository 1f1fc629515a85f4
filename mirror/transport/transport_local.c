/* SPDX-License-Identifier: Apache-2.0 */
#include "transport.h"

/* A logical unit in this process, over a volume's file: no target, no network. Its commands run on
 * a pool of threads. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lun.h"
#include "volume.h"
#include "workpool.h"

#define LOCAL_THREADS 8

struct local_transport {
    struct transport base;
    struct lun *lun;
    bool writable;
    struct workpool *pool;
};

struct local_work {
    struct work work;
    struct local_transport *transport;
    struct transport_request *request;
};

static void run(struct work *work)
{
    struct local_work *item = (struct local_work *)work;
    struct transport_request *request = item->request;
    struct lun_command command = {.cdb = request->cdb, .cdb_length = request->cdb_length};

    if (request->direction == TRANSPORT_DATA_IN) {
        command.data_in = request->iov;
        command.data_in_count = request->iov_count;
    } else if (request->direction == TRANSPORT_DATA_OUT) {
        command.data_out = request->iov;
        command.data_out_count = request->iov_count;
    }
    request->status = lun_execute(item->transport->lun, &command);
    request->transferred = request->direction == TRANSPORT_DATA_IN ? command.data_in_bytes
                                                                   : transport_data_bytes(request);
    if (request->status != 0) {
        _Static_assert(LUN_SENSE_BYTES <= TRANSPORT_SENSE_BYTES, "sense fits");
        memcpy(request->sense, command.sense, LUN_SENSE_BYTES);
        request->sense_length = LUN_SENSE_BYTES;
    }
}

/* What is written to a file that somebody deletes meanwhile is gone with it, so it counts as
 * failed: every copy ends with a command that is no read. */
static int check_kept(const struct local_transport *transport,
                      const struct transport_request *request)
{
    if (!transport->writable || request->direction == TRANSPORT_DATA_IN)
        return 0;
    return volume_kept(lun_volume(transport->lun));
}

static void finished(struct work *work)
{
    struct local_work *item = (struct local_work *)work;
    struct local_transport *transport = item->transport;
    struct transport_request *request = item->request;

    free(item);
    request->result = check_kept(transport, request);
    transport_complete(&transport->base, request);
}

static int local_submit(struct transport *base, struct transport_request *request)
{
    struct local_transport *transport = (struct local_transport *)base;
    struct local_work *item = malloc(sizeof(*item));

    if (!item)
        return -ENOMEM;
    *item = (struct local_work){.work = {.run = run, .done = finished},
                                .transport = transport,
                                .request = request};
    workpool_submit(transport->pool, &item->work);
    return 0;
}

static int local_poll(struct transport *base, struct pollfd *ret)
{
    struct local_transport *transport = (struct local_transport *)base;

    *ret = (struct pollfd){.fd = workpool_fd(transport->pool), .events = POLLIN};
    return -1;
}

static int local_service(struct transport *base, short revents)
{
    (void)revents;
    workpool_service(((struct local_transport *)base)->pool);
    return 0;
}

static void local_close(struct transport *base)
{
    struct local_transport *transport = (struct local_transport *)base;

    workpool_destroy(transport->pool);
    lun_close(transport->lun);
    free(transport);
}

static const struct transport_ops local_ops = {
    .kind = "local",
    .close = local_close,
    .submit = local_submit,
    .poll = local_poll,
    .service = local_service,
};

int transport_local_open(const char *path, bool writable, struct transport **ret,
                         struct errmsg *err)
{
    struct local_transport *transport = calloc(1, sizeof(*transport));
    struct volume *volume;
    int r;

    if (!transport)
        return errmsg_set(err, -ENOMEM, "thin:%s: out of memory", path);
    transport->base.ops = &local_ops;
    transport->writable = writable;
    r = volume_open(path, !writable, &volume, err);
    if (r < 0) {
        free(transport);
        return r;
    }
    r = lun_open(volume, &transport->lun);
    if (r == 0)
        r = workpool_create(LOCAL_THREADS, &transport->pool);
    if (r < 0) {
        local_close(&transport->base);
        return errmsg_set(err, r, "thin:%s: %s", path, strerror(-r));
    }
    *ret = &transport->base;
    return 0;
}
