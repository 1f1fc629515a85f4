/* SPDX-License-Identifier: Apache-2.0 */
#include "iscsi_session.h"

#include <ctype.h>
#include <errno.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth.h"
#include "checked.h"
#include "cleanup.h"
#include "iscsi_proof.h"
#include "monotonic.h"

#define INITIATOR_FILE     "/etc/iscsi/initiatorname.iscsi"
#define INITIATOR_PREFIX   "iqn.2026-11.org.thinmirror:"
#define CONNECT_TIMEOUT_MS 10000
#define LOGIN_TIMEOUT_MS   15000
#define LOGOUT_TIMEOUT_MS  2000
#define MAX_REDIRECTS      4
#define PORTAL_BYTES       256

/* Who logs in, and as what. */
struct login {
    const struct target_url *url;
    const struct iscsi_credentials *credentials;
    unsigned number;
    const atomic_bool *stop; /* NULL: it never ends early */
};

/* One attempt: a context, and what has come of the step that is waited for. */
struct attempt {
    const char *shown;
    const atomic_bool *stop;
    struct iscsi_context *context;
    struct iscsi_bursts bursts;
    struct iscsi_proof proof;
    bool done;
    int status;
    unsigned lun;
    int lun_field;
};

/* Guards the memory, one for all contexts, in which libiscsi puts together what it tells in a login
 * (iscsi_bursts.h). Nothing blocks while it is held. */
static pthread_mutex_t words_lock = PTHREAD_MUTEX_INITIALIZER;

static void step_done(struct iscsi_context *context, int status, void *data, void *private_data)
{
    struct attempt *attempt = private_data;

    (void)context;
    (void)data;
    attempt->done = true;
    attempt->status = status;
}

/* Of LUNs above 255 the standard has flat space addressing (SAM-5 4.7.7.3). Linux, as a target and
 * as an initiator, has the plain number instead. */
#define SIMPLE_LUNS 256
#define FLAT_SPACE  0x4000

static void luns_reported(struct iscsi_context *context, int status, void *data, void *private_data)
{
    struct attempt *attempt = private_data;
    struct scsi_task *task = data;
    const struct scsi_reportluns_list *list =
        status == SCSI_STATUS_GOOD ? scsi_datain_unmarshall(task) : NULL;
    bool flat = false, plain = false;

    (void)context;
    for (uint32_t i = 0; list && i < list->num; i++) {
        flat |= list->luns[i] == (attempt->lun | FLAT_SPACE);
        plain |= list->luns[i] == attempt->lun;
    }
    if (plain && !flat)
        attempt->lun_field = (int)attempt->lun;
    if (task && status != SCSI_STATUS_CANCELLED)
        scsi_free_scsi_task(task);
    attempt->done = true;
}

static bool initiator_from_file(char *to, size_t size)
{
    static const char key[] = "InitiatorName=";
    CLEANUP_FCLOSE FILE *file = fopen(INITIATOR_FILE, "re");
    char line[512];

    while (file && fgets(line, sizeof(line), file)) {
        const char *name = line + strlen(key);
        size_t length;

        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        length = strcspn(name, " \t\r\n");
        if (length == 0 || length >= ISCSI_NAME_BYTES)
            continue;
        snprintf(to, size, "%.*s", (int)length, name);
        return true;
    }
    return false;
}

void session_initiator_name(char *to, size_t size)
{
    const char *given = getenv("THINMIRROR_INITIATOR");
    char host[65] = "localhost";

    if (given && given[0]) {
        snprintf(to, size, "%s", given);
        return;
    }
    if (initiator_from_file(to, size))
        return;
    gethostname(host, sizeof(host) - 1);
    for (char *c = host; *c; c++)
        *c = isalnum((unsigned char)*c) ? (char)tolower((unsigned char)*c) : '-';
    snprintf(to, size, INITIATOR_PREFIX "%s", host);
}

/* Sessions of one initiator name are told apart by their ISID; the target ends the older one of two
 * that share it. So each has its own: random by process, counted within. */
static void set_isid(struct iscsi_context *context, unsigned number)
{
    static _Atomic uint32_t process_part;
    uint32_t part = atomic_load(&process_part), random = 0;

    if (number & SESSION_FIXED) {
        iscsi_set_isid_random(context, number & SESSION_FIXED_MASK, SESSION_FIXED_QUALIFIER);
        return;
    }
    if (part == 0) {
        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
            random = (uint32_t)getpid();
        random |= 1;
        if (atomic_compare_exchange_strong(&process_part, &part, random))
            part = random;
    }
    iscsi_set_isid_random(context, part & 0xFFFFFF, number & 0xFFFF);
}

unsigned session_new_number(void)
{
    static _Atomic unsigned next;

    return atomic_fetch_add(&next, 1);
}

static struct iscsi_context *new_context(const struct login *login)
{
    const struct iscsi_credentials *credentials = login->credentials;
    char initiator[ISCSI_NAME_BYTES];
    struct iscsi_context *context;

    session_initiator_name(initiator, sizeof(initiator));
    context = iscsi_create_context(initiator);
    if (!context)
        return NULL;
    iscsi_set_noautoreconnect(context, 1);
    set_isid(context, login->number);
    iscsi_set_targetname(context, login->url->target);
    iscsi_set_session_type(context, ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(context, ISCSI_HEADER_DIGEST_NONE_CRC32C);
    if (credentials) {
        iscsi_set_initiator_username_pwd(context, credentials->user, credentials->secret);
        if (credentials->target_user)
            iscsi_set_target_username_pwd(context, credentials->target_user,
                                          credentials->target_secret);
    }
    return context;
}

/* The error of a connection attempt, asked for before libiscsi does, as asking clears it. */
static int socket_error(int fd)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return -errno;
    return -error;
}

static int serve(struct attempt *attempt, int revents)
{
    SCOPED_LOCK(&words_lock);
    return iscsi_service(attempt->context, revents);
}

/* Serves the context until the step is done. -ETIMEDOUT, -EINTR, or the socket's error. */
static int wait_for_step(struct attempt *attempt, unsigned timeout_ms)
{
    uint64_t end = monotonic_ms() + timeout_ms,
             longest = attempt->stop ? SESSION_STOP_LOOK_MS : timeout_ms;

    while (!attempt->done) {
        uint64_t now = monotonic_ms();
        struct pollfd fd = {.fd = iscsi_get_fd(attempt->context),
                            .events = (short)iscsi_which_events(attempt->context)};
        int r;

        if (now >= end)
            return -ETIMEDOUT;
        if (attempt->stop && atomic_load(attempt->stop))
            return -EINTR;
        if (poll(&fd, 1, (int)min_u64(end - now, longest)) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (fd.revents & (POLLERR | POLLHUP)) {
            r = socket_error(fd.fd);
            return r < 0 ? r : -ECONNRESET;
        }
        if (serve(attempt, fd.revents) < 0)
            return attempt->done ? 0 : -ECONNRESET;
    }
    return 0;
}

static int connect_portal(struct attempt *attempt, const char *portal, struct errmsg *err)
{
    int r;

    attempt->done = false;
    if (iscsi_connect_async(attempt->context, portal, step_done, attempt) != 0)
        return errmsg_set(err, -EHOSTUNREACH, "%s: %s", attempt->shown,
                          iscsi_get_error(attempt->context));
    r = wait_for_step(attempt, CONNECT_TIMEOUT_MS);
    if (r == 0 && attempt->status != 0)
        r = -ECONNREFUSED;
    if (r == -ECONNREFUSED)
        return errmsg_set(err, r, "%s: nothing listens at %s (connection refused)", attempt->shown,
                          portal);
    if (r == -ETIMEDOUT)
        return errmsg_set(err, r, "%s: %s does not answer", attempt->shown, portal);
    return r < 0 ? errmsg_set(err, r, "%s: connecting to %s: %s", attempt->shown, portal,
                              strerror(-r))
                 : 0;
}

/* A target without mutual CHAP refuses the login that asks for it like one with a wrong secret. */
static int explain_chap(const struct attempt *attempt, const struct iscsi_credentials *credentials,
                        struct errmsg *err)
{
    if (!credentials)
        return errmsg_set(err, -ENOKEY,
                          "%s: the target wants CHAP: give user and secret in a file (--auth-file) "
                          "or in THINMIRROR_CHAP_USER and THINMIRROR_CHAP_SECRET",
                          attempt->shown);
    return errmsg_set(err, -EACCES, "%s: the target refuses this user or CHAP secret%s",
                      attempt->shown,
                      credentials->target_secret
                          ? ", or has no mutual CHAP, which a secret of the target's was given for"
                          : "");
}

static int data_digest_wanted(const struct attempt *attempt, struct errmsg *err)
{
    return errmsg_set(err, -ENOTSUP,
                      "%s: the target insists on data digests (DataDigest=CRC32C), which libiscsi "
                      "does not have: it must allow None",
                      attempt->shown);
}

static int unproved(const struct attempt *attempt, struct errmsg *err)
{
    return errmsg_set(err, -EACCES,
                      "%s: the target could not prove who it is (mutual CHAP): its secret is "
                      "another one, or this is another target",
                      attempt->shown);
}

/* Whether a login that the target calls good is as good as the credentials ask for. */
static int check_proof(const struct attempt *attempt, const struct iscsi_credentials *credentials,
                       struct errmsg *err)
{
    if (!credentials)
        return 0;
    if (credentials->target_secret && !attempt->proof.proved)
        return unproved(attempt, err);
    if (!attempt->proof.challenged && !credentials->optional)
        return errmsg_set(err, -EKEYREJECTED,
                          "%s: the target lets us in without CHAP, although there is a secret for "
                          "it: this may be another target. If it is the right one, leave the "
                          "secret out or give --chap-optional",
                          attempt->shown);
    return 0;
}

/* So that no secret stays in memory that libiscsi frees: its setters fill with zeros what they do
 * not use, but only when there is something to set. */
static void forget_secrets(struct iscsi_context *context)
{
    iscsi_set_initiator_username_pwd(context, "-", "-");
    iscsi_set_target_username_pwd(context, "-", "-");
    iscsi_set_initiator_username_pwd(context, NULL, NULL);
    iscsi_set_target_username_pwd(context, NULL, NULL);
}

/* libiscsi tells the login status (RFC 7143 11.13.5) in words only. */
static int explain_login(const struct attempt *attempt, const struct target_url *url,
                         const struct iscsi_credentials *credentials, struct errmsg *err)
{
    const char *why = iscsi_get_error(attempt->context);
    char initiator[ISCSI_NAME_BYTES];

    session_initiator_name(initiator, sizeof(initiator));
    if (strstr(why, "Target not found") || strstr(why, "Target removed"))
        return errmsg_set(err, -ENODEV,
                          "%s: this portal has no target named %s, or none for the initiator %s",
                          attempt->shown, url->target, initiator);
    /* Of a target that is not ready yet. The kernel's says it of a name it does not know, too. */
    if (strstr(why, "Service unavailable"))
        return errmsg_set(err, -EAGAIN,
                          "%s: this portal does not serve the target %s: no target has that name, "
                          "or it is not enabled",
                          attempt->shown, url->target);
    if (attempt->bursts.data_digest)
        return data_digest_wanted(attempt, err);
    if (strstr(why, "Initiator error"))
        return errmsg_set(
            err, -ENOTSUP,
            "%s: the target refuses what is offered to it, as one does that insists "
            "on data digests (DataDigest=CRC32C): libiscsi has none, so it must allow "
            "None",
            attempt->shown);
    if (strstr(why, "from the target"))
        return unproved(attempt, err);
    if (strstr(why, "Authentication") || strstr(why, "AuthMethod") || strstr(why, "CHAP"))
        return explain_chap(attempt, credentials, err);
    if (strstr(why, "Authorization"))
        return errmsg_set(err, -EACCES,
                          "%s: the target does not let the initiator %s in (access list); "
                          "THINMIRROR_INITIATOR sets another name",
                          attempt->shown, initiator);
    return errmsg_set(err, -ECONNABORTED, "%s: login failed: %s", attempt->shown, why);
}

static int begin_login(struct attempt *attempt)
{
    SCOPED_LOCK(&words_lock);
    iscsi_bursts_listen(&attempt->bursts, &attempt->proof, attempt->context);
    attempt->done = false;
    return iscsi_login_async(attempt->context, step_done, attempt);
}

static void end_login(struct attempt *attempt)
{
    SCOPED_LOCK(&words_lock);
    iscsi_bursts_unlisten(attempt->context);
}

/* The target's word is in attempt->status then. */
static int log_in(struct attempt *attempt, const char *portal, struct errmsg *err)
{
    int r;

    if (begin_login(attempt) != 0)
        return errmsg_set(err, -EIO, "%s: login: %s", attempt->shown,
                          iscsi_get_error(attempt->context));
    r = wait_for_step(attempt, LOGIN_TIMEOUT_MS);
    if (r == -ETIMEDOUT)
        return errmsg_set(err, r, "%s: %s takes the connection but does not answer the login",
                          attempt->shown, portal);
    return r < 0 ? errmsg_set(err, r, "%s: %s ended the connection during login", attempt->shown,
                              portal)
                 : 0;
}

/* By which address the target has the LUN. */
static int find_lun(struct attempt *attempt, unsigned lun, struct errmsg *err)
{
    int r = 0;

    attempt->lun = lun;
    attempt->lun_field = lun < SIMPLE_LUNS ? (int)lun : (int)(lun | FLAT_SPACE);
    if (lun < SIMPLE_LUNS)
        return 0;
    attempt->done = false;
    if (!iscsi_reportluns_task(attempt->context, 0, 16 + 8 * (ISCSI_LUN_MAX + 1), luns_reported,
                               attempt))
        return errmsg_set(err, -ENOMEM, "%s: out of memory", attempt->shown);
    r = wait_for_step(attempt, LOGIN_TIMEOUT_MS);
    return r < 0 ? errmsg_set(err, r, "%s: the target does not list its LUNs: %s", attempt->shown,
                              strerror(-r))
                 : 0;
}

/* Connects and logs in at one portal. 1: the target points to another one, copied to portal. */
static int try_portal(struct attempt *attempt, const struct login *login, char portal[PORTAL_BYTES],
                      struct errmsg *err)
{
    const char *redirect;
    int r;

    attempt->context = new_context(login);
    if (!attempt->context)
        return errmsg_set(err, -ENOMEM, "%s: out of memory", attempt->shown);
    r = connect_portal(attempt, portal, err);
    if (r < 0)
        return r;
    r = log_in(attempt, portal, err);
    end_login(attempt);
    forget_secrets(attempt->context);
    if (r < 0)
        return r;
    redirect = iscsi_get_target_address(attempt->context);
    if (attempt->status == SCSI_STATUS_REDIRECT && redirect && redirect[0]) {
        snprintf(portal, PORTAL_BYTES, "%s", redirect);
        return 1;
    }
    if (attempt->status)
        return explain_login(attempt, login->url, login->credentials, err);
    if (attempt->bursts.forbidden_segment)
        return errmsg_set(err, -EPROTO,
                          "%s: the target wants data in PDUs of a length that is not allowed "
                          "(MaxRecvDataSegmentLength, RFC 7143: 512 to 16777215 bytes)",
                          attempt->shown);
    if (attempt->bursts.data_digest)
        return data_digest_wanted(attempt, err);
    r = check_proof(attempt, login->credentials, err);
    return r < 0 ? r : find_lun(attempt, login->url->lun, err);
}

static int follow_portal(const char *shown, const struct login *login, char portal[PORTAL_BYTES],
                         struct iscsi_session *ret, struct errmsg *err)
{
    for (int i = 0; i <= MAX_REDIRECTS; i++) {
        struct attempt attempt = {.shown = shown, .stop = login->stop};
        int r = try_portal(&attempt, login, portal, err);

        if (r == 0) {
            *ret = (struct iscsi_session){attempt.context, attempt.bursts, attempt.lun_field};
            return 0;
        }
        if (attempt.context)
            iscsi_destroy_context(attempt.context);
        if (r < 0)
            return r;
    }
    return errmsg_set(err, -ELOOP, "%s: sent from portal to portal without end", shown);
}

/* Whether another portal may do better: only one that could not be reached leaves hope. */
static bool is_final(int r)
{
    return r == 0 || r == -EACCES || r == -ENOKEY || r == -EKEYREJECTED || r == -ENOTSUP ||
           r == -ENODEV || r == -EINTR;
}

/* Tries the addresses of one portal. */
static int login_at(const char *shown, const struct login *login, const struct target_portal *where,
                    struct iscsi_session *ret, struct errmsg *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int r = getaddrinfo(where->host, where->port, &hints, &list);

    if (r != 0)
        return errmsg_set(err, -EHOSTUNREACH, "%s: the host name %s is not known: %s", shown,
                          where->host, gai_strerror(r));
    r = -EHOSTUNREACH;
    for (const struct addrinfo *address = list; address; address = address->ai_next) {
        char host[NI_MAXHOST], portal[PORTAL_BYTES];
        bool six = address->ai_family == AF_INET6;

        if (getnameinfo(address->ai_addr, address->ai_addrlen, host, sizeof(host), NULL, 0,
                        NI_NUMERICHOST) != 0)
            continue;
        snprintf(portal, sizeof(portal), "%s%.200s%s:%s", six ? "[" : "", host, six ? "]" : "",
                 where->port);
        r = follow_portal(shown, login, portal, ret, err);
        if (is_final(r))
            break;
    }
    freeaddrinfo(list);
    return r;
}

int session_login(const char *shown, const struct target_url *url,
                  const struct iscsi_credentials *credentials, unsigned number,
                  const atomic_bool *stop, struct iscsi_session *ret, struct errmsg *err)
{
    const struct login login = {url, credentials, number, stop};
    int r = -EHOSTUNREACH;

    for (unsigned i = 0; i < url->portal_count; i++) {
        r = login_at(shown, &login, &url->portals[i], ret, err);
        if (is_final(r))
            break;
    }
    return r;
}

void session_logout(struct iscsi_context *context)
{
    struct attempt attempt = {.context = context};

    if (iscsi_logout_async(context, step_done, &attempt) == 0)
        wait_for_step(&attempt, LOGOUT_TIMEOUT_MS);
}
