/* SPDX-License-Identifier: Apache-2.0 */
#include "iscsi_login.h"

#include <errno.h>
#include <iscsi/iscsi.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth.h"
#include "cleanup.h"
#include "event.h"
#include "quiet_thread.h"

#define CANCEL_WAIT_MS 1000

/* Everything is the thread's from its start to its end, and the owner's after that, but for what is
 * said to be shared. */
struct iscsi_login {
    char *shown;
    struct target_url url;
    struct iscsi_credentials *credentials;
    unsigned number;

    int result;
    struct iscsi_session session;
    struct errmsg error;

    /* Shared. */
    atomic_bool stop; /* the owner sets it, the thread looks at it */
    int event;        /* the thread raises it, the owner waits for it */

    pthread_mutex_t lock; /* guards the two below, of which the second that is set frees it all */
    bool ended;           /* by the thread */
    bool abandoned;       /* by the owner, who does not touch it any more */

    pthread_t thread; /* the owner's */
};

static void free_login(struct iscsi_login *login)
{
    if (login->event >= 0)
        close(login->event);
    pthread_mutex_destroy(&login->lock);
    iscsi_credentials_free(login->credentials);
    free(login->shown);
    free(login);
}

/* With the session that is no longer wanted. */
static void drop_login(struct iscsi_login *login)
{
    if (login->result == 0)
        iscsi_destroy_context(login->session.context);
    free_login(login);
}

/* Whether it is no longer waited for. */
static bool end(struct iscsi_login *login)
{
    SCOPED_LOCK(&login->lock);
    login->ended = true;
    /* Within the lock: a waiter that has seen the end may free the event. */
    event_raise(login->event);
    return login->abandoned;
}

static void *run(void *opaque)
{
    struct iscsi_login *login = opaque;

    login->result = session_login(login->shown, &login->url, login->credentials, login->number,
                                  &login->stop, &login->session, &login->error);
    if (end(login))
        drop_login(login);
    return NULL;
}

static struct iscsi_login *new_login(const char *shown, const struct target_url *url,
                                     const struct iscsi_credentials *credentials, unsigned number)
{
    struct iscsi_login *login = calloc(1, sizeof(*login));

    if (!login)
        return NULL;
    login->url = *url;
    login->number = number;
    login->event = event_open();
    pthread_mutex_init(&login->lock, NULL);
    login->shown = strdup(shown);
    if (login->shown && iscsi_credentials_copy(credentials, &login->credentials) == 0)
        return login;
    free_login(login);
    return NULL;
}

int iscsi_login_begin(const char *shown, const struct target_url *url,
                      const struct iscsi_credentials *credentials, unsigned number,
                      struct iscsi_login **ret)
{
    struct iscsi_login *login = new_login(shown, url, credentials, number);
    int r;

    if (!login)
        return -ENOMEM;
    r = login->event < 0 ? login->event : quiet_thread_start(&login->thread, run, login);
    if (r < 0) {
        free_login(login);
        return r;
    }
    *ret = login;
    return 0;
}

int iscsi_login_event(const struct iscsi_login *login)
{
    return login->event;
}

bool iscsi_login_has_ended(struct iscsi_login *login)
{
    SCOPED_LOCK(&login->lock);
    return login->ended;
}

int iscsi_login_take(struct iscsi_login *login, struct iscsi_session *ret, struct errmsg *err)
{
    int r;

    pthread_join(login->thread, NULL);
    r = login->result;
    if (r == 0)
        *ret = login->session;
    else
        *err = login->error;
    free_login(login);
    return r;
}

void iscsi_login_stop(struct iscsi_login *login)
{
    atomic_store(&login->stop, true);
}

/* Whether it has not ended, and frees itself when it does. */
static bool abandon(struct iscsi_login *login)
{
    SCOPED_LOCK(&login->lock);
    if (login->ended)
        return false;
    pthread_detach(login->thread);
    login->abandoned = true;
    return true;
}

void iscsi_login_cancel(struct iscsi_login *login)
{
    struct pollfd event;

    if (!login)
        return;
    iscsi_login_stop(login);
    event = (struct pollfd){.fd = login->event, .events = POLLIN};
    while (poll(&event, 1, CANCEL_WAIT_MS) < 0 && errno == EINTR)
        continue;
    if (abandon(login))
        return;
    pthread_join(login->thread, NULL);
    drop_login(login);
}
