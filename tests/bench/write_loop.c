/* SPDX-License-Identifier: Apache-2.0 */

/* A bare loop of writes to a LUN, or of reads from it, with nothing but libiscsi: what the target
 * gives one session, and so the limit of a copy to it.
 *
 * usage: bench_write_loop read|write URL FIRST BYTES REQUEST DEPTH
 *
 * Moves BYTES from byte FIRST on in requests of REQUEST bytes, DEPTH of them in flight, and flushes
 * what it wrote. Prints the nanoseconds from after the login until then. */

#include <inttypes.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCK     512
#define MAX_DEPTH 1024

struct loop {
    struct iscsi_context *context;
    int lun;
    bool writing;
    uint64_t next_lba, end_lba;
    uint32_t request_blocks;
    unsigned in_flight;
};

/* One request after the other, out of the same buffer. */
struct slot {
    struct loop *loop;
    struct scsi_iovec iov;
    uint8_t *buffer;
};

static void give_up(const char *why)
{
    fprintf(stderr, "bench_write_loop: %s\n", why);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void request_done(struct iscsi_context *context, int status, void *data, void *private_data);

static void send_next(struct slot *slot)
{
    struct loop *loop = slot->loop;
    uint64_t blocks = loop->end_lba - loop->next_lba;
    uint32_t bytes;
    struct scsi_task *task;

    if (blocks == 0)
        return;
    if (blocks > loop->request_blocks)
        blocks = loop->request_blocks;
    bytes = (uint32_t)blocks * BLOCK;
    slot->iov = (struct scsi_iovec){slot->buffer, bytes};
    task = loop->writing
               ? iscsi_write16_iov_task(loop->context, loop->lun, loop->next_lba, NULL, bytes,
                                        BLOCK, 0, 0, 0, 0, 0, request_done, slot, &slot->iov, 1)
               : iscsi_read16_iov_task(loop->context, loop->lun, loop->next_lba, bytes, BLOCK, 0, 0,
                                       0, 0, 0, request_done, slot, &slot->iov, 1);
    if (!task)
        give_up(iscsi_get_error(loop->context));
    loop->next_lba += blocks;
    loop->in_flight++;
}

static void request_done(struct iscsi_context *context, int status, void *data, void *private_data)
{
    struct slot *slot = private_data;

    if (status != SCSI_STATUS_GOOD)
        give_up(iscsi_get_error(context));
    scsi_free_scsi_task(data);
    slot->loop->in_flight--;
    send_next(slot);
}

static void drive(struct loop *loop)
{
    while (loop->in_flight > 0) {
        struct pollfd fd = {.fd = iscsi_get_fd(loop->context),
                            .events = (short)iscsi_which_events(loop->context)};

        if (poll(&fd, 1, -1) < 0 || iscsi_service(loop->context, fd.revents) < 0)
            give_up(iscsi_get_error(loop->context));
    }
}

static void flush(struct loop *loop)
{
    struct scsi_task *task = iscsi_synchronizecache10_sync(loop->context, loop->lun, 0, 0, 0, 0);

    if (!task || task->status != SCSI_STATUS_GOOD)
        give_up(iscsi_get_error(loop->context));
    scsi_free_scsi_task(task);
}

static void log_in(struct loop *loop, const char *text)
{
    struct iscsi_url *url;

    loop->context = iscsi_create_context("iqn.2026-11.org.thinmirror:bench");
    if (!loop->context)
        give_up("out of memory");
    url = iscsi_parse_full_url(loop->context, text);
    if (!url)
        give_up(iscsi_get_error(loop->context));
    iscsi_set_targetname(loop->context, url->target);
    iscsi_set_session_type(loop->context, ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(loop->context, ISCSI_HEADER_DIGEST_NONE);
    loop->lun = url->lun;
    if (iscsi_full_connect_sync(loop->context, url->portal, url->lun) != 0)
        give_up(iscsi_get_error(loop->context));
    iscsi_destroy_url(url);
}

int main(int argc, char **argv)
{
    static struct slot slots[MAX_DEPTH];
    struct loop loop = {0};
    uint64_t request, depth, began_ns;

    if (argc != 7)
        give_up("usage: bench_write_loop read|write URL FIRST BYTES REQUEST DEPTH");
    loop.writing = strcmp(argv[1], "write") == 0;
    loop.next_lba = strtoull(argv[3], NULL, 10) / BLOCK;
    loop.end_lba = loop.next_lba + strtoull(argv[4], NULL, 10) / BLOCK;
    request = strtoull(argv[5], NULL, 10);
    depth = strtoull(argv[6], NULL, 10);
    loop.request_blocks = (uint32_t)(request / BLOCK);
    if (loop.request_blocks == 0 || request > 1u << 30 || depth == 0 || depth > MAX_DEPTH)
        give_up("a request has 512 bytes at least and 1 GiB at most; the depth is 1 to 1024");
    log_in(&loop, argv[2]);
    began_ns = now_ns();
    for (uint64_t i = 0; i < depth; i++) {
        slots[i].loop = &loop;
        slots[i].buffer = malloc(request);
        if (!slots[i].buffer)
            give_up("out of memory");
        memset(slots[i].buffer, 0x5A, request);
        send_next(&slots[i]);
    }
    drive(&loop);
    if (loop.writing)
        flush(&loop);
    printf("%" PRIu64 "\n", now_ns() - began_ns);
    iscsi_logout_sync(loop.context);
    iscsi_destroy_context(loop.context);
    for (uint64_t i = 0; i < depth; i++)
        free(slots[i].buffer);
    return 0;
}
