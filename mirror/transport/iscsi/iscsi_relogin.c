/* SPDX-License-Identifier: Apache-2.0 */
#include "iscsi_relogin.h"

#include <errno.h>
#include <string.h>

#include "checked.h"
#include "log.h"
#include "monotonic.h"

#define FIRST_WAIT_MS   100 /* then twice as long each time */
#define LONGEST_WAIT_MS 2000
#define LOOK_MS         200

static void wait_longer(struct iscsi_relogin *relogin)
{
    relogin->wait_ms = relogin->wait_ms == 0
                           ? FIRST_WAIT_MS
                           : (unsigned)min_u64(2 * relogin->wait_ms, LONGEST_WAIT_MS);
    relogin->next_ms = monotonic_ms() + relogin->wait_ms;
}

void relogin_now(struct iscsi_relogin *relogin)
{
    relogin->wait_ms = 0;
    relogin->next_ms = 0;
}

void relogin_soon(struct iscsi_relogin *relogin)
{
    relogin->wait_ms = 0;
    wait_longer(relogin);
}

bool relogin_is_due(const struct iscsi_relogin *relogin)
{
    return !relogin->login && monotonic_ms() >= relogin->next_ms;
}

int relogin_poll(const struct iscsi_relogin *relogin, struct pollfd *ret)
{
    uint64_t now = monotonic_ms();

    *ret = (struct pollfd){.fd = -1};
    if (relogin->login) {
        *ret = (struct pollfd){.fd = iscsi_login_event(relogin->login), .events = POLLIN};
        return LOOK_MS;
    }
    return relogin->next_ms <= now ? 0 : (int)min_u64(relogin->next_ms - now, LOOK_MS);
}

static int failed(struct iscsi_relogin *relogin, int error, const struct errmsg *err)
{
    if (error != -EINTR && strcmp(err->text, relogin->told.text) != 0) {
        log_warning("%s", err->text);
        relogin->told = *err;
    }
    wait_longer(relogin);
    return error;
}

static int begin(struct iscsi_relogin *relogin)
{
    struct errmsg err;
    int r = iscsi_login_begin(relogin->shown, &relogin->url, relogin->credentials, relogin->number,
                              &relogin->login);

    if (r == 0)
        return -EINPROGRESS;
    errmsg_set(&err, r, "%s: cannot log in: %s", relogin->shown, strerror(-r));
    return failed(relogin, r, &err);
}

int relogin_serve(struct iscsi_relogin *relogin, struct iscsi_session *ret)
{
    struct errmsg err;
    int r;

    if (relogin_is_due(relogin))
        return begin(relogin);
    if (!relogin->login || !iscsi_login_has_ended(relogin->login))
        return -EINPROGRESS;
    r = iscsi_login_take(relogin->login, ret, &err);
    relogin->login = NULL;
    if (r < 0)
        return failed(relogin, r, &err);
    relogin->told.text[0] = '\0';
    return 0;
}

int relogin_run(struct iscsi_relogin *relogin, const atomic_bool *stop, struct iscsi_session *ret)
{
    int r;

    relogin_now(relogin);
    while ((r = relogin_serve(relogin, ret)) == -EINPROGRESS) {
        struct pollfd event;
        int timeout_ms = relogin_poll(relogin, &event);

        if (stop && *stop) {
            relogin_stop(relogin);
            return -EINTR;
        }
        poll(&event, 1, timeout_ms);
    }
    return r;
}

void relogin_stop(struct iscsi_relogin *relogin)
{
    if (relogin->login)
        iscsi_login_stop(relogin->login);
}

void relogin_cancel(struct iscsi_relogin *relogin)
{
    iscsi_login_cancel(relogin->login);
    relogin->login = NULL;
}
