/* SPDX-License-Identifier: Apache-2.0 */

/* A bare loop of writes to a LUN, or of reads from it, with nothing but libiscsi: what the target
 * gives one session, and so the limit of a copy to it.
 *
 * usage: bench_write_loop read|write URL FIRST BYTES REQUEST DEPTH
 *
 * Moves BYTES from byte FIRST on in requests of REQUEST bytes, DEPTH of them in flight, and flushes
 * what it wrote. Prints the nanoseconds from after the login until then. */

#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

#include "bench_lun.h"
#include "bench_util.h"

#define BLOCK     512
#define MAX_DEPTH 1024

struct loop {
    struct bench_lun lun;
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
    task =
        loop->writing
            ? iscsi_write16_iov_task(loop->lun.context, loop->lun.lun, loop->next_lba, NULL, bytes,
                                     BLOCK, 0, 0, 0, 0, 0, request_done, slot, &slot->iov, 1)
            : iscsi_read16_iov_task(loop->lun.context, loop->lun.lun, loop->next_lba, bytes, BLOCK,
                                    0, 0, 0, 0, 0, request_done, slot, &slot->iov, 1);
    if (!task)
        bench_lun_failed(&loop->lun, "a request");
    loop->next_lba += blocks;
    loop->in_flight++;
}

static void request_done(struct iscsi_context *context, int status, void *data, void *private_data)
{
    struct slot *slot = private_data;

    (void)context;
    if (status != SCSI_STATUS_GOOD)
        bench_lun_failed(&slot->loop->lun, "a request");
    scsi_free_scsi_task(data);
    slot->loop->in_flight--;
    send_next(slot);
}

static void drive(const struct loop *loop)
{
    struct iscsi_context *context = loop->lun.context;

    while (loop->in_flight > 0) {
        struct pollfd fd = {.fd = iscsi_get_fd(context),
                            .events = (short)iscsi_which_events(context)};

        if (poll(&fd, 1, -1) < 0 || iscsi_service(context, fd.revents) < 0)
            bench_lun_failed(&loop->lun, "the session");
    }
}

static void flush(const struct bench_lun *lun)
{
    struct scsi_task *task = iscsi_synchronizecache10_sync(lun->context, lun->lun, 0, 0, 0, 0);

    bench_check(lun, task, "SYNCHRONIZE CACHE(10)");
    scsi_free_scsi_task(task);
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
    loop.lun = bench_log_in(argv[2]);
    began_ns = now_ns(CLOCK_MONOTONIC);
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
        flush(&loop.lun);
    printf("%" PRIu64 "\n", now_ns(CLOCK_MONOTONIC) - began_ns);
    bench_log_out(&loop.lun);
    for (uint64_t i = 0; i < depth; i++)
        free(slots[i].buffer);
    return 0;
}
