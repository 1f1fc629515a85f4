/* SPDX-License-Identifier: Apache-2.0 */
#include "transport.h"

/* One iSCSI session to one logical unit, by libiscsi. Its own reconnection is off: it would replay
 * commands to whatever answers. The states here are
 *
 *   connected   context is there, commands are in flight (first to last)
 *   down        no context; held has what was in flight and what was submitted since. A login is
 *               tried from time to time, on a thread of its own, and when one succeeds all of it
 *               ends with -ERESTART. Only with reconnect_ms, and so long after the target's last
 *               answer at most; but one login is always tried in place of a session that libiscsi
 *               broke (replacing)
 *   dead        for good; everything fails
 *
 * A command that is not answered in time ends the session, because the target may still carry it
 * out later: nothing else may be sent to blocks it was about, before the target has ended the
 * session too, which logging in with the same number makes it do. iscsi_progress.h says how long
 * that is, iscsi_arrival.h how what was moved is known. */

#include <errno.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "checked.h"
#include "iscsi_arrival.h"
#include "iscsi_progress.h"
#include "iscsi_relogin.h"
#include "iscsi_session.h"
#include "iscsi_task.h"
#include "iscsi_watch.h"
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
    struct iscsi_arrival arrival;
};

struct iscsi_transport {
    struct transport base;
    struct iscsi_context *context;
    int lun;
    int dead;                    /* -errno once the session is lost, otherwise 0 */
    struct iscsi_command *first; /* in flight, oldest first */
    struct iscsi_command *last;
    struct iscsi_progress progress;
    size_t segment_bytes; /* of a Data-Out PDU at most; 0: not known */

    char *text;
    struct iscsi_relogin relogin; /* while down */
    bool replacing;               /* what libiscsi cancels is held, to be sent again */
    uint64_t replaced_ms;         /* when the last session was replaced */
    struct iscsi_command *held;   /* without a task */
    uint64_t silent_since_ms;     /* since when the target owes us an answer */
    int down;                     /* -errno: why the connection is down; 0: it is not */
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

static bool is_stopped(const struct iscsi_transport *transport)
{
    const atomic_bool *stop = atomic_load(&transport->base.stop);

    return stop && *stop;
}

/* Whether a connection that is lost now is to be established again. */
static bool may_return(const struct iscsi_transport *transport)
{
    return !transport->dead && !is_stopped(transport) && transport->base.reconnect_ms > 0 &&
           monotonic_ms() - transport->silent_since_ms < transport->base.reconnect_ms;
}

static void free_command(struct iscsi_command *command)
{
    if (command->task)
        scsi_free_scsi_task(command->task);
    arrival_free(&command->arrival);
    free(command);
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

static void command_done(struct iscsi_context *context, int status, void *data, void *private_data);

/* -ENOTCONN when libiscsi does not take it. */
static int send_command(struct iscsi_command *command)
{
    struct iscsi_transport *transport = command->transport;
    struct transport_request *request = command->request;
    struct iovec *iov;
    int count;

    arrival_prepare(&command->arrival, request, transport->segment_bytes, &iov, &count);
    command->task = iscsi_task_new(request, iov, count);
    if (!command->task)
        return -ENOMEM;
    link_command(transport, command);
    if (iscsi_scsi_command_async(transport->context, transport->lun, command->task, command_done,
                                 NULL, command) == 0) {
        progress_sends(&transport->progress, request->direction == TRANSPORT_DATA_OUT
                                                 ? transport_data_bytes(request)
                                                 : 0);
        return 0;
    }
    unlink_command(transport, command);
    scsi_free_scsi_task(command->task);
    command->task = NULL;
    return -ENOTCONN;
}

/* What the target has answered goes into the request. False: the command is sent again. */
static bool take_answer(struct iscsi_command *command, int status)
{
    struct iscsi_transport *transport = command->transport;
    struct transport_request *request = command->request;

    iscsi_task_result(command->task, status, request);
    if (arrival_settle(&command->arrival, request, transport->segment_bytes,
                       iscsi_task_sent(command->task)))
        return true;
    unlink_command(transport, command);
    scsi_free_scsi_task(command->task);
    command->task = NULL;
    if (send_command(command) == 0)
        return false;
    link_command(transport, command);
    arrival_give_up(&command->arrival, request);
    return true;
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
    if ((status < 0 || status > UCHAR_MAX) && (transport->down || may_return(transport))) {
        if (!transport->down)
            transport->down = -ENOTCONN;
        hold(command);
        return;
    }
    progress_ends(&transport->progress);
    if (status >= 0 && status <= UCHAR_MAX) {
        transport->silent_since_ms = monotonic_ms();
        if (!take_answer(command, status))
            return;
    } else {
        /* Cancelled, or a reply that cannot be understood: nothing is certain any more. */
        if (!transport->dead)
            transport->dead = -ENOTCONN;
        request->result = transport->dead;
    }
    unlink_command(transport, command);
    free_command(command);
    transport_complete(&transport->base, request);
}

static int iscsi_submit(struct transport *base, struct transport_request *request)
{
    struct iscsi_transport *transport = (struct iscsi_transport *)base;
    uint64_t bytes = transport_data_bytes(request);
    struct iscsi_command *command;
    int r;

    if (transport->dead)
        return transport->dead;
    if (request->cdb_length > CDB_BYTES || bytes > INT_MAX)
        return -EINVAL;
    command = calloc(1, sizeof(*command));
    if (!command)
        return -ENOMEM;
    command->request = request;
    command->transport = transport;
    command->started_ms = monotonic_ms();
    command->timeout_ms = request->timeout_ms ? request->timeout_ms : COMMAND_TIMEOUT_MS;
    if (!transport->first && !transport->down)
        transport->silent_since_ms = command->started_ms;
    r = transport->down ? -ENOTCONN : send_command(command);
    if (r == -ENOTCONN && (transport->down || may_return(transport))) {
        if (!transport->down)
            transport->down = r;
        command->next = transport->held;
        transport->held = command;
        return 0;
    }
    if (r < 0)
        free_command(command);
    return r;
}

/* Ends the session. That cancels what is in flight, so command_done is called for each; but
 * libiscsi has forgotten what was queued when the target had asked for a logout. */
static void destroy_session(struct iscsi_transport *transport)
{
    struct iscsi_context *context = transport->context;

    transport->context = NULL;
    iscsi_destroy_context(context);
    while (transport->first)
        command_done(NULL, SCSI_STATUS_CANCELLED, NULL, transport->first);
}

/* Ends the session; everything in flight is completed with this error. */
static void give_up(struct iscsi_transport *transport, int error)
{
    if (!transport->dead)
        transport->dead = error;
    if (transport->context)
        destroy_session(transport);
}

/* Ends everything that is held. */
static void complete_held(struct iscsi_transport *transport, int result)
{
    struct iscsi_command *list = transport->held, *command;

    transport->held = NULL;
    while ((command = list)) {
        struct transport_request *request = command->request;

        list = command->next;
        free_command(command);
        request->result = result;
        transport_complete(&transport->base, request);
    }
}

static void use_session(struct iscsi_transport *transport, const struct iscsi_session *session)
{
    transport->context = session->context;
    transport->lun = session->lun;
    progress_begin(&transport->progress);
    transport->segment_bytes = iscsi_bursts_segment(&session->bursts);
    transport->base.max_burst_bytes = session->bursts.max_bytes;
    transport->base.unsolicited_bytes =
        session->bursts.unsolicited ? session->bursts.first_bytes : 0;
}

/* Ends a session that libiscsi broke; a login in its place is due at once. Every request that was
 * in flight is held. When no portal accepts the login the connection is down, like one that was
 * lost. */
static void replace_session(struct iscsi_transport *transport)
{
    log_info("%s: libiscsi broke the session (%s); logging in again", transport->text,
             iscsi_get_error(transport->context));
    destroy_session(transport);
    transport->down = -ENOTCONN;
    relogin_now(&transport->relogin);
}

/* Of a connection that was ended libiscsi only says that it may not reconnect, or nothing at all:
 * then its text is still that of an earlier command's sense data. */
static const char *why_lost(const struct iscsi_transport *transport)
{
    const char *why = iscsi_get_error(transport->context);

    if (transport->down == -ETIMEDOUT)
        return "no answer in time";
    if (strstr(why, "reconnect") || strncmp(why, "SENSE KEY", strlen("SENSE KEY")) == 0)
        return "the other side has ended it";
    return why;
}

/* Gives the lost session up; the first login is due in a moment. */
static void go_down(struct iscsi_transport *transport)
{
    const char *why = why_lost(transport);

    log_warning("%s: the connection is lost (%.*s); trying to get it back for %u s",
                transport->text, (int)strcspn(why, "\n"), why, transport->base.reconnect_ms / 1000);
    destroy_session(transport);
    relogin_soon(&transport->relogin);
}

/* What came of a login; the next one is due in a while when that is nothing. */
static void end_login(struct iscsi_transport *transport, const struct iscsi_session *session)
{
    bool replaced = transport->replacing;

    transport->replacing = false;
    progress_ends(&transport->progress);
    if (replaced)
        transport->replaced_ms = monotonic_ms();
    if (!session)
        return;
    use_session(transport, session);
    transport->down = 0;
    if (!replaced) {
        log_warning("%s: connected again", transport->text);
        transport->base.interruptions++;
    }
    complete_held(transport, -ERESTART);
}

/* A login that was begun in time may come to its end after it. */
static bool has_waited_enough(const struct iscsi_transport *transport)
{
    if (is_stopped(transport))
        return true;
    if (transport->replacing)
        return false;
    return transport->base.reconnect_ms == 0 ||
           (relogin_is_due(&transport->relogin) && !may_return(transport));
}

/* The end of the state down, one way or the other, when its time has come. */
static void serve_down(struct iscsi_transport *transport)
{
    struct iscsi_session session;
    int r;

    if (has_waited_enough(transport)) {
        relogin_stop(&transport->relogin);
        transport->dead = transport->down;
        complete_held(transport, transport->dead);
        return;
    }
    r = relogin_serve(&transport->relogin, &session);
    if (r != -EINPROGRESS)
        end_login(transport, r == 0 ? &session : NULL);
}

/* Milliseconds until the first command is out of time, 0 when one is, -1 without any. */
static int time_left(const struct iscsi_transport *transport)
{
    uint64_t now = monotonic_ms(), first = UINT64_MAX;

    for (const struct iscsi_command *command = transport->first; command; command = command->next)
        first = min_u64(first, progress_deadline(&transport->progress, command->started_ms,
                                                 command->timeout_ms, command->request->vital));
    if (first == UINT64_MAX)
        return -1;
    return first <= now ? 0 : (int)(first - now);
}

/* Milliseconds until it is to be looked at what the target has taken; -1: not now. */
static int look_left(const struct iscsi_transport *transport)
{
    return transport->first ? progress_look_left(&transport->progress) : -1;
}

static int iscsi_poll(struct transport *base, struct pollfd *ret)
{
    struct iscsi_transport *transport = (struct iscsi_transport *)base;
    int left, look;

    *ret = (struct pollfd){.fd = -1};
    if (transport->down && !transport->dead)
        return transport->context ? 0 : relogin_poll(&transport->relogin, ret);
    if (!transport->context)
        return -1;
    ret->fd = iscsi_get_fd(transport->context);
    ret->events = (short)iscsi_which_events(transport->context);
    progress_stop(&transport->progress, is_stopped(transport));
    left = time_left(transport);
    look = look_left(transport);
    return look >= 0 && look < left ? look : left;
}

/* The session is of no more use. */
static void lose(struct iscsi_transport *transport, int error)
{
    if (transport->dead || transport->down)
        return;
    if (!transport->first)
        transport->silent_since_ms = monotonic_ms();
    *(may_return(transport) ? &transport->down : &transport->dead) = error;
}

/* libiscsi hands every PDU to the kernel in two calls, header and data, on a socket without Nagle's
 * algorithm. A target that takes 8 KiB in a Data-Out PDU would get, and be woken by, one segment of
 * 48 bytes and one of 8 KiB each time. Corked, what one service writes goes out in full segments.
 * Where that can't be had it is only slower. */
static void cork(int fd, int on)
{
    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

static int serve_context(struct iscsi_transport *transport, short revents)
{
    int fd = iscsi_get_fd(transport->context);
    struct iscsi_watched watched;
    int r;

    if (revents & POLLOUT)
        cork(fd, 1);
    watch_begin(&watched, transport->text);
    r = iscsi_service(transport->context, revents);
    watch_end(&watched);
    if (revents & POLLOUT)
        cork(fd, 0);
    return r;
}

static void serve_connected(struct iscsi_transport *transport, short revents)
{
    progress_stop(&transport->progress, is_stopped(transport));
    if (revents & POLLOUT || look_left(transport) == 0)
        progress_look(&transport->progress, iscsi_get_fd(transport->context), revents & POLLOUT);
    if (revents && !transport->dead && serve_context(transport, revents) < 0 &&
        !transport->replacing) {
        transport->replacing = broken_by_libiscsi(transport);
        if (!transport->replacing && !may_return(transport))
            log_warning("%s: %s", transport->text, iscsi_get_error(transport->context));
        if (!transport->replacing)
            lose(transport, -ENOTCONN);
    }
    if (transport->replacing)
        replace_session(transport);
    if (time_left(transport) == 0 && transport->context)
        progress_look(&transport->progress, iscsi_get_fd(transport->context), false);
    if (time_left(transport) == 0)
        lose(transport, -ETIMEDOUT);
}

static int iscsi_transport_service(struct transport *base, short revents)
{
    struct iscsi_transport *transport = (struct iscsi_transport *)base;

    if (transport->context && !transport->down)
        serve_connected(transport, revents);
    if (transport->down && transport->context)
        go_down(transport);
    else if (transport->down && !transport->dead)
        serve_down(transport);
    if (transport->dead)
        give_up(transport, transport->dead);
    return transport->dead;
}

static void iscsi_transport_close(struct transport *base)
{
    struct iscsi_transport *transport = (struct iscsi_transport *)base;

    if (transport->context && !transport->dead && !transport->first)
        session_logout(transport->context);
    relogin_cancel(&transport->relogin);
    transport->down = 0; /* nothing comes back any more */
    give_up(transport, -ECANCELED);
    complete_held(transport, -ECANCELED);
    free(transport->text);
    free(transport);
}

static int iscsi_adopt(struct transport *base, uint32_t number)
{
    struct iscsi_transport *transport = (struct iscsi_transport *)base;
    struct iscsi_context *context = transport->context;
    struct iscsi_session session;

    if (transport->dead || !context)
        return -ENOTCONN;
    transport->context = NULL;
    session_logout(context);
    iscsi_destroy_context(context);
    transport->relogin.number = SESSION_FIXED | (number & SESSION_FIXED_MASK);
    if (relogin_run(&transport->relogin, atomic_load(&transport->base.stop), &session) == 0)
        use_session(transport, &session);
    else
        transport->dead = -ENOTCONN;
    progress_ends(&transport->progress);
    return transport->dead;
}

static const struct transport_ops iscsi_ops = {
    .kind = "iscsi",
    .close = iscsi_transport_close,
    .submit = iscsi_submit,
    .poll = iscsi_poll,
    .service = iscsi_transport_service,
    .adopt = iscsi_adopt,
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
    struct iscsi_session session;
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
    transport->relogin = (struct iscsi_relogin){.shown = transport->text,
                                                .url = url,
                                                .credentials = credentials,
                                                .number = session_new_number()};
    r = session_login(text, &url, credentials, transport->relogin.number, NULL, &session, err);
    if (r < 0) {
        free(transport->text);
        free(transport);
        return r;
    }
    use_session(transport, &session);
    transport->silent_since_ms = monotonic_ms();
    transport->base.ops = &iscsi_ops;
    snprintf(transport->base.target, sizeof(transport->base.target), "%s,L,0x%x", url.target,
             url.lun);
    *ret = &transport->base;
    return 0;
}
