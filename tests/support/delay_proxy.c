/* SPDX-License-Identifier: Apache-2.0 */

/* A TCP proxy on loopback that makes a line long: every byte reaches the other side a fixed time
 * after it came in, in both directions, at whatever rate it comes. As with an adapter that raises
 * no interrupt for each packet, what comes within a tenth of that time is taken together,
 * and waits so much longer: the proxy is not what takes the processors' time.
 *
 *   delay_proxy LISTEN_PORT TARGET_PORT ONE_WAY_MICROSECONDS
 *
 * Writes "ready" to standard output once it listens, and serves until it is killed. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* What one direction holds back at most: at 1 GB/s this is more than 60 ms. */
enum { PIECE_BYTES = 256 * 1024, PIECES = 256, TOGETHER_DIVISOR = 10 };

struct piece {
    uint64_t due_ns;
    size_t begin, end;
    char *bytes;
};

struct direction {
    int from, to;
    uint64_t delay_ns;
    uint64_t look_ns;    /* not taken from before */
    char *spare[PIECES]; /* memory of pieces, the one used last first */
    unsigned spare_count;
    struct piece pieces[PIECES]; /* a ring: count of them from first on */
    unsigned first, count;
    bool ended; /* nothing more comes in */
};

struct line {
    int client, target;
    uint64_t delay_ns;
};

static uint16_t target_port;
static uint64_t one_way_ns;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* False when the line is broken. */
static bool take(struct direction *d)
{
    struct piece *piece = &d->pieces[(d->first + d->count) % PIECES];
    ssize_t got;

    piece->bytes = d->spare_count > 0 ? d->spare[--d->spare_count] : malloc(PIECE_BYTES);
    if (!piece->bytes)
        return false;
    got = recv(d->from, piece->bytes, PIECE_BYTES, MSG_DONTWAIT);
    if (got <= 0)
        d->spare[d->spare_count++] = piece->bytes;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0) {
        d->ended = true;
        return true;
    }
    piece->begin = 0;
    piece->end = (size_t)got;
    piece->due_ns = now_ns() + d->delay_ns;
    if (got < PIECE_BYTES)
        d->look_ns = piece->due_ns - d->delay_ns + d->delay_ns / TOGETHER_DIVISOR;
    d->count++;
    return true;
}

static bool give(struct direction *d)
{
    struct piece *piece = &d->pieces[d->first];
    ssize_t sent = send(d->to, piece->bytes + piece->begin, piece->end - piece->begin,
                        MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    piece->begin += (size_t)sent;
    if (piece->begin == piece->end) {
        d->spare[d->spare_count++] = piece->bytes;
        d->first = (d->first + 1) % PIECES;
        d->count--;
    }
    return true;
}

/* Waits until something can come in or go out, or the oldest piece is due. */
static bool step(struct direction *d)
{
    uint64_t now = now_ns();
    uint64_t due = d->count ? d->pieces[d->first].due_ns : UINT64_MAX;
    bool wants = !d->ended && d->count < PIECES;
    uint64_t next = wants && d->look_ns > now && d->look_ns < due ? d->look_ns : due;
    uint64_t left = next > now ? next - now : 0;
    struct timespec wait = {.tv_sec = (time_t)(left / 1000000000u),
                            .tv_nsec = (long)(left % 1000000000u)};
    struct pollfd polled[2] = {
        {.fd = wants && d->look_ns <= now ? d->from : -1, .events = POLLIN},
        {.fd = due <= now ? d->to : -1, .events = POLLOUT},
    };

    if (ppoll(polled, 2, next != UINT64_MAX && left > 0 ? &wait : NULL, NULL) < 0)
        return errno == EINTR;
    if (polled[0].revents && !take(d))
        return false;
    return !polled[1].revents || give(d);
}

static void *carry(void *argument)
{
    struct direction *d = argument;

    while (!(d->ended && d->count == 0)) {
        if (!step(d)) {
            shutdown(d->from, SHUT_RDWR);
            break;
        }
    }
    shutdown(d->to, SHUT_WR);
    for (; d->count > 0; d->count--, d->first = (d->first + 1) % PIECES)
        free(d->pieces[d->first].bytes);
    while (d->spare_count > 0)
        free(d->spare[--d->spare_count]);
    return NULL;
}

static void set_up(struct direction *d, int from, int to, uint64_t delay_ns)
{
    memset(d, 0, sizeof(*d));
    d->from = from;
    d->to = to;
    d->delay_ns = delay_ns;
}

/* One connection: the other direction in a thread of its own. */
static void *serve(void *argument)
{
    struct line *line = argument;
    struct direction *there = malloc(sizeof(*there));
    struct direction *back = malloc(sizeof(*back));
    pthread_t thread;

    if (there && back) {
        set_up(there, line->client, line->target, line->delay_ns);
        set_up(back, line->target, line->client, line->delay_ns);
        if (pthread_create(&thread, NULL, carry, back) == 0) {
            carry(there);
            pthread_join(thread, NULL);
        }
    }
    close(line->client);
    close(line->target);
    free(there);
    free(back);
    free(line);
    return NULL;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void prompt(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

static void accepted(int client)
{
    struct sockaddr_in address = loopback(target_port);
    struct line *line = malloc(sizeof(*line));
    int target = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_t thread;

    if (!line || target < 0 || connect(target, (struct sockaddr *)&address, sizeof(address)) != 0)
        goto refused;
    prompt(client);
    prompt(target);
    *line = (struct line){.client = client, .target = target, .delay_ns = one_way_ns};
    if (pthread_create(&thread, NULL, serve, line) != 0)
        goto refused;
    pthread_detach(thread);
    return;
refused:
    free(line);
    if (target >= 0)
        close(target);
    close(client);
}

static int listening(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, 64) != 0) {
        perror("delay_proxy");
        return -1;
    }
    return fd;
}

static unsigned long number(const char *text, unsigned long most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || value > most) {
        fprintf(stderr, "delay_proxy: '%s' is no number up to %lu\n", text, most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    int fd;

    if (argc != 4) {
        fprintf(stderr, "usage: delay_proxy LISTEN_PORT TARGET_PORT ONE_WAY_MICROSECONDS\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fd = listening((uint16_t)number(argv[1], UINT16_MAX));
    target_port = (uint16_t)number(argv[2], UINT16_MAX);
    one_way_ns = number(argv[3], 10000000) * 1000u;
    if (fd < 0)
        return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        int client = accept(fd, NULL, NULL);

        if (client >= 0)
            accepted(client);
        else if (errno != EINTR && errno != ECONNABORTED)
            break;
    }
    perror("delay_proxy: accept");
    return 1;
}
