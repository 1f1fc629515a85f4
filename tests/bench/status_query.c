/* SPDX-License-Identifier: Apache-2.0 */

/* How long a target takes for GET LBA STATUS with room for one descriptor, at several places of a
 * LUN:
 *
 *   bench_status_query URL ROUNDS
 *
 * One line a query: "query PERCENT NANOSECONDS", of the LUN's length and of time. */

#include <inttypes.h>

#include "bench_lun.h"
#include "bench_util.h"

#define ONE_DESCRIPTOR 24

static uint64_t last_lba(const struct bench_lun *lun)
{
    struct scsi_task *task = iscsi_readcapacity16_sync(lun->context, lun->lun);
    struct scsi_readcapacity16 *capacity;
    uint64_t last;

    bench_check(lun, task, "READ CAPACITY(16)");
    capacity = scsi_datain_unmarshall(task);
    if (!capacity)
        bench_lun_failed(lun, "READ CAPACITY(16)");
    last = capacity->returned_lba;
    scsi_free_scsi_task(task);
    return last;
}

static uint64_t query(const struct bench_lun *lun, uint64_t lba)
{
    uint64_t begun = now_ns(CLOCK_MONOTONIC);
    struct scsi_task *task = iscsi_get_lba_status_sync(lun->context, lun->lun, lba, ONE_DESCRIPTOR);
    uint64_t taken = now_ns(CLOCK_MONOTONIC) - begun;

    bench_check(lun, task, "GET LBA STATUS");
    scsi_free_scsi_task(task);
    return taken;
}

int main(int argc, char **argv)
{
    static const unsigned percents[] = {0, 50, 99};
    struct bench_lun lun;
    uint64_t last;

    if (argc != 3)
        give_up("usage: bench_status_query URL ROUNDS");
    lun = bench_log_in(argv[1]);
    last = last_lba(&lun);
    for (int round = 0; round < atoi(argv[2]); round++)
        for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
            printf("query %u %" PRIu64 "\n", percents[i], query(&lun, last / 100 * percents[i]));
    bench_log_out(&lun);
    return 0;
}
