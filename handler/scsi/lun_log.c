/* SPDX-License-Identifier: Apache-2.0 */
#include "lun_log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "cleanup.h"
#include "lun_internal.h"

void lun_log_init(struct lun_log *log)
{
    *log = (struct lun_log){0};
    pthread_mutex_init(&log->lock, NULL);
}

void lun_log_destroy(struct lun_log *log)
{
    pthread_mutex_destroy(&log->lock);
}

static bool allows(struct lun *lun, enum lun_log_kind kind, uint64_t *ret_left_out)
{
    uint64_t now = lun_now_ms(lun);
    SCOPED_LOCK(&lun->log.lock);

    return log_limit_allows(&lun->log.limits[kind], now, ret_left_out);
}

void lun_log(struct lun *lun, enum lun_log_kind kind, enum log_level level, const char *format, ...)
{
    uint64_t left_out;
    char message[512];
    va_list list;

    if (!allows(lun, kind, &left_out))
        return;
    va_start(list, format);
    vsnprintf(message, sizeof(message), format, list);
    va_end(list);
    if (left_out > 0)
        log_message(level, "LUN %s: %s (%" PRIu64 " like it before were left out)", lun->serial,
                    message, left_out);
    else
        log_message(level, "LUN %s: %s", lun->serial, message);
}
