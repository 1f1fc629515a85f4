/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_lun.h"

#include "bench_util.h"

_Noreturn void bench_lun_failed(const struct bench_lun *lun, const char *what)
{
    char text[512];

    snprintf(text, sizeof(text), "%s: %s", what, iscsi_get_error(lun->context));
    give_up(text);
}

void bench_check(const struct bench_lun *lun, const struct scsi_task *task, const char *what)
{
    if (!task || task->status != SCSI_STATUS_GOOD)
        bench_lun_failed(lun, what);
}

struct bench_lun bench_log_in(const char *text)
{
    struct bench_lun lun = {iscsi_create_context("iqn.2026-11.org.thinmirror:bench"), 0};
    struct iscsi_url *url;

    if (!lun.context)
        give_up("out of memory");
    url = iscsi_parse_full_url(lun.context, text);
    if (!url)
        bench_lun_failed(&lun, text);
    iscsi_set_targetname(lun.context, url->target);
    iscsi_set_session_type(lun.context, ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(lun.context, ISCSI_HEADER_DIGEST_NONE);
    lun.lun = url->lun;
    if (iscsi_full_connect_sync(lun.context, url->portal, url->lun) != 0)
        bench_lun_failed(&lun, text);
    iscsi_destroy_url(url);
    return lun;
}

void bench_log_out(struct bench_lun *lun)
{
    iscsi_logout_sync(lun->context);
    iscsi_destroy_context(lun->context);
}
