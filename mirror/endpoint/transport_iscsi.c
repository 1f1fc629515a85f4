/* SPDX-License-Identifier: Apache-2.0 */
#include "transport.h"

/* One iSCSI session to one logical unit, by libiscsi. Its own reconnection is off: it would replay
 * commands to whatever answers. A session that is lost stays lost, and everything in flight fails.
 *
 * A command that is not answered in time ends the session, because the target may still carry it
 * out later: nothing else may be sent to blocks it was about. Time does not run while the
 * connection moves on (commands end, or data is taken off our hands): behind a slow line a long
 * queue is no sign of a dead target. */

#include <errno.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "checked.h"
#include "iscsi_session.h"
#include "log.h"
#include "monotonic.h"
#include "target_url.h"

/* The one limit on a target's silence. TCP_USER_TIMEOUT is left alone: Linux counts a receive
 * window that a busy target keeps closed as silence, too. */
#define COMMAND_TIMEOUT_MS  30000
#define REPLACE_INTERVAL_MS 1000 /* a session that breaks sooner is not replaced again */
#define CDB_BYTES           16   /* longer ones need an additional header segment */

struct iscsi_command {
    struct transport_request *request;
    struct scsi_task *task;
    struct iscsi_transport *transport;
    struct iscsi_command *next, *previous;
    uint64_t started_ms;
    unsigned timeout_ms;
};

struct iscsi_transport {
    struct transport base;
    struct iscsi_context *context;
    int lun;
    int dead;                    /* -errno once the session is lost, otherwise 0 */
    struct iscsi_command *first; /* in flight, oldest first */
    struct iscsi_command *last;
    uint64_t moved_ms; /* when the connection last moved on */

    /* What a new session is made of; see replace_session. */
    char *text;
    struct target_url url;
    const struct iscsi_credentials *credentials;
    bool replacing;             /* what libiscsi cancels is held, to be sent again */
    uint64_t replaced_ms;       /* when the last session was replaced */
    struct iscsi_command *held; /* without a task */
};

static void link_command(struct iscsi_transport *transport, struct iscsi_command *command)
{
    command->next = NULL;
    command->previous = transport->last;
    *(transport->last ? &transport->last->next : &transport->first) = command;
    transport->last = command;
}

static void unlink_command(struct iscsi_transport *transport, struct iscsi_command *command)
{
    *(command->previous ? &command->previous->next : &transport->first) = command->next;
    *(command->next ? &command->next->previous : &transport->last) = command->previous;
}

/* libiscsi hands sense data over as it came: two bytes of length, then the data (RFC 7143 11.4.7).
 */
static void take_sense(const struct scsi_task *task, struct transport_request *request)
{
    const unsigned char *data = task->datain.data;
    size_t length;

    if (!data || task->datain.size < 2)
        return;
    length = (size_t)data[0] << 8 | data[1];
    if (length > (size_t)task->datain.size - 2)
        length = (size_t)task->datain.size - 2;
    if (length > sizeof(request->sense))
        length = sizeof(request->sense);
    memcpy(request->sense, data + 2, length);
    request->sense_length = length;
}

static void take_result(const struct iscsi_command *command, int status)
{
    struct transport_request *request = command->request;
    const struct scsi_task *task = command->task;
    size_t expected = (size_t)task->expxferlen;

    request->status = (uint8_t)status;
    request->transferred = expected;
    if (task->residual_status == SCSI_RESIDUAL_UNDERFLOW)
        request->transferred = task->residual < expected ? expected - task->residual : 0;
    if (status == SCSI_STATUS_CHECK_CONDITION) {
        request->transferred = 0;
        take_sense(task, request);
    }
}

/* libiscsi 1.19 ends a healthy session when the target pings (NOP-In) while Data-Out PDUs wait to
 * be sent: its answer takes the CmdSN of the first of them, whose command has been received long
 * ago, and a check of its own then fails. LIO pings every 15 s. Nothing is wrong with the target.
 */
static bool broken_by_libiscsi(const struct iscsi_transport *transport)
{
    const char *error = iscsi_get_error(transport->context);

    return !transport->dead && error && strstr(error, "cmdsn < expcmdsn") &&
           monotonic_ms() - transport->replaced_ms >= REPLACE_INTERVAL_MS;
}

/* Keeps the request until there is a session again. */
static void hold(struct iscsi_command *command)
{
    struct iscsi_transport *transport = command->transport;

    unlink_command(transport, command);
    scsi_free_scsi_task(command->task);
    command->task = NULL;
    command->next = transport->held;
    transport->held = command;
}

static void command_done(struct iscsi_context *context, int status, void *data, void *private_data)
{
    struct iscsi_command *command = private_data;
    struct iscsi_transport *transport = command->transport;
    struct transport_request *request = command->request;

    (void)data;
    (void)context;
    if (status == SCSI_STATUS_CANCELLED &&
        (transport->replacing || broken_by_libiscsi(transport))) {
        transport->replacing = true;
        hold(command);
        return;
    }
    if (status >= 0 && status <= UCHAR_MAX) {
        take_result(command, status);
    } else {
        /* Cancelled, or a reply that cannot be understood: nothing is certain any more. */
        if (!transport->dead)
            transport->dead = -ENOTCONN;
        request->result = transport->dead;
    }
    transport->moved_ms = monotonic_ms();
    unlink_command(transport, command);
    scsi_free_scsi_task(command->task);
    free(command);
    transport_complete(&transport->base, request);
}

static int transfer_direction(enum transport_direction direction)
{
    switch (direction) {
    case TRANSPORT_DATA_IN:
        return SCSI_XFER_READ;
    case TRANSPORT_DATA_OUT:
        return SCSI_XFER_WRITE;
    case TRANSPORT_NO_DATA:
        break;
    }
    return SCSI_XFER_NONE;
}

/* struct scsi_iovec is a struct iovec by contract. While a task runs libiscsi changes an entry for
 * the time of a system call, so no two requests in flight may share an array. */
static void attach_buffers(struct scsi_task *task, struct transport_request *request)
{
    struct scsi_iovec *iov = (struct scsi_iovec *)request->iov;

    if (request->direction == TRANSPORT_DATA_IN)
        scsi_task_set_iov_in(task, iov, request->iov_count);
    else if (request->direction == TRANSPORT_DATA_OUT)
        scsi_task_set_iov_out(task, iov, request->iov_count);
}

static int iscsi_submit(struct transport *base, struct transport_request *request)
{
    struct iscsi_transport *transport = (struct iscsi_transport *)base;
    uint64_t bytes = transport_data_bytes(request);
    struct iscsi_command *command;

    if (transport->dead)
        return transport->dead;
    if (request->cdb_length > CDB_BYTES || bytes > INT_MAX)
        return -EINVAL;
    command = calloc(1, sizeof(*command));
    if (!command)
        return -ENOMEM;
    command->task = scsi_create_task((int)request->cdb_length, request->cdb,
                                     transfer_direction(request->direction), (int)bytes);
    if (!command->task) {
        free(command);
        return -ENOMEM;
    }
    attach_buffers(command->task, request);
    command->request = request;
    command->transport = transport;
    command->started_ms = monotonic_ms();
    command->timeout_ms = request->timeout_ms ? request->timeout_ms : COMMAND_TIMEOUT_MS;
    link_command(transport, command);
    if (iscsi_scsi_command_async(transport->context, transport->lun, command->task, command_done,
                                 NULL, command) != 0) {
        unlink_command(transport, command);
        scsi_free_scsi_task(command->task);
        free(command);
        return -ENOTCONN;
    }
    return 0;
}

/* Ends the session; everything in flight is completed with this error. */
static void give_up(struct iscsi_transport *transport, int error)
{
    struct iscsi_context *context = transport->context;

    if (!transport->dead)
        transport->dead = error;
    transport->context = NULL;
    if (context)
        iscsi_destroy_context(context); /* cancels, so command_done is called for each */
}

/* Logs in anew in place of a session that libiscsi broke. Every request that was in flight ends
 * with -ERESTART, or with -ENOTCONN when nobody lets us in. */
static void replace_session(struct iscsi_transport *transport)
{
    struct iscsi_context *old = transport->context;
    struct iscsi_command *command;
    struct errmsg err;
    int r;

    log_info("%s: libiscsi broke the session (%s); logging in again", transport->text,
             iscsi_get_error(old));
    transport->context = NULL;
    iscsi_destroy_context(old);
    r = session_login(transport->text, &transport->url, transport->credentials, &transport->context,
                      &err);
    transport->replacing = false;
    transport->replaced_ms = transport->moved_ms = monotonic_ms();
    if (r < 0) {
        log_warning("%s", err.text);
        transport->dead = -ENOTCONN;
    }
    for (struct iscsi_command *list = transport->held; (command = list);) {
        struct transport_request *request = command->request;

        list = command->next;
        transport->held = list;
        free(command);
        request->result = r < 0 ? -ENOTCONN : -ERESTART;
        transport_complete(&transport->base, request);
    }
}

/* Milliseconds until the first command is out of time, 0 when one is, -1 without any. */
static int time_left(const struct iscsi_transport *transport)
{
    uint64_t now = monotonic_ms(), first = UINT64_MAX;

    for (const struct iscsi_command *command = transport->first; command; command = command->next) {
        uint64_t since = max_u64(command->started_ms, transport->moved_ms);

        first = min_u64(first, since + command->timeout_ms);
    }
    if (first == UINT64_MAX)
        return -1;
    return first <= now ? 0 : (int)(first - now);
}

static int iscsi_poll(struct transport *base, struct pollfd *ret)
{
    struct iscsi_transport *transport = (struct iscsi_transport *)base;

    *ret = (struct pollfd){.fd = -1};
    if (!transport->context)
        return -1;
    ret->fd = iscsi_get_fd(transport->context);
    ret->events = (short)iscsi_which_events(transport->context);
    return time_left(transport);
}

static int iscsi_transport_service(struct transport *base, short revents)
{
    struct iscsi_transport *transport = (struct iscsi_transport *)base;

    if (!transport->context)
        return transport->dead;
    if (revents & POLLOUT)
        transport->moved_ms = monotonic_ms();
    if (revents && !transport->dead && iscsi_service(transport->context, revents) < 0 &&
        !transport->replacing) {
        transport->replacing = broken_by_libiscsi(transport);
        if (!transport->replacing)
            log_warning("%s: %s", transport->text, iscsi_get_error(transport->context));
        if (!transport->dead && !transport->replacing)
            transport->dead = -ENOTCONN;
    }
    if (transport->replacing)
        replace_session(transport);
    if (!transport->dead && time_left(transport) == 0)
        transport->dead = -ETIMEDOUT;
    if (transport->dead)
        give_up(transport, transport->dead);
    return transport->dead;
}

static void iscsi_transport_close(struct transport *base)
{
    struct iscsi_transport *transport = (struct iscsi_transport *)base;

    if (transport->context && !transport->dead && !transport->first)
        session_logout(transport->context);
    give_up(transport, -ECANCELED);
    free(transport->text);
    free(transport);
}

static const struct transport_ops iscsi_ops = {
    .kind = "iscsi",
    .close = iscsi_transport_close,
    .submit = iscsi_submit,
    .poll = iscsi_poll,
    .service = iscsi_transport_service,
};

/* libiscsi writes with writev(2), which raises SIGPIPE when the target has gone. Left alone when
 * the program has a handler of its own. */
static void ignore_sigpipe(void)
{
    struct sigaction action;

    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

int transport_iscsi_open(const char *text, const struct iscsi_credentials *credentials,
                         struct transport **ret, struct errmsg *err)
{
    struct iscsi_transport *transport;
    struct target_url url;
    int r = target_url_parse(text, &url, err);

    if (r < 0)
        return r;
    ignore_sigpipe();
    transport = calloc(1, sizeof(*transport));
    if (transport)
        transport->text = strdup(text);
    if (!transport || !transport->text) {
        free(transport);
        return errmsg_set(err, -ENOMEM, "%s: out of memory", text);
    }
    r = session_login(text, &url, credentials, &transport->context, err);
    if (r < 0) {
        free(transport->text);
        free(transport);
        return r;
    }
    transport->url = url;
    transport->credentials = credentials;
    transport->base.ops = &iscsi_ops;
    /* Above 255 by flat space addressing, which libiscsi leaves to its caller (SAM-5 4.7.7.3). */
    transport->lun = url.lun < 256 ? (int)url.lun : (int)(url.lun | 0x4000);
    snprintf(transport->base.target, sizeof(transport->base.target), "%s,L,0x%x", url.target,
             url.lun);
    *ret = &transport->base;
    return 0;
}
