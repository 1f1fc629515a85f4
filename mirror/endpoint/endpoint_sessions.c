/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_sessions.h"

/* A request travels as a parcel: the owner's thread puts it into the worker's inbox, the worker
 * submits it to its endpoint, and the endpoint's done() puts it into the outbox of all. The owner's
 * thread takes it from there, so the user's done() is called by it alone. */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "event.h"
#include "fifo.h"
#include "quiet_thread.h"

struct worker {
    struct sessions *all;
    struct endpoint *endpoint; /* the thread's, while that runs */
    pthread_t thread;
    bool started;
    int wake; /* event: there is something in the inbox, or to stop */

    pthread_mutex_t lock; /* guards inbox, stopping; taken before sessions.lock, never with it */
    struct fifo inbox;
    bool stopping;

    unsigned in_flight; /* the owner's: not back yet */
};

struct sessions {
    struct endpoint base;
    unsigned count;
    unsigned turn; /* whose turn it is among equals */
    bool closing;  /* nothing is taken any more */
    int event;     /* readable while the outbox is not empty */

    pthread_mutex_t lock; /* guards outbox and what follows */
    struct fifo outbox;
    struct endpoint_counters counters[ENDPOINT_SESSIONS_MAX]; /* as each worker last told */
    bool can_unmap;                                           /* of the first */

    struct worker workers[];
};

/* A flush is one request for several parcels. */
struct fan {
    struct endpoint_request *user;
    unsigned left;
};

struct parcel {
    struct fifo_link link;
    struct endpoint_request request; /* what the endpoint gets */
    struct endpoint_request *user;   /* NULL: fan's */
    struct fan *fan;
    struct worker *worker;
    bool by_bitmap;
};

/* On the worker's thread. */

static void parcel_done(struct endpoint_request *request)
{
    struct parcel *parcel = request->opaque;
    struct worker *worker = parcel->worker;
    struct sessions *all = worker->all;

    SCOPED_LOCK(&all->lock);
    if (!all->outbox.first)
        event_raise(all->event);
    fifo_put(&all->outbox, &parcel->link);
    all->counters[worker - all->workers] = worker->endpoint->counters;
    if (worker == all->workers)
        all->can_unmap = worker->endpoint->info.can_unmap;
}

/* False: to stop. */
static bool submit_inbox(struct worker *worker)
{
    struct fifo_link *list;
    bool stopping;

    pthread_mutex_lock(&worker->lock);
    list = fifo_take_all(&worker->inbox);
    stopping = worker->stopping;
    pthread_mutex_unlock(&worker->lock);
    while (list) {
        struct parcel *parcel = (struct parcel *)list;
        int r;

        list = list->next;
        worker->endpoint->info.by_bitmap = parcel->by_bitmap;
        r = endpoint_submit(worker->endpoint, &parcel->request);
        if (r == 0)
            continue;
        parcel->request.result = r;
        if (!parcel->request.error.text[0])
            errmsg_set(&parcel->request.error, r, "%s: %s", worker->endpoint->info.name,
                       strerror(-r));
        parcel_done(&parcel->request);
    }
    return !stopping;
}

static void *work(void *opaque)
{
    struct worker *worker = opaque;
    struct endpoint *endpoint = worker->endpoint;

    while (submit_inbox(worker)) {
        struct pollfd fds[2] = {{.fd = -1}, {.fd = worker->wake, .events = POLLIN}};
        int timeout_ms = endpoint->ops->poll(endpoint, &fds[0]);

        if (poll(fds, 2, timeout_ms) < 0)
            continue;
        if (fds[1].revents)
            event_drain(worker->wake);
        /* A dead endpoint has completed its requests with the error, and says it of all that
         * follow. */
        endpoint->ops->service(endpoint, fds[0].revents);
    }
    endpoint_close(endpoint);
    return NULL;
}

/* On the owner's thread. */

static struct worker *least_busy(struct sessions *all)
{
    struct worker *best = NULL;

    for (unsigned i = 0; i < all->count; i++) {
        struct worker *worker = &all->workers[(all->turn + i) % all->count];

        if (!best || worker->in_flight < best->in_flight)
            best = worker;
    }
    all->turn = (all->turn + 1) % all->count;
    return best;
}

static struct parcel *new_parcel(struct worker *worker, const struct endpoint_request *request)
{
    struct parcel *parcel = calloc(1, sizeof(*parcel));

    if (!parcel)
        return NULL;
    parcel->worker = worker;
    parcel->by_bitmap = worker->all->base.info.by_bitmap;
    parcel->request = (struct endpoint_request){.op = request->op,
                                                .lba = request->lba,
                                                .blocks = request->blocks,
                                                .iov = request->iov,
                                                .iov_count = request->iov_count,
                                                .map = request->map,
                                                .done = parcel_done,
                                                .opaque = parcel};
    return parcel;
}

static void hand_over(struct parcel *parcel)
{
    struct worker *worker = parcel->worker;
    bool first;

    worker->in_flight++;
    pthread_mutex_lock(&worker->lock);
    first = !worker->inbox.first;
    fifo_put(&worker->inbox, &parcel->link);
    pthread_mutex_unlock(&worker->lock);
    if (first)
        event_raise(worker->wake);
}

static int submit_flush(struct sessions *all, struct endpoint_request *request)
{
    struct parcel *parcels[ENDPOINT_SESSIONS_MAX];
    struct fan *fan = calloc(1, sizeof(*fan));
    unsigned made = 0;

    while (fan && made < all->count && (parcels[made] = new_parcel(&all->workers[made], request)))
        made++;
    if (made < all->count) {
        while (made > 0)
            free(parcels[--made]);
        free(fan);
        return -ENOMEM;
    }
    *fan = (struct fan){request, all->count};
    for (unsigned i = 0; i < made; i++) {
        parcels[i]->fan = fan;
        hand_over(parcels[i]);
    }
    return 0;
}

static int sessions_submit(struct endpoint *base, struct endpoint_request *request)
{
    struct sessions *all = (struct sessions *)base;
    bool transfer = request->op == ENDPOINT_READ || request->op == ENDPOINT_WRITE;
    struct parcel *parcel;

    if (all->closing)
        return -ESHUTDOWN;
    if (request->op == ENDPOINT_FLUSH)
        return submit_flush(all, request);
    parcel = new_parcel(transfer ? least_busy(all) : &all->workers[0], request);
    if (!parcel)
        return -ENOMEM;
    parcel->user = request;
    hand_over(parcel);
    return 0;
}

static void copy_outcome(struct endpoint_request *to, const struct endpoint_request *from)
{
    to->result = from->result;
    to->deallocated = from->deallocated;
    to->error_lba = from->error_lba;
    to->unreadable = from->unreadable;
    to->unsound = from->unsound;
    to->error = from->error;
}

/* That writes are lost is the least of errors: they can be done again. */
static void take_flush(struct fan *fan, const struct endpoint_request *request)
{
    struct endpoint_request *user = fan->user;

    if (request->result < 0 && (user->result == 0 || user->result == -ESTALE))
        copy_outcome(user, request);
    if (--fan->left > 0)
        return;
    free(fan);
    user->done(user);
}

static void take_back(struct parcel *parcel)
{
    struct endpoint_request *user = parcel->user;

    parcel->worker->in_flight--;
    if (parcel->fan) {
        take_flush(parcel->fan, &parcel->request);
        free(parcel);
        return;
    }
    copy_outcome(user, &parcel->request);
    free(parcel);
    user->done(user);
}

static void add_counters(struct endpoint_counters *sum, const struct endpoint_counters *one)
{
    sum->reads += one->reads;
    sum->writes += one->writes;
    sum->zeros += one->zeros;
    sum->maps += one->maps;
    sum->flushes += one->flushes;
    sum->read_blocks += one->read_blocks;
    sum->written_blocks += one->written_blocks;
    sum->zeroed_blocks += one->zeroed_blocks;
    sum->reconnects += one->reconnects;
}

static struct fifo_link *take_outbox(struct sessions *all)
{
    SCOPED_LOCK(&all->lock);
    all->base.counters = (struct endpoint_counters){0};
    for (unsigned i = 0; i < all->count; i++)
        add_counters(&all->base.counters, &all->counters[i]);
    all->base.info.can_unmap = all->can_unmap;
    if (all->outbox.first)
        event_drain(all->event);
    return fifo_take_all(&all->outbox);
}

static int sessions_service(struct endpoint *base, short revents)
{
    struct fifo_link *list = take_outbox((struct sessions *)base);

    (void)revents;
    while (list) {
        struct parcel *parcel = (struct parcel *)list;

        list = list->next;
        take_back(parcel);
    }
    return 0;
}

static int sessions_poll(struct endpoint *base, struct pollfd *ret)
{
    const struct sessions *all = (const struct sessions *)base;

    *ret = (struct pollfd){.fd = all->event, .events = POLLIN};
    return -1;
}

static void worker_stop(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->stopping = true;
    pthread_mutex_unlock(&worker->lock);
    event_raise(worker->wake);
}

static void worker_free(struct worker *worker)
{
    if (worker->started)
        pthread_join(worker->thread, NULL);
    else
        endpoint_close(worker->endpoint);
    if (worker->wake >= 0)
        close(worker->wake);
    pthread_mutex_destroy(&worker->lock);
}

static void sessions_close(struct endpoint *base)
{
    struct sessions *all = (struct sessions *)base;

    all->closing = true;
    for (unsigned i = 0; i < all->count; i++)
        if (all->workers[i].started)
            worker_stop(&all->workers[i]);
    for (unsigned i = 0; i < all->count; i++)
        worker_free(&all->workers[i]);
    sessions_service(base, 0);
    if (all->event >= 0)
        close(all->event);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

/* The one call that reaches into the threads' endpoints: all it does there is an atomic store. */
static void sessions_stop_by(struct endpoint *base, const atomic_bool *stop)
{
    struct sessions *all = (struct sessions *)base;

    for (unsigned i = 0; i < all->count; i++)
        endpoint_stop_by(all->workers[i].endpoint, stop);
}

static const struct endpoint_ops sessions_ops = {
    .close = sessions_close,
    .submit = sessions_submit,
    .poll = sessions_poll,
    .service = sessions_service,
    .stop_by = sessions_stop_by,
};

static int start_thread(struct worker *worker)
{
    int r = quiet_thread_start(&worker->thread, work, worker);

    worker->started = r == 0;
    return r;
}

static int check_same(const struct endpoint *a, const struct endpoint *b, struct errmsg *err)
{
    if (strcmp(a->info.identity, b->info.identity) == 0 && a->info.blocks == b->info.blocks &&
        a->info.block_size == b->info.block_size)
        return 0;
    return errmsg_set(err, -ENODEV, "%s: another logical unit answers the next session: %s, not %s",
                      a->info.name, b->info.identity, a->info.identity);
}

static struct sessions *sessions_new(struct endpoint *const endpoints[], unsigned count)
{
    struct sessions *all = calloc(1, sizeof(*all) + count * sizeof(all->workers[0]));

    if (!all)
        return NULL;
    all->base = (struct endpoint){.ops = &sessions_ops, .info = endpoints[0]->info};
    all->count = count;
    all->base.info.can_reserve = false; /* by one of them: the others could not write */
    all->can_unmap = endpoints[0]->info.can_unmap;
    all->event = event_open();
    pthread_mutex_init(&all->lock, NULL);
    fifo_init(&all->outbox);
    for (unsigned i = 0; i < count; i++) {
        struct worker *worker = &all->workers[i];

        worker->all = all;
        worker->endpoint = endpoints[i];
        worker->wake = event_open();
        pthread_mutex_init(&worker->lock, NULL);
        fifo_init(&worker->inbox);
        all->counters[i] = endpoints[i]->counters;
    }
    return all;
}

int endpoint_sessions_join(struct endpoint *const endpoints[], unsigned count,
                           struct endpoint **ret, struct errmsg *err)
{
    struct sessions *all;
    int r = 0;

    if (count == 1) {
        *ret = endpoints[0];
        return 0;
    }
    all = sessions_new(endpoints, count);
    if (!all) {
        for (unsigned i = 0; i < count; i++)
            endpoint_close(endpoints[i]);
        return errmsg_set(err, -ENOMEM, "out of memory");
    }
    if (all->event < 0)
        r = errmsg_set(err, all->event, "%s: no event: %s", all->base.info.name,
                       strerror(-all->event));
    for (unsigned i = 0; r == 0 && i < count; i++) {
        r = check_same(endpoints[0], endpoints[i], err);
        if (r == 0 && all->workers[i].wake < 0)
            r = errmsg_set(err, all->workers[i].wake, "%s: no event: %s", all->base.info.name,
                           strerror(-all->workers[i].wake));
    }
    for (unsigned i = 0; r == 0 && i < count; i++) {
        r = start_thread(&all->workers[i]);
        if (r < 0)
            errmsg_set(err, r, "%s: no thread for a session: %s", all->base.info.name,
                       strerror(-r));
    }
    if (r < 0) {
        sessions_close(&all->base);
        return r;
    }
    *ret = &all->base;
    return 0;
}
