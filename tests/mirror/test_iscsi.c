/* SPDX-License-Identifier: Apache-2.0 */

/* The iSCSI transport against a real target (tgtd) on the loopback. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "endpoint.h"
#include "endpoint_opening.h"
#include "skip.h"
#include "tgtd.h"
#include "transport.h"

#define LUN_BYTES (UINT64_C(64) << 20)

static bool available;
static struct tgtd target; /* for the tests that do it no harm: "plain", "large", "bursts" */

static int start_target(void **state)
{
    (void)state;
    available = tgtd_available();
    if (!available)
        return 0;
    tgtd_start(&target);
    tgtd_add_target(&target, 1, "plain", "64M", 512);
    tgtd_add_target(&target, 2, "large", "64M", 4096);
    tgtd_add_target(&target, 3, "bursts", "64M", 512);
    return 0;
}

static int stop_target(void **state)
{
    (void)state;
    if (available)
        tgtd_stop(&target);
    return 0;
}

static struct endpoint *open_named(const char *name, unsigned flags)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};
    char url[256];

    if (endpoint_open(tgtd_url(&target, name, 1, url), flags, NULL, &endpoint, &err) < 0)
        fail_msg("%s", err.text);
    return endpoint;
}

static void open_fails(const char *url, int error, const char *words)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};

    assert_int_equal(endpoint_open(url, 0, NULL, &endpoint, &err), error);
    if (!strstr(err.text, words) || !strstr(err.text, "iscsi://"))
        fail_msg("'%s' does not say '%s' and the name", err.text, words);
    if (strstr(err.text, "secret-1"))
        fail_msg("'%s' gives the secret away", err.text);
}

static int transfer(struct endpoint *endpoint, enum endpoint_op op, uint64_t lba, uint64_t blocks,
                    char *data)
{
    size_t bytes = blocks * endpoint->info.block_size;
    struct iovec iov[3] = {{data, 1000}, {data + 1000, 24}, {data + 1024, bytes - 1024}};
    struct endpoint_request request = {
        .op = op, .lba = lba, .blocks = blocks, .iov = iov, .iov_count = 3};
    int r = endpoint_run(endpoint, &request);

    if (r < 0)
        fail_msg("%s", request.error.text);
    return r;
}

/* The map as "M16 D100 ...". */
static const char *map_text(struct endpoint *endpoint)
{
    static char text[512];
    struct extent_list map = {0};
    size_t used = 0;

    while (extent_list_end(&map) < endpoint->info.blocks) {
        uint64_t from = extent_list_end(&map);
        struct endpoint_request request = {.op = ENDPOINT_MAP,
                                           .lba = from,
                                           .blocks = endpoint->info.blocks - from,
                                           .map = &map};

        assert_int_equal(endpoint_run(endpoint, &request), 0);
    }
    for (size_t i = 0; i < map.count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%c%llu", i ? " " : "",
                                 map.items[i].status == EXTENT_MAPPED ? 'M' : 'D',
                                 (unsigned long long)map.items[i].length);
    extent_list_free(&map);
    return text;
}

static void check_data(const char *name, unsigned block_size, const char *map_after)
{
    static char data[1 << 20], back[1 << 20];
    struct endpoint *endpoint = open_named(name, ENDPOINT_WRITABLE);
    uint64_t blocks = sizeof(data) / block_size, hole = 65536 / block_size;
    struct endpoint_request zero = {.op = ENDPOINT_ZERO, .lba = blocks + hole, .blocks = hole};
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};

    assert_string_equal(endpoint->info.kind, "iscsi");
    assert_int_equal(endpoint->info.block_size, block_size);
    assert_int_equal(endpoint->info.blocks, LUN_BYTES / block_size);
    assert_true(endpoint->info.thin && endpoint->info.can_map && endpoint->info.can_unmap);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i % 251 + 1);
    transfer(endpoint, ENDPOINT_WRITE, blocks, blocks, data);
    transfer(endpoint, ENDPOINT_READ, blocks, blocks, back);
    assert_memory_equal(data, back, sizeof(data));
    assert_int_equal(endpoint_run(endpoint, &zero), 0);
    assert_true(zero.deallocated);
    assert_int_equal(endpoint_run(endpoint, &flush), 0);
    memset(data + 65536, 0, 65536);
    transfer(endpoint, ENDPOINT_READ, blocks, blocks, back);
    assert_memory_equal(data, back, sizeof(data));
    assert_string_equal(map_text(endpoint), map_after);
    endpoint_close(endpoint);
}

static void data_and_map_of_512_byte_blocks(void **state)
{
    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    check_data("plain", 512, "D2048 M128 D128 M1792 D126976");
}

static void data_and_map_of_4096_byte_blocks(void **state)
{
    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    check_data("large", 4096, "D256 M16 D16 M224 D15872");
}

static void note_result(struct endpoint_request *request)
{
    *(int *)request->opaque = request->result;
}

static void a_session_tells_the_bursts_it_has_agreed_on(void **state)
{
    static const char *const shorter[] = {
        "--lld iscsi --op update --mode target --tid 3 --name MaxBurstLength --value 131072",
        "--lld iscsi --op update --mode target --tid 3 --name FirstBurstLength --value 98304",
    };
    static const char unsolicited[] =
        "--lld iscsi --op update --mode target --tid 3 --name InitialR2T --value No";
    struct endpoint *endpoint;

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    endpoint = open_named("plain", 0);
    assert_int_equal(endpoint->info.max_burst_bytes, 262144); /* the most that libiscsi offers */
    assert_int_equal(endpoint->info.unsolicited_bytes, 0);
    endpoint_close(endpoint);
    for (size_t i = 0; i < sizeof(shorter) / sizeof(shorter[0]); i++)
        tgtd_admin(&target, shorter[i]);
    endpoint = open_named("bursts", 0);
    assert_int_equal(endpoint->info.max_burst_bytes, 131072);
    assert_int_equal(endpoint->info.unsolicited_bytes, 0);
    endpoint_close(endpoint);
    tgtd_admin(&target, unsolicited);
    endpoint = open_named("bursts", 0);
    assert_int_equal(endpoint->info.unsolicited_bytes, 98304);
    endpoint_close(endpoint);
    check_data("bursts", 512, "D2048 M128 D128 M1792 D126976");
    /* Also when the user sees libiscsi's log. */
    setenv("LIBISCSI_DEBUG", "1", 1);
    endpoint = open_named("bursts", 0);
    unsetenv("LIBISCSI_DEBUG");
    assert_int_equal(endpoint->info.max_burst_bytes, 131072);
    endpoint_close(endpoint);
}

/* By flat space addressing (SAM-5 4.7.7.3), as tgt has it: 44 is what is left of 300 in a byte. */
static void a_lun_above_255_is_found(void **state)
{
    static const char *const luns[] = {"44", "300", "16383"};
    static const char add[] = "--lld iscsi --op new --mode logicalunit --tid 3 --lun %s -b "
                              "%s/lun%s.img";
    struct endpoint *endpoint;
    struct errmsg err;
    char url[256];

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    for (size_t i = 0; i < 3; i++) {
        char path[128], text[512];
        FILE *file;

        snprintf(path, sizeof(path), "%s/lun%s.img", target.directory, luns[i]);
        file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(ftruncate(fileno(file), (off_t)(i + 1) << 20), 0);
        fclose(file);
        snprintf(text, sizeof(text), add, luns[i], target.directory, luns[i]);
        tgtd_admin(&target, text);
    }
    for (size_t i = 0; i < 3; i++) {
        unsigned lun = (unsigned)strtoul(luns[i], NULL, 10);

        if (endpoint_open(tgtd_url(&target, "bursts", lun, url), 0, NULL, &endpoint, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(endpoint->info.blocks, (i + 1) * 2048);
        endpoint_close(endpoint);
    }
    open_fails(tgtd_url(&target, "bursts", 301, url), -ENODEV, "no such LUN");
}

/* What one session wrote the others read; closing ends what is in flight. */
static void sessions_share_a_lun(void **state)
{
    enum { SESSIONS = 3 };
    static char data[65536], back[65536];
    struct iovec iov = {back, sizeof(back)};
    int result = 1;
    struct endpoint_request read = {.op = ENDPOINT_READ,
                                    .blocks = sizeof(back) / 512,
                                    .iov = &iov,
                                    .iov_count = 1,
                                    .done = note_result,
                                    .opaque = &result};
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};
    struct endpoint *endpoint;
    struct errmsg err;
    char url[256];

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    if (endpoint_open_sessions(tgtd_url(&target, "plain", 1, url), ENDPOINT_WRITABLE, NULL,
                               SESSIONS, &endpoint, &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < 2 * SESSIONS; i++) {
        memset(data, 'a' + i, sizeof(data));
        transfer(endpoint, ENDPOINT_WRITE, 0, sizeof(data) / 512, data);
        transfer(endpoint, ENDPOINT_READ, 0, sizeof(data) / 512, back);
        assert_memory_equal(data, back, sizeof(data));
    }
    assert_int_equal(endpoint_run(endpoint, &flush), 0);
    assert_int_equal(endpoint->counters.writes, 2 * SESSIONS);
    assert_int_equal(endpoint->counters.flushes, SESSIONS);
    assert_int_equal(endpoint_submit(endpoint, &read), 0);
    endpoint_close(endpoint);
    assert_true(result <= 0);
}

/* The one that fails says so, the others are open all the same. */
static void several_luns_open_at_once(void **state)
{
    char urls[3][256];
    struct endpoint_opening openings[3];

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    tgtd_url(&target, "plain", 1, urls[0]);
    tgtd_url(&target, "plain", 7, urls[1]);
    tgtd_url(&target, "large", 1, urls[2]);
    for (int i = 0; i < 3; i++)
        openings[i] = (struct endpoint_opening){.name = urls[i], .sessions = 1 + (unsigned)i};
    assert_int_equal(endpoint_open_together(openings, 3), -ENODEV);
    assert_int_equal(openings[0].result, 0);
    assert_int_equal(openings[0].endpoint->info.block_size, 512);
    assert_int_equal(openings[1].result, -ENODEV);
    assert_null(openings[1].endpoint);
    assert_non_null(strstr(openings[1].error.text, urls[1]));
    assert_int_equal(openings[2].result, 0);
    assert_int_equal(openings[2].endpoint->info.block_size, 4096);
    endpoint_close(openings[0].endpoint);
    endpoint_close(openings[2].endpoint);
    assert_int_equal(endpoint_open_together(openings, 0), -EINVAL);
    assert_int_equal(endpoint_open_together(openings, ENDPOINT_OPENINGS_MAX + 1), -EINVAL);
}

struct many {
    struct endpoint *endpoint;
    unsigned submitted, done, failed;
    struct iovec iov[64];
    struct endpoint_request requests[64];
    char data[64][65536];
};

#define MANY_TOTAL 512

static void submit_one(struct many *many, unsigned slot);

static void one_done(struct endpoint_request *request)
{
    struct many *many = request->opaque;

    many->done++;
    if (request->result < 0) {
        many->failed++;
        assert_non_null(strstr(request->error.text, "iscsi://127.0.0.1"));
    } else if (many->submitted < MANY_TOTAL) {
        submit_one(many, (unsigned)(request - many->requests));
    }
}

static void submit_one(struct many *many, unsigned slot)
{
    unsigned number = many->submitted++;

    many->iov[slot] = (struct iovec){many->data[slot], sizeof(many->data[slot])};
    many->requests[slot] =
        (struct endpoint_request){.op = number % 2 ? ENDPOINT_READ : ENDPOINT_WRITE,
                                  .lba = (number % 256) * 128,
                                  .blocks = 128,
                                  .iov = &many->iov[slot],
                                  .iov_count = 1,
                                  .done = one_done,
                                  .opaque = many};
    assert_int_equal(endpoint_submit(many->endpoint, &many->requests[slot]), 0);
}

static struct many *start_many(struct endpoint *endpoint)
{
    struct many *many = calloc(1, sizeof(*many));

    assert_non_null(many);
    many->endpoint = endpoint;
    for (unsigned i = 0; i < 64; i++)
        submit_one(many, i);
    return many;
}

static void many_are_in_flight_at_once(void **state)
{
    struct endpoint *endpoint;
    struct many *many;

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    endpoint = open_named("plain", ENDPOINT_WRITABLE);
    many = start_many(endpoint);
    while (many->done < MANY_TOTAL)
        assert_int_equal(endpoint_wait(&endpoint, 1, 30000), 0);
    assert_int_equal(many->failed, 0);
    free(many);
    endpoint_close(endpoint);
}

static void close_with_requests_in_flight(void **state)
{
    struct endpoint *endpoint;
    struct many *many;

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    endpoint = open_named("plain", ENDPOINT_WRITABLE);
    many = start_many(endpoint);
    many->submitted = MANY_TOTAL;
    assert_int_equal(endpoint_wait(&endpoint, 1, 30000), 0);
    endpoint_close(endpoint);
    assert_int_equal(many->done, 64);
    free(many);
}

static void sessions_of_one_process_leave_each_other_alone(void **state)
{
    struct endpoint *pair[2];
    struct errmsg err;
    char data[4096];

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    pair[0] = open_named("plain", 0);
    pair[1] = open_named("plain", 0);
    for (int i = 0; i < 4; i++)
        transfer(pair[i % 2], ENDPOINT_READ, 0, 8, data);
    /* They are one LUN. */
    assert_int_equal(endpoint_check_distinct(pair[0], pair[1], &err), -ENOTUNIQ);
    endpoint_close(pair[1]);
    transfer(pair[0], ENDPOINT_READ, 0, 8, data);
    endpoint_close(pair[0]);
}

static void first_luns_of_two_tgtds_are_two(void **state)
{
    struct tgtd other;
    struct endpoint *a, *b = NULL;
    struct errmsg err = {{0}};
    char url[256];

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    tgtd_start(&other);
    tgtd_add_target(&other, 1, "elsewhere", "64M", 512);
    a = open_named("plain", 0);
    assert_int_equal(endpoint_open(tgtd_url(&other, "elsewhere", 1, url), 0, NULL, &b, &err), 0);
    assert_int_equal(endpoint_check_distinct(a, b, &err), 0);
    /* Though they say the same of themselves. */
    assert_string_equal(a->info.serial, b->info.serial);
    endpoint_close(a);
    endpoint_close(b);
    tgtd_stop(&other);
}

static void what_cannot_be_reached_is_told(void **state)
{
    char url[256];

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    open_fails(tgtd_url(&target, "plain", 9, url), -ENODEV, "no such LUN");
    open_fails(tgtd_url(&target, "unknown", 1, url), -ENODEV, TGTD_IQN "unknown");
    open_fails(tgtd_url(&target, "plain", 0, url), -ENOTBLK, "no disk");
    open_fails("iscsi://127.0.0.1:1/" TGTD_IQN "x/1", -ECONNREFUSED, "connection refused");
    open_fails("iscsi://no-such-host.invalid/" TGTD_IQN "x/1", -EHOSTUNREACH,
               "no-such-host.invalid is not known");
    open_fails("iscsi://127.0.0.1", -EINVAL, "it must be");
    open_fails("iscsi://alice%secret-1@127.0.0.1/" TGTD_IQN "x/1", -EINVAL, "--auth-file");
}

/* A target of its own, to be killed. */
static struct endpoint *open_victim(struct tgtd *victim)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};
    char url[256];

    tgtd_start(victim);
    tgtd_add_target(victim, 1, "victim", "64M", 512);
    if (endpoint_open(tgtd_url(victim, "victim", 1, url), ENDPOINT_WRITABLE, NULL, &endpoint,
                      &err) < 0)
        fail_msg("%s", err.text);
    return endpoint;
}

static void a_target_killed_under_load_fails_all_at_once(void **state)
{
    struct endpoint_request flush = {.op = ENDPOINT_FLUSH};
    struct tgtd victim;
    struct endpoint *endpoint;
    struct many *many;
    int r = 0;

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    endpoint = open_victim(&victim);
    many = start_many(endpoint);
    while (many->done < 16)
        assert_int_equal(endpoint_wait(&endpoint, 1, 30000), 0);
    tgtd_signal(&victim, SIGKILL);
    while (r == 0)
        r = endpoint_wait(&endpoint, 1, 5000);
    assert_int_equal(r, -ENOTCONN);
    assert_int_equal(many->done, many->submitted);
    assert_true(many->failed > 0);
    assert_int_equal(endpoint_run(endpoint, &flush), -ENOTCONN);
    assert_non_null(strstr(flush.error.text, TGTD_IQN "victim"));
    free(many);
    endpoint_close(endpoint);
    tgtd_stop(&victim);
}

static void a_target_killed_at_rest_is_noticed(void **state)
{
    struct tgtd victim;
    struct endpoint *endpoint;
    int r = 0;

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    endpoint = open_victim(&victim);
    tgtd_signal(&victim, SIGKILL);
    for (int i = 0; i < 4 && r == 0; i++)
        r = endpoint_wait(&endpoint, 1, 5000);
    assert_int_equal(r, -ENOTCONN);
    endpoint_close(endpoint);
    tgtd_stop(&victim);
}

static void a_silent_target_is_given_up(void **state)
{
    struct transport_request request = {.cdb_length = 6, .timeout_ms = 300};
    struct transport *transport = NULL;
    struct endpoint *endpoint;
    struct errmsg err;
    struct tgtd victim;
    char url[256];

    (void)state;
    if (!available)
        skip_because("there is no tgtd that may run here");
    endpoint = open_victim(&victim);
    assert_int_equal(transport_iscsi_open(tgtd_url(&victim, "victim", 1, url), NULL, &transport,
                                          &err),
                     0);
    assert_int_equal(transport_run(transport, &request), 0);
    tgtd_signal(&victim, SIGSTOP);
    assert_int_equal(transport_run(transport, &request), -ETIMEDOUT);
    tgtd_signal(&victim, SIGCONT);
    /* A late answer is dropped. */
    assert_int_equal(transport_run(transport, &request), -ETIMEDOUT);
    transport_close(transport);
    endpoint_close(endpoint);
    tgtd_stop(&victim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_and_map_of_512_byte_blocks),
        cmocka_unit_test(data_and_map_of_4096_byte_blocks),
        cmocka_unit_test(a_session_tells_the_bursts_it_has_agreed_on),
        cmocka_unit_test(a_lun_above_255_is_found),
        cmocka_unit_test(sessions_share_a_lun),
        cmocka_unit_test(several_luns_open_at_once),
        cmocka_unit_test(many_are_in_flight_at_once),
        cmocka_unit_test(close_with_requests_in_flight),
        cmocka_unit_test(sessions_of_one_process_leave_each_other_alone),
        cmocka_unit_test(first_luns_of_two_tgtds_are_two),
        cmocka_unit_test(what_cannot_be_reached_is_told),
        cmocka_unit_test(a_target_killed_under_load_fails_all_at_once),
        cmocka_unit_test(a_target_killed_at_rest_is_noticed),
        cmocka_unit_test(a_silent_target_is_given_up),
    };

    setenv("THINMIRROR_RECONNECT_SECONDS", "0", 1); /* a lost connection stays lost here */
    return cmocka_run_group_tests(tests, start_target, stop_target);
}
