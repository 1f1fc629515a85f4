/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_scsi.h"

/* ENDPOINT_RESERVE: a persistent reservation (SPC-4 5.13), WRITE EXCLUSIVE, for the time of a copy.
 * A registration belongs to an I_T nexus, the reservation to the registration that made it. All
 * keys of a copy have the upper 48 bits in common, its owner.
 *
 *   RESERVE                   look, register, take over what is left of an earlier run, reserve
 *   recheck, same session     look: it must still be there
 *   recheck, new session      look, register again with a new key, take over from the old one and
 *                             from those in between that were lost before they had, look
 *   close                     release, end the registration
 *
 * What a session that is gone has registered is the next one's for a target that goes by the ISID,
 * as LIO does, and has no holder for one that counts sessions, as tgt does. PREEMPT moves what it
 * has to the new one without a gap; that the old key is not there any more is a RESERVATION
 * CONFLICT, which is fine. LIO, for its part, refuses everything but registering to a session that
 * has the name of the holder and another ISID, PREEMPT and a registrant's WRITE included
 * (target_core_pr.c, isid_mismatch). So the ISID is made of the owner, that a later process can
 * have it again, and several sessions cannot share a reservation. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "log.h"
#include "reservation.h"

#define KEYS_MAX           256
#define KEYS_REPLY_BYTES   (8 + KEYS_MAX * 8)
#define NONCE_MASK         UINT64_C(0xFFFF)
#define NONCE_BITS         16
#define TYPE               RESERVATION_WRITE_EXCLUSIVE
#define RELEASE_TIMEOUT_MS 5000
#define RELEASE_ATTEMPTS   8 /* past unit attentions */

static void look_done(struct scsi_command *command, const struct outcome *outcome);
static void register_done(struct scsi_command *command, const struct outcome *outcome);
static void keys_done(struct scsi_command *command, const struct outcome *outcome);
static void preempt_next(struct scsi_command *command);
static void reserve_done(struct scsi_command *command, const struct outcome *outcome);

/* A key of the owner that no other session has. */
static uint64_t new_key(uint64_t owner)
{
    uint16_t nonce;

    if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
        nonce = (uint16_t)clock();
    return owner | nonce;
}

static bool is_own(const struct scsi_reservation *own, uint64_t key)
{
    return (key & ~NONCE_MASK) == own->owner;
}

/* What a command is part of; without a user it is the recheck. */

static void end_well(struct scsi_command *command)
{
    command->endpoint->reservation.held = true;
    command->endpoint->reservation.renew = false;
    command->endpoint->new_session = false;
    if (command->user)
        scsi_command_finish(command);
    else
        scsi_recheck_end(command, 0, NULL);
}

static void end_badly(struct scsi_command *command, int error, const char *why)
{
    if (!command->user) {
        scsi_recheck_end(command, error, why);
        return;
    }
    command->user->result =
        errmsg_set(&command->user->error, error, "%s: %s", command->endpoint->name, why);
    scsi_command_finish(command);
}

/* Linux' own target ends every change with this (2/08/00) when it cannot write it to a file. */
static void explain_kernel_target(char *text, size_t size)
{
    size_t used = strlen(text);

    snprintf(text + used, size - used,
             " (a Linux target says this when its folder for reservations is missing; run there: "
             "mkdir -p \"$(cat /sys/kernel/config/target/dbroot)/pr\")");
}

static void end_with(struct scsi_command *command, const struct outcome *outcome)
{
    char text[512];

    if (outcome->verdict == VERDICT_UNSUPPORTED)
        end_badly(command, -EOPNOTSUPP,
                  outcome->error == -EPERM
                      ? "it can be reserved by root only"
                      : "it cannot be reserved (--reserve): its target has no persistent "
                        "reservations");
    else {
        scsi_outcome_describe(outcome, &command->request, text, sizeof(text));
        if (outcome->has_sense && outcome->sense.asc_ascq == ASC_COMMUNICATION_FAILURE)
            explain_kernel_target(text, sizeof(text));
        end_badly(command, outcome->error, text);
    }
}

static void send_in(struct scsi_command *command, enum reservation_query query, size_t length,
                    void (*step)(struct scsi_command *, const struct outcome *))
{
    if (!scsi_command_reply(command, length)) {
        end_badly(command, -ENOMEM, "out of memory");
        return;
    }
    scsi_command_data(command, TRANSPORT_DATA_IN, command->reply, length);
    command->request.cdb_length = cdb_reserve_in(command->request.cdb, query, (uint16_t)length);
    command->step = step;
    scsi_command_next(command);
}

static void send_out(struct scsi_command *command, enum reservation_action action, uint64_t key,
                     uint64_t action_key,
                     void (*step)(struct scsi_command *, const struct outcome *))
{
    _Static_assert(sizeof(command->small) >= RESERVATION_LIST_BYTES, "room for the list");
    reservation_list_encode(command->small, key, action_key);
    scsi_command_data(command, TRANSPORT_DATA_OUT, command->small, RESERVATION_LIST_BYTES);
    command->request.cdb_length = cdb_reserve_out(command->request.cdb, action, TYPE);
    command->step = step;
    scsi_command_next(command);
}

static void look(struct scsi_command *command)
{
    send_in(command, RESERVATION_READ, RESERVATION_REPLY_BYTES, look_done);
}

static void register_key(struct scsi_command *command)
{
    const struct endpoint_request *user = command->user;
    struct scsi_reservation *own = &command->endpoint->reservation;
    /* Of a run before, this very session may have been registered: a device node of this machine
     * is reached by the same one every time. Otherwise a key that is there is somebody else's. */
    bool anyway = !user || user->reservation->take_over;

    own->next_key = new_key(own->owner);
    send_out(command, anyway ? RESERVATION_REGISTER_ANYWAY : RESERVATION_REGISTER, 0, own->next_key,
             register_done);
}

/* The sentence about a reservation that is not ours. */
static void tell_holder(struct scsi_command *command, const struct reservation *found)
{
    char text[384];

    if (!found->held)
        end_badly(command, -ENOLCK,
                  "its reservation is lost: the target was restarted or somebody has ended it, so "
                  "others may have written to it");
    else if ((found->key & ~UINT64_C(0xFFFFFFFFFFFF)) == ENDPOINT_OWNER_MARK) {
        snprintf(text, sizeof(text),
                 "it is reserved by another sync --reserve (key %016" PRIx64 "): wait until that "
                 "has ended; if it was killed, run it again there with --resume --reserve",
                 found->key);
        end_badly(command, -EBADE, text);
    } else {
        snprintf(text, sizeof(text),
                 "another initiator has reserved it (key %016" PRIx64 ", %s): wait until that is "
                 "over",
                 found->key, reservation_type_name(found->type));
        end_badly(command, -EBADE, text);
    }
}

/* old_key: what the session before has left. */
static void register_again(struct scsi_command *command, uint64_t old_key)
{
    command->endpoint->reservation.renew = false;
    command->endpoint->reservation.old_key = old_key;
    register_key(command);
}

static void look_done(struct scsi_command *command, const struct outcome *outcome)
{
    const struct endpoint_request *user = command->user;
    struct scsi_reservation *own = &command->endpoint->reservation;
    struct reservation found;

    if (outcome->verdict != VERDICT_GOOD)
        end_with(command, outcome);
    else if (reservation_decode(command->reply, command->request.transferred, &found) < 0)
        end_badly(command, -EIO, "what it says of its reservation cannot be understood");
    else if (user && !found.held)
        register_key(command);
    else if (!found.held || !is_own(own, found.key) || (user && !user->reservation->take_over))
        tell_holder(command, &found);
    else if (user)
        register_key(command);
    else if (own->renew)
        register_again(command, found.key);
    else if (found.key != own->key)
        tell_holder(command, &(struct reservation){0});
    else
        end_well(command);
}

/* The old registration of this session may be there still, with the reservation. */
static void old_gone(struct scsi_command *command, const struct outcome *outcome)
{
    if (outcome->verdict != VERDICT_GOOD && outcome->error != -EBADE)
        end_with(command, outcome);
    else
        send_in(command, RESERVATION_READ_KEYS, KEYS_REPLY_BYTES, keys_done);
}

static void register_done(struct scsi_command *command, const struct outcome *outcome)
{
    struct scsi_reservation *own = &command->endpoint->reservation;

    if (outcome->error == -EBADE) {
        end_badly(command, -EBADE,
                  "this machine has registered a key of its own there already, for something else "
                  "than this copy");
        return;
    }
    /* Also when the target says that something went wrong it may have kept the key. */
    if (outcome->verdict != VERDICT_UNSUPPORTED) {
        own->key = own->next_key;
        own->registered = true;
    }
    if (outcome->verdict != VERDICT_GOOD) {
        end_with(command, outcome);
        return;
    }
    if (!command->user)
        send_out(command, RESERVATION_PREEMPT, own->key, own->old_key, old_gone);
    else
        send_in(command, RESERVATION_READ_KEYS, KEYS_REPLY_BYTES, keys_done);
}

/* The keys that are left of an earlier run, or of an earlier session of this one, come to the
 * beginning of the reply. */
static void keys_done(struct scsi_command *command, const struct outcome *outcome)
{
    struct scsi_reservation *own = &command->endpoint->reservation;
    uint64_t keys[KEYS_MAX];
    size_t stale = 0;
    bool all;
    int count;

    if (outcome->verdict != VERDICT_GOOD) {
        end_with(command, outcome);
        return;
    }
    count =
        reservation_keys_decode(command->reply, command->request.transferred, keys, KEYS_MAX, &all);
    for (int i = 0; i < count; i++)
        if (is_own(own, keys[i]) && keys[i] != own->key)
            keys[stale++] = keys[i];
    if (count < 0) {
        end_badly(command, -EIO, "its list of registrations cannot be understood");
        return;
    }
    memcpy(command->reply, keys, stale * sizeof(keys[0]));
    own->stale_keys = !command->user || command->user->reservation->take_over ? stale : 0;
    preempt_next(command);
}

static void preempt_done(struct scsi_command *command, const struct outcome *outcome)
{
    if (outcome->verdict != VERDICT_GOOD && outcome->error != -EBADE)
        end_with(command, outcome);
    else
        preempt_next(command);
}

static void preempt_next(struct scsi_command *command)
{
    struct scsi_reservation *own = &command->endpoint->reservation;
    uint64_t victim;

    if (own->stale_keys == 0 && !command->user) {
        look(command);
        return;
    }
    if (own->stale_keys == 0) {
        send_out(command, RESERVATION_RESERVE, own->key, 0, reserve_done);
        return;
    }
    own->stale_keys--;
    memcpy(&victim, command->reply + own->stale_keys * sizeof(victim), sizeof(victim));
    log_info("%s: taking over from the key %016" PRIx64, command->endpoint->name, victim);
    send_out(command, RESERVATION_PREEMPT, own->key, victim, preempt_done);
}

static void reserve_done(struct scsi_command *command, const struct outcome *outcome)
{
    if (outcome->error == -EBADE)
        end_badly(command, -EBADE, "another initiator has just reserved it");
    else if (outcome->verdict != VERDICT_GOOD)
        end_with(command, outcome);
    else
        end_well(command);
}

int scsi_reservation_submit(struct scsi_endpoint *endpoint, struct endpoint_request *user)
{
    struct transport *transport = endpoint->transport;
    uint64_t owner = user->reservation->owner & ~NONCE_MASK;
    struct scsi_command *command;
    int r = transport->ops->adopt
                ? transport->ops->adopt(transport, (uint32_t)(owner >> NONCE_BITS))
                : 0;

    if (r < 0) {
        scsi_endpoint_fail(endpoint, r, "its target does not let this initiator in again");
        user->error = endpoint->failure;
        return r;
    }
    command = scsi_command_new(endpoint, user);
    if (!command || !scsi_command_reply(command, RESERVATION_REPLY_BYTES)) {
        if (command)
            scsi_command_free(command);
        return errmsg_set(&user->error, -ENOMEM, "%s: out of memory", endpoint->name);
    }
    endpoint->reservation = (struct scsi_reservation){.owner = owner};
    /* The session was logged out of, so what it had to tell was told; that of the new one (POWER ON
     * of tgt's) is about the login. */
    endpoint->new_session = transport->ops->adopt;
    scsi_command_data(command, TRANSPORT_DATA_IN, command->reply, RESERVATION_REPLY_BYTES);
    command->request.cdb_length =
        cdb_reserve_in(command->request.cdb, RESERVATION_READ, RESERVATION_REPLY_BYTES);
    command->step = look_done;
    return scsi_command_begin(command);
}

bool scsi_reservation_recheck(struct scsi_command *command)
{
    if (!command->endpoint->reservation.held)
        return false;
    look(command);
    return true;
}

static bool run_out(struct scsi_endpoint *endpoint, enum reservation_action action)
{
    const struct scsi_reservation *own = &endpoint->reservation;
    uint8_t list[RESERVATION_LIST_BYTES];
    struct iovec iov = {list, sizeof(list)};
    enum verdict verdict = VERDICT_ATTENTION;

    reservation_list_encode(list, own->key, 0);
    for (int i = 0; i < RELEASE_ATTEMPTS && verdict == VERDICT_ATTENTION; i++) {
        struct transport_request request = {.direction = TRANSPORT_DATA_OUT,
                                            .iov = &iov,
                                            .iov_count = 1,
                                            .timeout_ms = RELEASE_TIMEOUT_MS};

        request.cdb_length = cdb_reserve_out(request.cdb, action, TYPE);
        transport_run(endpoint->transport, &request);
        verdict = scsi_outcome(&request).verdict;
    }
    return verdict == VERDICT_GOOD;
}

void scsi_reservation_release(struct scsi_endpoint *endpoint, bool reachable)
{
    struct scsi_reservation *own = &endpoint->reservation;
    bool released = reachable, was_held = own->held;

    if (!own->registered)
        return;
    endpoint->transport->reconnect_ms = 0; /* a connection that is lost now stays lost */
    if (released)
        released = run_out(endpoint, RESERVATION_RELEASE);
    if (reachable)
        released = run_out(endpoint, RESERVATION_REGISTER) && released;
    own->registered = own->held = false;
    if (!released && was_held)
        log_warning("%s: its reservation could not be given back; sync --resume --reserve takes it "
                    "over",
                    endpoint->name);
}
