/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth.h"
#include "checked.h"
#include "device.h"
#include "endpoint_kinds.h"
#include "endpoint_opening.h"
#include "endpoint_sessions.h"
#include "holes.h"
#include "log.h"
#include "monotonic.h"
#include "patience.h"
#include "target_url.h"
#include "transport.h"

#define LOCAL_PREFIX        "thin:"
#define RAW_FILE_BLOCK_SIZE 512
/* Between attempts to open; each is twice as long as the one before. */
#define FIRST_PAUSE_MS   100
#define LONGEST_PAUSE_MS 1000U

static int open_iscsi(const char *name, unsigned flags, const struct auth_table *auth,
                      struct endpoint **ret, struct errmsg *err)
{
    const struct iscsi_credentials *credentials;
    const char *file = auth_table_file(auth);
    struct transport *transport;
    struct target_url url;
    int r = target_url_parse(name, &url, err);

    if (r < 0)
        return r;
    credentials = auth_table_find(auth, url.target, url.user[0] ? url.user : NULL);
    if (url.user[0] && !credentials && file)
        return errmsg_set(err, -EACCES, "%s: %s has no line for this target and the user %s", name,
                          file, url.user);
    if (url.user[0] && !credentials)
        return errmsg_set(err, -EACCES,
                          "%s: no secret is known for the user %s: give it in a file (--auth-file) "
                          "or in THINMIRROR_CHAP_USER and THINMIRROR_CHAP_SECRET",
                          name, url.user);
    r = transport_iscsi_open(name, credentials, &transport, err);
    if (r == -ENOKEY && file)
        return errmsg_set(err, r, "%s: the target wants CHAP, and %s has no line for %s", name,
                          file, url.target);
    return r < 0 ? r : endpoint_scsi_open(name, "iscsi", transport, flags, ret, err);
}

static int open_sg(const char *name, unsigned flags, struct endpoint **ret, struct errmsg *err)
{
    struct transport *transport;
    int r = transport_sg_open(name, flags & ENDPOINT_WRITABLE, &transport, err);

    return r < 0 ? r : endpoint_scsi_open(name, "sg", transport, flags, ret, err);
}

static int open_local(const char *name, unsigned flags, struct endpoint **ret, struct errmsg *err)
{
    const char *path = name + strlen(LOCAL_PREFIX);
    struct transport *transport;
    struct statfs system;
    int r = transport_local_open(path, flags & ENDPOINT_WRITABLE, &transport, err);

    if (r == 0)
        r = endpoint_scsi_open(name, "thin", transport, flags, ret, err);
    if (r == 0)
        (*ret)->info.unmapped_is_certain = statfs(path, &system) == 0 && holes_are_certain(&system);
    return r;
}

int endpoint_open(const char *name, unsigned flags, const struct auth_table *auth,
                  struct endpoint **ret, struct errmsg *err)
{
    if (target_url_is(name))
        return open_iscsi(name, flags, auth, ret, err);
    if (strncmp(name, LOCAL_PREFIX, strlen(LOCAL_PREFIX)) == 0)
        return open_local(name, flags, ret, err);
    switch (device_kind_of(name)) {
    case DEVICE_SCSI_DISK:
    case DEVICE_SCSI_GENERIC:
        return open_sg(name, flags, ret, err);
    case DEVICE_OTHER:
        return errmsg_set(err, -EINVAL, "%s: neither a disk nor a file", name);
    case DEVICE_NONE:
    case DEVICE_BLOCK:
        break;
    }
    if (access(name, F_OK) < 0 && errno == ENOENT && target_url_advice(name))
        return errmsg_set(err, -EINVAL, "%s: %s", name, target_url_advice(name));
    return endpoint_file_open(name, flags, ret, err);
}

static int open_sessions(const char *name, unsigned flags, const struct auth_table *auth,
                         unsigned sessions, struct endpoint **ret, struct errmsg *err)
{
    unsigned single = flags & ~(unsigned)ENDPOINT_PATIENT; /* that is for all of them at once */
    struct endpoint_opening openings[ENDPOINT_SESSIONS_MAX] = {0};
    struct endpoint *opened[ENDPOINT_SESSIONS_MAX];
    int r = 0;

    if (sessions == 0 || sessions > ENDPOINT_SESSIONS_MAX)
        return errmsg_set(err, -EINVAL, "%s: 1 to %d sessions", name, ENDPOINT_SESSIONS_MAX);
    if (sessions == 1 || !target_url_is(name))
        return endpoint_open(name, flags, auth, ret, err);
    for (unsigned i = 0; i < sessions; i++)
        openings[i] =
            (struct endpoint_opening){.name = name, .flags = single, .auth = auth, .sessions = 1};
    endpoint_open_together(openings, sessions);
    for (unsigned i = 0; i < sessions; i++) {
        opened[i] = openings[i].endpoint;
        if (openings[i].result < 0 && r == 0) {
            r = openings[i].result;
            *err = openings[i].error;
        }
    }
    if (r == 0)
        return endpoint_sessions_join(opened, sessions, ret, err);
    for (unsigned i = 0; i < sessions; i++)
        endpoint_close(opened[i]);
    return r;
}

/* Whether a target that is being restarted ends an opening so. Its portal answers before its
 * targets and LUNs are back: once it was seen to be away, that it knows none may pass, too. */
static bool may_pass(int r, bool was_away)
{
    if (r == -ENODEV)
        return was_away;
    return r == -ECONNREFUSED || r == -ECONNRESET || r == -EPIPE || r == -ENOTCONN || r == -EAGAIN;
}

int endpoint_open_sessions(const char *name, unsigned flags, const struct auth_table *auth,
                           unsigned sessions, struct endpoint **ret, struct errmsg *err)
{
    unsigned patience_ms = flags & ENDPOINT_PATIENT ? patience_open_ms() : 0;
    uint64_t end = monotonic_ms() + patience_ms;
    bool was_away = false;

    for (uint64_t pause_ms = FIRST_PAUSE_MS;; pause_ms = min_u64(2 * pause_ms, LONGEST_PAUSE_MS)) {
        int r = open_sessions(name, flags, auth, sessions, ret, err);

        if (r == 0 || !may_pass(r, was_away) || monotonic_ms() + pause_ms > end)
            return r;
        if (!was_away)
            log_warning("%s; trying again for %u s", err->text, patience_ms / 1000);
        was_away = true;
        poll(NULL, 0, (int)pause_ms);
    }
}

void endpoint_close(struct endpoint *endpoint)
{
    if (endpoint)
        endpoint->ops->close(endpoint);
}

static int set_block_size(struct endpoint *endpoint, uint32_t block_size, struct errmsg *err)
{
    if (endpoint->info.block_size == block_size)
        return 0;
    if (endpoint->ops->set_block_size(endpoint, block_size) == 0)
        return 0;
    return errmsg_set(err, -EINVAL, "%s: its size is no multiple of the other side's %u-byte block",
                      endpoint->info.name, block_size);
}

int endpoint_match_block_size(struct endpoint *a, struct endpoint *b, struct errmsg *err)
{
    int r;

    if (a->info.any_block_size && b->info.any_block_size) {
        r = set_block_size(a, RAW_FILE_BLOCK_SIZE, err);
        return r < 0 ? r : set_block_size(b, RAW_FILE_BLOCK_SIZE, err);
    }
    if (a->info.any_block_size)
        return set_block_size(a, b->info.block_size, err);
    if (b->info.any_block_size)
        return set_block_size(b, a->info.block_size, err);
    if (a->info.block_size == b->info.block_size)
        return 0;
    return errmsg_set(err, -EINVAL, "%s has blocks of %u bytes, %s of %u: they must be the same",
                      a->info.name, a->info.block_size, b->info.name, b->info.block_size);
}

static int check_data(const struct endpoint *endpoint, const struct endpoint_request *request)
{
    uint64_t bytes = 0;

    if (request->blocks > endpoint->info.max_transfer_blocks)
        return -EINVAL;
    for (int i = 0; i < request->iov_count; i++)
        bytes += request->iov[i].iov_len;
    return bytes == request->blocks * endpoint->info.block_size ? 0 : -EINVAL;
}

static int check_request(const struct endpoint *endpoint, const struct endpoint_request *request)
{
    const struct endpoint_info *info = &endpoint->info;

    if (request->op == ENDPOINT_FLUSH)
        return 0;
    if (request->op == ENDPOINT_RESERVE)
        return request->reservation && info->can_reserve ? 0 : -EINVAL;
    if (request->blocks == 0)
        return -EINVAL;
    if (!range_within(request->lba, request->blocks, info->blocks))
        return -ERANGE;
    if ((request->op == ENDPOINT_WRITE || request->op == ENDPOINT_ZERO) && !info->writable)
        return -EROFS;
    if (request->op == ENDPOINT_READ || request->op == ENDPOINT_WRITE)
        return check_data(endpoint, request);
    if (request->op == ENDPOINT_ZERO && request->blocks > info->max_zero_blocks)
        return -EINVAL;
    return 0;
}

int endpoint_submit(struct endpoint *endpoint, struct endpoint_request *request)
{
    int r = check_request(endpoint, request);

    if (r < 0)
        return errmsg_set(&request->error, r, "%s: a request that cannot be served: %s",
                          endpoint->info.name, strerror(-r));
    request->result = 0;
    request->deallocated = false;
    request->unreadable = false;
    request->unsound = false;
    request->error_lba = request->lba;
    request->error.text[0] = '\0';
    return endpoint->ops->submit(endpoint, request);
}

/* The sooner of two timeouts, of which -1 is never. */
static int sooner(int a, int b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a < b ? a : b;
}

int endpoint_wait(struct endpoint *const endpoints[], size_t count, int timeout_ms)
{
    struct pollfd fds[ENDPOINT_WAIT_MAX];
    int result = 0;

    if (count > ENDPOINT_WAIT_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        fds[i] = (struct pollfd){.fd = -1};
        timeout_ms = sooner(timeout_ms, endpoints[i]->ops->poll(endpoints[i], &fds[i]));
    }
    if (poll(fds, count, timeout_ms) < 0)
        return -errno;
    for (size_t i = 0; i < count; i++) {
        int r = endpoints[i]->ops->service(endpoints[i], fds[i].revents);

        if (r < 0 && result == 0)
            result = r;
    }
    return result;
}

static void set_flag(struct endpoint_request *request)
{
    *(bool *)request->opaque = true;
}

int endpoint_run(struct endpoint *endpoint, struct endpoint_request *request)
{
    bool done = false;
    int r;

    request->done = set_flag;
    request->opaque = &done;
    r = endpoint_submit(endpoint, request);
    if (r < 0) {
        request->result = r;
        return r;
    }
    while (!done)
        endpoint_wait(&endpoint, 1, -1);
    return request->result;
}

int endpoint_reserve(struct endpoint *endpoint, uint64_t owner, bool take_over, struct errmsg *err)
{
    const struct endpoint_reservation reservation = {.owner = owner, .take_over = take_over};
    struct endpoint_request request = {.op = ENDPOINT_RESERVE, .reservation = &reservation};

    if (!endpoint->info.can_reserve)
        return errmsg_set(err, -EOPNOTSUPP,
                          "%s: it cannot be reserved (--reserve): it is no logical unit of a SCSI "
                          "target",
                          endpoint->info.name);
    if (endpoint_run(endpoint, &request) < 0)
        *err = request.error;
    return request.result;
}

int endpoint_forget(struct endpoint *endpoint, struct errmsg *err)
{
    int r = endpoint->ops->forget ? endpoint->ops->forget(endpoint) : 0;

    return r < 0 ? errmsg_set(err, r, "%s cannot be written out to be read back: %s",
                              endpoint->info.name, strerror(-r))
                 : 0;
}

uint64_t endpoint_fd_last_change(int fd)
{
    struct stat st;

    /* That of a block device's node says nothing. */
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_mtim.tv_sec < 0)
        return 0;
    return (uint64_t)st.st_mtim.tv_sec * UINT64_C(1000000000) + (uint64_t)st.st_mtim.tv_nsec;
}

uint64_t endpoint_last_change(struct endpoint *endpoint)
{
    return endpoint->ops->last_change ? endpoint->ops->last_change(endpoint) : 0;
}

void endpoint_stop_by(struct endpoint *endpoint, const atomic_bool *stop)
{
    if (endpoint->ops->stop_by)
        endpoint->ops->stop_by(endpoint, stop);
}

int endpoint_ask_bitmap(struct endpoint *endpoint, struct errmsg *err)
{
    if (!endpoint->info.can_bitmap)
        return errmsg_set(err, -EOPNOTSUPP, "%s announces no allocation bitmap (VPD page C0h)",
                          endpoint->info.name);
    endpoint->info.by_bitmap = true;
    return 0;
}
