/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LUN_LOG_H
#define THINMIRROR_LUN_LOG_H

/* What a logical unit logs because of a command. Any initiator can cause these messages as often as
 * it sends commands, so each kind has a limit (log_limit.h) of its own on each LUN: none keeps out
 * another. Everything that a command can reach logs through here. */

#include <pthread.h>

#include "log.h"
#include "log_limit.h"

struct lun;

enum lun_log_kind {
    LUN_LOG_READING,
    LUN_LOG_WRITING,
    LUN_LOG_FULL,
    LUN_LOG_SANITIZE,
    LUN_LOG_SANITIZE_FAILED,
    LUN_LOG_MODE_PAGES,
    LUN_LOG_THRESHOLD,
    LUN_LOG_KINDS
};

struct lun_log {
    pthread_mutex_t lock; /* guards limits; none is taken under it */
    struct log_limit limits[LUN_LOG_KINDS];
};

void lun_log_init(struct lun_log *log);
void lun_log_destroy(struct lun_log *log);

/* "LUN SERIAL: " and the message; behind it how many of its kind were left out before. */
void lun_log(struct lun *lun, enum lun_log_kind kind, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
