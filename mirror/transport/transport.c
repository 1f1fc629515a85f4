/* SPDX-License-Identifier: Apache-2.0 */
#include "transport.h"

#include <errno.h>

void transport_close(struct transport *transport)
{
    if (transport)
        transport->ops->close(transport);
}

int transport_submit(struct transport *transport, struct transport_request *request)
{
    int r;

    request->result = 0;
    request->status = 0;
    request->transferred = 0;
    request->sense_length = 0;
    transport->in_flight++;
    r = transport->ops->submit(transport, request);
    if (r < 0)
        transport->in_flight--;
    return r;
}

void transport_complete(struct transport *transport, struct transport_request *request)
{
    transport->in_flight--;
    request->done(request);
}

static void set_flag(struct transport_request *request)
{
    *(bool *)request->opaque = true;
}

int transport_run(struct transport *transport, struct transport_request *request)
{
    bool done = false;
    int r;

    request->done = set_flag;
    request->opaque = &done;
    r = transport_submit(transport, request);
    if (r < 0) {
        request->result = r;
        return r;
    }
    while (!done) {
        struct pollfd fd = {.fd = -1};
        int timeout_ms = transport->ops->poll(transport, &fd);

        if (poll(&fd, 1, timeout_ms) < 0)
            fd.revents = 0; /* a signal: nothing has happened, but time may have passed */
        transport->ops->service(transport, fd.revents);
    }
    return request->result;
}

uint64_t transport_data_bytes(const struct transport_request *request)
{
    uint64_t bytes = 0;

    for (int i = 0; i < request->iov_count; i++)
        bytes += request->iov[i].iov_len;
    return bytes;
}
