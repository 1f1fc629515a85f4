/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_LOG_LIMIT_H
#define THINMIRROR_BASE_LOG_LIMIT_H

/* How many messages of one kind may be logged: LOG_LIMIT_BURST at once, and one every
 * LOG_LIMIT_INTERVAL_MS in the long run. Pure: the caller brings the time and a lock. */

#include <stdbool.h>
#include <stdint.h>

#define LOG_LIMIT_BURST       10
#define LOG_LIMIT_INTERVAL_MS 10000

/* All zeros at first. */
struct log_limit {
    uint64_t full_at_ms; /* when there is room for a whole burst again */
    uint64_t left_out;   /* since the last message that was allowed */
};

/* Whether a message may be logged now; *ret_left_out: how many were not since the last one that
 * was. now_ms: never goes back. */
bool log_limit_allows(struct log_limit *limit, uint64_t now_ms, uint64_t *ret_left_out);

#endif
