/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_scsi.h"

/* One CDB after another for a request; sending again; the recheck after a unit attention. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capacity.h"
#include "cdb.h"
#include "log.h"
#include "monotonic.h"
#include "scsi_defs.h"
#include "vpd.h"

#define MAX_ATTENTIONS   16
#define MAX_REFUSALS     16
#define FIRST_RETRY_MS   10
#define LONGEST_RETRY_MS 1000
#define LEAST_ATTEMPTS   3    /* also when this process stood still for longer than the limit */
#define MAX_SESSIONS     8    /* a command that loses this number of them is not sent again */
#define ASC_POWER_ON     0x29 /* power on, reset or bus device reset occurred */

static void command_done(struct transport_request *request);
static void start_recheck(struct scsi_endpoint *endpoint);
static void ask_capacity(struct scsi_command *command);

static bool is_change(const struct endpoint_request *user)
{
    return user && (user->op == ENDPOINT_WRITE || user->op == ENDPOINT_ZERO);
}

static bool has_unflushed(const struct scsi_endpoint *endpoint)
{
    return endpoint->changes_begun != endpoint->changes_flushed;
}

struct scsi_command *scsi_command_new(struct scsi_endpoint *endpoint, struct endpoint_request *user)
{
    struct scsi_command *command = calloc(1, sizeof(*command));

    if (!command)
        return NULL;
    command->endpoint = endpoint;
    command->user = user;
    command->request.done = command_done;
    command->request.opaque = command;
    command->request.iov = command->iov;
    endpoint->changes_begun += is_change(user);
    return command;
}

void scsi_command_free(struct scsi_command *command)
{
    command->endpoint->changes_ended += is_change(command->user);
    free(command->reply);
    free(command);
}

void scsi_command_data(struct scsi_command *command, enum transport_direction direction, void *data,
                       size_t length)
{
    command->request.direction = direction;
    command->request.iov = command->iov;
    command->request.iov_count = length ? 1 : 0;
    command->iov[0] = (struct iovec){data, length};
}

void scsi_command_finish(struct scsi_command *command)
{
    struct endpoint_request *user = command->user;

    while (command->followers) {
        struct scsi_command *follower = command->followers;

        command->followers = follower->next;
        follower->user->result = user->result;
        follower->user->error = user->error;
        scsi_command_finish(follower);
    }
    scsi_command_free(command);
    if (user)
        user->done(user);
}

void scsi_command_fail(struct scsi_command *command, const struct outcome *outcome)
{
    struct endpoint_request *user = command->user;
    struct scsi_endpoint *endpoint = command->endpoint;
    char text[512];

    scsi_outcome_describe(outcome, &command->request, text, sizeof(text));
    if (user) {
        user->result = outcome->error;
        errmsg_set(&user->error, outcome->error, "%s: %s", endpoint->name, text);
        if (outcome->has_sense && outcome->sense.information_valid &&
            outcome->sense.information >= user->lba &&
            outcome->sense.information - user->lba < user->blocks) {
            user->error_lba = outcome->sense.information;
            errmsg_set(&user->error, outcome->error, "%s: %s, at block %llu", endpoint->name, text,
                       (unsigned long long)user->error_lba);
        }
        user->unreadable = user->op == ENDPOINT_READ && outcome->has_sense &&
                           !outcome->sense.deferred && outcome->sense.key == SENSE_MEDIUM_ERROR;
    }
    scsi_command_finish(command);
}

/* Ends a command that was not sent because the endpoint is of no more use. */
static void fail_with_endpoint(struct scsi_command *command)
{
    struct scsi_endpoint *endpoint = command->endpoint;

    if (command->user) {
        command->user->result = endpoint->failed;
        command->user->error = endpoint->failure;
    }
    scsi_command_finish(command);
}

void scsi_endpoint_fail(struct scsi_endpoint *endpoint, int error, const char *why)
{
    if (endpoint->failed)
        return;
    endpoint->failed = error;
    errmsg_set(&endpoint->failure, error, "%s: %s", endpoint->name, why);
}

static void fail_waiting(struct scsi_endpoint *endpoint)
{
    struct scsi_command *batch = endpoint->batch.first;

    endpoint->batch = (struct unmap_batch){0};
    while (batch) {
        struct scsi_command *command = batch;

        batch = command->next;
        fail_with_endpoint(command);
    }
    while (endpoint->waiting) {
        struct scsi_command *command = endpoint->waiting;

        endpoint->waiting = command->next;
        fail_with_endpoint(command);
    }
}

static void wait_until(struct scsi_command *command, uint64_t when_ms)
{
    command->retry_at_ms = when_ms;
    command->next = command->endpoint->waiting;
    command->endpoint->waiting = command;
}

/* Any error but those that are about this one command. */
static bool is_end_of_transport(int result)
{
    return result < 0 && result != -ENOMEM && result != -EINVAL && result != -EPERM;
}

static int send(struct scsi_command *command)
{
    struct scsi_endpoint *endpoint = command->endpoint;
    int r;

    if (endpoint->failed)
        return endpoint->failed;
    if (command->request.cdb_length == 0) {
        const struct outcome good = {.verdict = VERDICT_GOOD};

        command->step(command, &good);
        return 0;
    }
    if (endpoint->rechecking && command->user) {
        wait_until(command, 0);
        return 0;
    }
    command->attempts++;
    r = transport_submit(endpoint->transport, &command->request);
    if (r == 0 && command->counter)
        ++*command->counter;
    if (is_end_of_transport(r))
        scsi_endpoint_fail(endpoint, r, "the connection to the target is lost");
    return r;
}

int scsi_command_start(struct scsi_command *command)
{
    command->attempts = 0;
    command->sessions_lost = 0;
    command->first_attempt_ms = monotonic_ms();
    return send(command);
}

/* A CDB that was not taken goes to the waiting list all the same: there it is sent again, or failed
 * with the endpoint, but never from within endpoint_submit, where done() is not expected. */
static void not_sent(struct scsi_command *command, int error)
{
    struct scsi_endpoint *endpoint = command->endpoint;

    if (endpoint->failed || command->attempts < MAX_REFUSALS) {
        wait_until(command, monotonic_ms() + FIRST_RETRY_MS);
        return;
    }
    if (command->user) {
        command->user->result = error;
        errmsg_set(&command->user->error, error, "%s: %s", endpoint->name, strerror(-error));
    }
    scsi_command_finish(command);
}

void scsi_command_next(struct scsi_command *command)
{
    int r = scsi_command_start(command);

    if (r < 0)
        not_sent(command, r);
}

void scsi_command_defer(struct scsi_command *command)
{
    command->request.cdb_length = 0;
    wait_until(command, 0);
}

/* Puts the command on the waiting list when it is worth another attempt. */
static bool retry_later(struct scsi_command *command, const struct outcome *outcome)
{
    uint64_t now = monotonic_ms(), delay = FIRST_RETRY_MS;

    if (outcome->verdict == VERDICT_ATTENTION) {
        if (command->attempts >= MAX_ATTENTIONS)
            return false;
        wait_until(command, now);
        return true;
    }
    if (command->attempts >= LEAST_ATTEMPTS &&
        now - command->first_attempt_ms >= command->endpoint->retry_for_ms)
        return false;
    for (unsigned i = 1; i < command->attempts && delay < LONGEST_RETRY_MS; i++)
        delay *= 2;
    wait_until(command, now + (delay < LONGEST_RETRY_MS ? delay : LONGEST_RETRY_MS));
    return true;
}

/* Whether the CDB in hand moves blocks of the medium, rather than something about it. */
static bool moves_blocks(const struct scsi_command *command)
{
    if (!command->user)
        return false;
    switch (command->request.cdb[0]) {
    case SCSI_READ_16:
    case SCSI_WRITE_16:
    case SCSI_WRITE_SAME_16:
        return true;
    default:
        return false;
    }
}

/* Less data than asked for is no read and no write, whatever the status says; and sense data that
 * say nothing vouch for nothing. */
static void check_length(const struct scsi_command *command, struct outcome *outcome)
{
    const struct transport_request *request = &command->request;
    bool says_nothing = outcome->has_sense && outcome->sense.key == SENSE_NO_SENSE;

    if (outcome->verdict != VERDICT_GOOD || !moves_blocks(command) ||
        (request->transferred >= transport_data_bytes(request) && !says_nothing))
        return;
    outcome->verdict = VERDICT_FAILED;
    outcome->error = -EIO;
    outcome->has_sense = false;
}

static void note_attention(struct scsi_endpoint *endpoint, const struct sense *sense)
{
    log_info("%s: unit attention %02X/%02X", endpoint->name, sense->asc_ascq >> 8,
             sense->asc_ascq & 0xFF);
    if (sense->asc_ascq >> 8 == ASC_POWER_ON && has_unflushed(endpoint) && !endpoint->new_session)
        endpoint->lost_writes = true;
}

/* A target that was gone for a while may have been restarted. */
static void note_interruption(struct scsi_endpoint *endpoint)
{
    if (endpoint->interruptions == endpoint->transport->interruptions)
        return;
    endpoint->interruptions = endpoint->transport->interruptions;
    endpoint->base.counters.reconnects++;
    if (has_unflushed(endpoint))
        endpoint->lost_writes = true;
    endpoint->reservation.renew = true;
    if (!endpoint->rechecking)
        start_recheck(endpoint);
}

/* Who answers on the new session is looked at first. Sending it again does no harm: all that is
 * sent here has the same effect twice as once. The unit attention of a new session meets the
 * recheck. */
static void send_on_new_session(struct scsi_command *command)
{
    struct scsi_endpoint *endpoint = command->endpoint;

    note_interruption(endpoint);
    endpoint->reservation.renew = true;
    endpoint->new_session = true;
    if (command->user && !endpoint->rechecking) {
        endpoint->base.counters.reconnects++;
        start_recheck(endpoint);
    }
    if (!command->user)
        ask_capacity(command); /* the look begins anew: what it saw was before */
    wait_until(command, monotonic_ms());
}

/* A write has failed after its end was called good, it is not known which one. That is told once,
 * by whatever comes next, and a flush after it may go well: so nothing counts any more. */
static void note_deferred(struct scsi_command *command, const struct outcome *outcome)
{
    struct scsi_endpoint *endpoint = command->endpoint;
    char text[256];

    if (outcome->has_sense && outcome->sense.deferred && endpoint->base.info.writable)
        scsi_endpoint_fail(endpoint, outcome->error,
                           scsi_outcome_describe(outcome, &command->request, text, sizeof(text)));
}

static void command_done(struct transport_request *request)
{
    struct scsi_command *command = request->opaque;
    struct scsi_endpoint *endpoint = command->endpoint;
    struct outcome outcome;

    if (request->result == -ERESTART) {
        if (!endpoint->failed && ++command->sessions_lost < MAX_SESSIONS) {
            send_on_new_session(command);
            return;
        }
        request->result = endpoint->failed ? endpoint->failed : -ETIMEDOUT;
    }
    outcome = scsi_outcome(request);
    check_length(command, &outcome);
    if (is_end_of_transport(request->result)) {
        char text[256];

        scsi_endpoint_fail(endpoint, request->result,
                           scsi_outcome_describe(&outcome, request, text, sizeof(text)));
    } else if (!endpoint->failed) {
        note_deferred(command, &outcome);
        if (outcome.verdict == VERDICT_ATTENTION)
            note_attention(endpoint, &outcome.sense);
        if (outcome.verdict == VERDICT_ATTENTION && command->user && !endpoint->rechecking)
            start_recheck(endpoint);
        if ((outcome.verdict == VERDICT_ATTENTION || outcome.verdict == VERDICT_BUSY) &&
            retry_later(command, &outcome))
            return;
    }
    command->step(command, &outcome);
}

/* The recheck. Its command has no user; its steps are READ CAPACITY, INQUIRY, and what keeps a
 * reservation. */

void scsi_recheck_end(struct scsi_command *command, int error, const char *why)
{
    struct scsi_endpoint *endpoint = command->endpoint;

    if (why) {
        scsi_endpoint_fail(endpoint, error, why);
        log_error("%s", endpoint->failure.text);
    }
    scsi_command_finish(command);
    endpoint->rechecking = endpoint->new_session = false;
}

static void end_recheck(struct scsi_command *command, const char *trouble)
{
    scsi_recheck_end(command, -ENODEV, trouble);
}

/* It is the unit that it was. */
static void unit_is_known(struct scsi_command *command)
{
    if (!scsi_reservation_recheck(command))
        end_recheck(command, NULL);
}

static void identity_read(struct scsi_command *command, const struct outcome *outcome)
{
    const struct scsi_unit *unit = &command->endpoint->unit;
    char key[VPD_DESIGNATOR_TEXT_BYTES];
    char text[512];

    if (outcome->verdict != VERDICT_GOOD) {
        end_recheck(command, scsi_outcome_describe(outcome, &command->request, text, sizeof(text)));
        return;
    }
    if (!unit_identity_key(unit->identity.page, command->reply, command->request.transferred, key,
                           sizeof(key)))
        key[0] = '\0';
    if (strcmp(key, unit->identity.key) == 0) {
        unit_is_known(command);
        return;
    }
    snprintf(text, sizeof(text), "another logical unit answers now: it was %.200s, it is %.200s",
             unit->identity.key, key[0] ? key : "one without a name");
    end_recheck(command, text);
}

static void capacity_read(struct scsi_command *command, const struct outcome *outcome)
{
    const struct scsi_unit *unit = &command->endpoint->unit;
    struct capacity capacity;
    char text[512];
    size_t length = command->request.transferred;
    int r;

    /* A target that has just been started may not have its units yet. */
    if (outcome->error == -ENODEV && retry_later(command, outcome))
        return;
    if (outcome->verdict != VERDICT_GOOD) {
        end_recheck(command, scsi_outcome_describe(outcome, &command->request, text, sizeof(text)));
        return;
    }
    r = unit->capacity_10 ? capacity_decode_10(command->reply, length, &capacity)
                          : capacity_decode_16(command->reply, length, &capacity);
    if (r < 0 || capacity.blocks != unit->blocks || capacity.block_size != unit->block_size) {
        snprintf(text, sizeof(text),
                 "its capacity has changed, from %llu blocks of %u bytes to %llu of %u",
                 (unsigned long long)unit->blocks, unit->block_size,
                 r < 0 ? 0 : (unsigned long long)capacity.blocks, r < 0 ? 0 : capacity.block_size);
        end_recheck(command, text);
        return;
    }
    if (unit->identity.page == 0) {
        unit_is_known(command);
        return;
    }
    memset(command->reply, 0, SCSI_VPD_BYTES);
    scsi_command_data(command, TRANSPORT_DATA_IN, command->reply, SCSI_VPD_BYTES);
    command->request.cdb_length =
        cdb_inquiry_vpd(command->request.cdb, unit->identity.page, SCSI_VPD_BYTES);
    command->step = identity_read;
    if (scsi_command_start(command) < 0)
        end_recheck(command, "the connection to the target is lost");
}

static void ask_capacity(struct scsi_command *command)
{
    command->step = capacity_read;
    scsi_command_data(command, TRANSPORT_DATA_IN, command->reply, READ_CAPACITY_16_BYTES);
    command->request.cdb_length =
        command->endpoint->unit.capacity_10
            ? cdb_read_capacity_10(command->request.cdb)
            : cdb_read_capacity_16(command->request.cdb, READ_CAPACITY_16_BYTES);
}

static void start_recheck(struct scsi_endpoint *endpoint)
{
    struct scsi_command *command = scsi_command_new(endpoint, NULL);

    if (command)
        scsi_command_reply(command, SCSI_VPD_BYTES);
    if (!command || !command->reply) {
        free(command);
        scsi_endpoint_fail(endpoint, -ENOMEM, "out of memory");
        return;
    }
    endpoint->rechecking = true;
    ask_capacity(command);
    if (scsi_command_start(command) < 0)
        end_recheck(command, "the connection to the target is lost");
}

/* The endpoint's clock. */

static bool may_be_sent(const struct scsi_command *command)
{
    return !command->endpoint->rechecking || !command->user;
}

int scsi_endpoint_poll(struct endpoint *base, struct pollfd *ret)
{
    struct scsi_endpoint *endpoint = (struct scsi_endpoint *)base;
    int timeout_ms = endpoint->transport->ops->poll(endpoint->transport, ret);
    uint64_t now = monotonic_ms();

    if (endpoint->batch.first || (endpoint->failed && endpoint->waiting))
        return 0;
    for (const struct scsi_command *command = endpoint->waiting; command; command = command->next) {
        int left = command->retry_at_ms <= now ? 0 : (int)(command->retry_at_ms - now);

        if (may_be_sent(command) && (timeout_ms < 0 || left < timeout_ms))
            timeout_ms = left;
    }
    return timeout_ms;
}

static void send_what_is_due(struct scsi_endpoint *endpoint)
{
    struct scsi_command *list = endpoint->waiting, *command;
    uint64_t now = monotonic_ms();

    endpoint->waiting = NULL;
    while ((command = list)) {
        int r;

        list = command->next;
        if (command->retry_at_ms > now || !may_be_sent(command)) {
            wait_until(command, command->retry_at_ms);
            continue;
        }
        r = send(command);
        if (r < 0)
            not_sent(command, r);
    }
}

int scsi_endpoint_service(struct endpoint *base, short revents)
{
    struct scsi_endpoint *endpoint = (struct scsi_endpoint *)base;
    int r = endpoint->transport->ops->service(endpoint->transport, revents);

    if (r < 0)
        scsi_endpoint_fail(endpoint, r, "the connection to the target is lost");
    if (!endpoint->failed)
        note_interruption(endpoint); /* also when nothing was in flight */
    if (!endpoint->failed) {
        send_what_is_due(endpoint);
        scsi_unmap_send(endpoint);
    }
    if (endpoint->failed)
        fail_waiting(endpoint);
    return endpoint->failed;
}

void scsi_endpoint_close(struct endpoint *base)
{
    struct scsi_endpoint *endpoint = (struct scsi_endpoint *)base;

    bool reachable = !endpoint->failed && !endpoint->rechecking &&
                     endpoint->interruptions == endpoint->transport->interruptions;

    scsi_endpoint_fail(endpoint, -ECANCELED, "closed");
    scsi_reservation_release(endpoint, reachable);
    transport_close(endpoint->transport);
    fail_waiting(endpoint);
    free(endpoint->zeros);
    free(endpoint->name);
    free(endpoint);
}
