/* SPDX-License-Identifier: Apache-2.0 */

/* How long a target takes for GET LBA STATUS with room for one descriptor, at several places of a
 * LUN:
 *
 *   bench_status_query URL ROUNDS
 *
 * One line a query: "query PERCENT NANOSECONDS", of the LUN's length and of time. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#define ONE_DESCRIPTOR 24

static void die(struct iscsi_context *iscsi, const char *what)
{
    fprintf(stderr, "bench_status_query: %s: %s\n", what, iscsi ? iscsi_get_error(iscsi) : "");
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct iscsi_context *log_in(const char *text, int *ret_lun)
{
    struct iscsi_context *iscsi = iscsi_create_context("iqn.2026-01.org.thinmirror.bench:query");
    struct iscsi_url *url = iscsi ? iscsi_parse_full_url(iscsi, text) : NULL;

    if (!url)
        die(iscsi, text);
    iscsi_set_targetname(iscsi, url->target);
    iscsi_set_session_type(iscsi, ISCSI_SESSION_NORMAL);
    if (iscsi_full_connect_sync(iscsi, url->portal, url->lun))
        die(iscsi, text);
    *ret_lun = url->lun;
    iscsi_destroy_url(url);
    return iscsi;
}

static uint64_t last_lba(struct iscsi_context *iscsi, int lun)
{
    struct scsi_task *task = iscsi_readcapacity16_sync(iscsi, lun);
    struct scsi_readcapacity16 *capacity;
    uint64_t last;

    if (!task || task->status != SCSI_STATUS_GOOD)
        die(iscsi, "READ CAPACITY(16)");
    capacity = scsi_datain_unmarshall(task);
    if (!capacity)
        die(iscsi, "READ CAPACITY(16)");
    last = capacity->returned_lba;
    scsi_free_scsi_task(task);
    return last;
}

static uint64_t query(struct iscsi_context *iscsi, int lun, uint64_t lba)
{
    uint64_t begun = now_ns();
    struct scsi_task *task = iscsi_get_lba_status_sync(iscsi, lun, lba, ONE_DESCRIPTOR);
    uint64_t taken = now_ns() - begun;

    if (!task || task->status != SCSI_STATUS_GOOD)
        die(iscsi, "GET LBA STATUS");
    scsi_free_scsi_task(task);
    return taken;
}

int main(int argc, char **argv)
{
    static const unsigned percents[] = {0, 50, 99};
    struct iscsi_context *iscsi;
    uint64_t last;
    int lun;

    if (argc != 3)
        return 2;
    iscsi = log_in(argv[1], &lun);
    last = last_lba(iscsi, lun);
    for (int round = 0; round < atoi(argv[2]); round++)
        for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
            printf("query %u %" PRIu64 "\n", percents[i],
                   query(iscsi, lun, last / 100 * percents[i]));
    iscsi_logout_sync(iscsi);
    iscsi_destroy_context(iscsi);
    return 0;
}
