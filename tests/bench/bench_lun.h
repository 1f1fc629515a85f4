/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BENCH_LUN_H
#define THINMIRROR_BENCH_LUN_H

/* A LUN over iSCSI with nothing but libiscsi. */

#include <stdint.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

struct bench_lun {
    struct iscsi_context *context;
    int lun;
};

/* Logs in to iscsi://host[:port]/iqn/lun; ends the program when it cannot. */
struct bench_lun bench_log_in(const char *url);
void bench_log_out(struct bench_lun *lun);

/* Ends the program with libiscsi's words. */
_Noreturn void bench_lun_failed(const struct bench_lun *lun, const char *what);

/* Of a synchronous command; ends the program unless it ended well. */
void bench_check(const struct bench_lun *lun, const struct scsi_task *task, const char *what);

#endif
