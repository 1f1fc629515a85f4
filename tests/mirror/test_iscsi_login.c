/* SPDX-License-Identifier: Apache-2.0 */

/* Getting a session back while no caller waits for it: what takes the connection and says nothing,
 * and a name that is looked up for ever. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <iscsi/iscsi.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth.h"
#include "endpoint.h"
#include "iscsi_login.h"
#include "iscsi_relogin.h"
#include "log.h"
#include "monotonic.h"
#include "quiet_thread.h"
#include "skip.h"
#include "tgtd.h"
#include "transport.h"

/* Longer than anything here takes that does not wait for the target, on a machine that is busy;
 * twice of it is less than a login waits for an answer. */
#define SOON_MS 4000

static pthread_mutex_t lookup_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the two below */
static pthread_cond_t lookup_changed = PTHREAD_COND_INITIALIZER;
static bool lookups_hang;
static unsigned hanging;

int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    pthread_mutex_lock(&lookup_lock);
    hanging++;
    pthread_cond_broadcast(&lookup_changed);
    while (lookups_hang)
        pthread_cond_wait(&lookup_changed, &lookup_lock);
    hanging--;
    pthread_cond_broadcast(&lookup_changed);
    pthread_mutex_unlock(&lookup_lock);
    return __real_getaddrinfo(node, service, hints, ret);
}

static void let_lookups_hang(bool hang)
{
    pthread_mutex_lock(&lookup_lock);
    lookups_hang = hang;
    pthread_cond_broadcast(&lookup_changed);
    pthread_mutex_unlock(&lookup_lock);
}

/* Until count lookups hang. */
static void wait_for_lookups(unsigned count)
{
    pthread_mutex_lock(&lookup_lock);
    while (hanging != count)
        pthread_cond_wait(&lookup_changed, &lookup_lock);
    pthread_mutex_unlock(&lookup_lock);
}

static bool threads_are_short;

int __real_quiet_thread_start(pthread_t *ret, void *(*run)(void *opaque), void *opaque);
int __wrap_quiet_thread_start(pthread_t *ret, void *(*run)(void *opaque), void *opaque);

int __wrap_quiet_thread_start(pthread_t *ret, void *(*run)(void *opaque), void *opaque)
{
    return threads_are_short ? -EAGAIN : __real_quiet_thread_start(ret, run, opaque);
}

static char logged[512];

static void note_message(enum log_level level, const char *message)
{
    (void)level;
    snprintf(logged, sizeof(logged), "%s", message);
}

/* A socket that takes connections at this port of the loopback, 0 for any, and says nothing. */
static int listen_silently(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/* An endpoint whose target went away under a READ, and what listens in its place. */
struct away {
    struct tgtd tgtd;
    struct endpoint *endpoint;
    atomic_bool stop;
    int listener;
    char data[512];
    struct iovec iov;
    struct endpoint_request read;
    int result;
    uint64_t slowest_ms; /* of all that was called */
};

static void note_result(struct endpoint_request *request)
{
    *(int *)request->opaque = request->result;
}

static void serve(struct away *away)
{
    uint64_t begin = monotonic_ms();

    endpoint_wait(&away->endpoint, 1, 50);
    if (monotonic_ms() - begin > away->slowest_ms)
        away->slowest_ms = monotonic_ms() - begin;
}

static struct away *go_away(void)
{
    struct away *away = calloc(1, sizeof(*away));
    struct errmsg err = {{0}};
    char url[256];

    assert_non_null(away);
    tgtd_start(&away->tgtd);
    tgtd_add_target(&away->tgtd, 1, "away", "1M", 512);
    if (endpoint_open(tgtd_url(&away->tgtd, "away", 1, url), ENDPOINT_WRITABLE, NULL,
                      &away->endpoint, &err) < 0)
        fail_msg("%s", err.text);
    endpoint_stop_by(away->endpoint, &away->stop);
    tgtd_stop(&away->tgtd);
    away->listener = listen_silently(away->tgtd.port);
    away->result = 1;
    away->iov = (struct iovec){away->data, sizeof(away->data)};
    away->read = (struct endpoint_request){.op = ENDPOINT_READ,
                                           .blocks = 1,
                                           .iov = &away->iov,
                                           .iov_count = 1,
                                           .done = note_result,
                                           .opaque = &away->result};
    assert_int_equal(endpoint_submit(away->endpoint, &away->read), 0);
    return away;
}

static void wait_for_login(struct away *away)
{
    struct pollfd fd = {.fd = away->listener, .events = POLLIN};

    for (int i = 0; i < 200 && poll(&fd, 1, 0) == 0; i++)
        serve(away);
    assert_int_equal(poll(&fd, 1, 0), 1);
}

static void come_to_an_end(struct away *away)
{
    uint64_t begin = monotonic_ms();

    endpoint_close(away->endpoint);
    assert_true(monotonic_ms() - begin < 2 * SOON_MS);
    assert_true(away->result < 0);
    close(away->listener);
    free(away);
}

static void no_call_waits_for_a_login_that_is_not_answered(void **state)
{
    struct away *away;

    (void)state;
    if (!tgtd_available())
        skip_because("there is no tgtd that may run here");
    away = go_away();
    wait_for_login(away);
    for (int i = 0; i < 20; i++)
        serve(away);
    assert_int_equal(away->result, 1);
    assert_true(away->slowest_ms < SOON_MS);
    come_to_an_end(away);
}

static void a_stop_ends_a_login_that_is_not_answered(void **state)
{
    struct away *away;
    uint64_t begin;

    (void)state;
    if (!tgtd_available())
        skip_because("there is no tgtd that may run here");
    away = go_away();
    wait_for_login(away);
    away->stop = true;
    begin = monotonic_ms();
    while (away->result == 1)
        serve(away);
    assert_true(monotonic_ms() - begin < SOON_MS);
    assert_int_equal(away->result, -ENOTCONN);
    come_to_an_end(away);
}

/* Its thread is left behind and ends by itself, with what is its own. */
static void a_name_that_is_looked_up_for_ever_holds_nothing_up(void **state)
{
    struct away *away;

    (void)state;
    if (!tgtd_available())
        skip_because("there is no tgtd that may run here");
    away = go_away();
    let_lookups_hang(true);
    for (int i = 0; i < 20; i++)
        serve(away);
    wait_for_lookups(1);
    assert_true(away->slowest_ms < SOON_MS);
    come_to_an_end(away);
    let_lookups_hang(false);
    wait_for_lookups(0);
}

static void begin_login(const char *text, const struct iscsi_credentials *credentials,
                        struct iscsi_login **ret)
{
    struct target_url url;
    struct errmsg err;

    assert_int_equal(target_url_parse(text, &url, &err), 0);
    assert_int_equal(iscsi_login_begin(text, &url, credentials, session_new_number(), ret), 0);
}

static void wait_for_end(struct iscsi_login *login)
{
    struct pollfd event = {.fd = iscsi_login_event(login), .events = POLLIN};

    assert_int_equal(poll(&event, 1, 10 * SOON_MS), 1);
    assert_true(iscsi_login_has_ended(login));
}

static void a_login_is_told_of_when_it_has_ended(void **state)
{
    const struct iscsi_credentials credentials = {.user = "alice",
                                                  .secret = "alice-secret-1",
                                                  .optional = true};
    struct iscsi_session session;
    struct iscsi_login *login;
    struct errmsg err;
    struct tgtd tgtd;
    char url[256];

    (void)state;
    if (!tgtd_available())
        skip_because("there is no tgtd that may run here");
    tgtd_start(&tgtd);
    tgtd_add_target(&tgtd, 1, "here", "1M", 512);
    begin_login(tgtd_url(&tgtd, "here", 1, url), &credentials, &login);
    wait_for_end(login);
    assert_int_equal(iscsi_login_take(login, &session, &err), 0);
    assert_true(iscsi_is_logged_in(session.context));
    session_logout(session.context);
    iscsi_destroy_context(session.context);
    /* It is not taken. */
    begin_login(url, NULL, &login);
    wait_for_end(login);
    iscsi_login_cancel(login);
    begin_login(tgtd_url(&tgtd, "nowhere", 1, url), NULL, &login);
    wait_for_end(login);
    assert_int_equal(iscsi_login_take(login, &session, &err), -ENODEV);
    assert_non_null(strstr(err.text, "nowhere"));
    tgtd_stop(&tgtd);
}

static void a_login_that_is_stopped_ends_soon(void **state)
{
    struct iscsi_session session;
    struct iscsi_login *login;
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    int listener = listen_silently(0);
    struct errmsg err;
    uint64_t begin;
    char url[256];

    (void)state;
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    snprintf(url, sizeof(url), "iscsi://127.0.0.1:%u/" TGTD_IQN "silent/1",
             ntohs(address.sin_port));
    begin_login(url, NULL, &login);
    poll(NULL, 0, 300);
    assert_false(iscsi_login_has_ended(login));
    begin = monotonic_ms();
    iscsi_login_stop(login);
    wait_for_end(login);
    assert_true(monotonic_ms() - begin < SOON_MS);
    assert_int_equal(iscsi_login_take(login, &session, &err), -EINTR);
    begin_login(url, NULL, &login);
    begin = monotonic_ms();
    iscsi_login_cancel(login);
    assert_true(monotonic_ms() - begin < SOON_MS);
    iscsi_login_cancel(NULL);
    close(listener);
}

/* Of a target that takes connections at this socket and says nothing. */
static void relogin_to(int listener, struct iscsi_relogin *ret)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    struct errmsg err;
    char url[256];

    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    snprintf(url, sizeof(url), "iscsi://127.0.0.1:%u/" TGTD_IQN "silent/1",
             ntohs(address.sin_port));
    *ret = (struct iscsi_relogin){.shown = "a disk, 100%s", .number = session_new_number()};
    assert_int_equal(target_url_parse(url, &ret->url, &err), 0);
}

static void a_relogin_that_is_waited_for_can_be_stopped(void **state)
{
    atomic_bool stop = true;
    struct iscsi_session session;
    struct iscsi_relogin relogin;
    int listener = listen_silently(0);

    (void)state;
    relogin_to(listener, &relogin);
    assert_int_equal(relogin_run(&relogin, &stop, &session), -EINTR);
    assert_non_null(relogin.login);
    relogin_cancel(&relogin);
    assert_null(relogin.login);
    close(listener);
}

static void a_relogin_that_cannot_begin_is_told_once_and_tried_again(void **state)
{
    struct iscsi_session session;
    struct iscsi_relogin relogin;
    int listener = listen_silently(0);

    (void)state;
    relogin_to(listener, &relogin);
    log_set_sink(note_message);
    threads_are_short = true;
    assert_int_equal(relogin_run(&relogin, NULL, &session), -EAGAIN);
    assert_string_equal(logged, "a disk, 100%s: cannot log in: Resource temporarily unavailable");
    assert_false(relogin_is_due(&relogin));
    logged[0] = '\0';
    assert_int_equal(relogin_run(&relogin, NULL, &session), -EAGAIN);
    assert_string_equal(logged, "");
    threads_are_short = false;
    log_set_sink(NULL);
    relogin_now(&relogin);
    assert_true(relogin_is_due(&relogin));
    assert_int_equal(relogin_serve(&relogin, &session), -EINPROGRESS);
    assert_non_null(relogin.login);
    relogin_cancel(&relogin);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_call_waits_for_a_login_that_is_not_answered),
        cmocka_unit_test(a_stop_ends_a_login_that_is_not_answered),
        cmocka_unit_test(a_name_that_is_looked_up_for_ever_holds_nothing_up),
        cmocka_unit_test(a_login_is_told_of_when_it_has_ended),
        cmocka_unit_test(a_login_that_is_stopped_ends_soon),
        cmocka_unit_test(a_relogin_that_is_waited_for_can_be_stopped),
        cmocka_unit_test(a_relogin_that_cannot_begin_is_told_once_and_tried_again),
    };

    setenv("THINMIRROR_RECONNECT_SECONDS", "30", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
