/* SPDX-License-Identifier: Apache-2.0 */
#include "log_limit.h"

/* Each message moves full_at_ms on by one interval; it may lie at most a burst's intervals ahead.
 */
bool log_limit_allows(struct log_limit *limit, uint64_t now_ms, uint64_t *ret_left_out)
{
    uint64_t from = limit->full_at_ms > now_ms ? limit->full_at_ms : now_ms;

    if (from - now_ms > (LOG_LIMIT_BURST - 1) * (uint64_t)LOG_LIMIT_INTERVAL_MS) {
        limit->left_out++;
        return false;
    }
    limit->full_at_ms = from + LOG_LIMIT_INTERVAL_MS;
    *ret_left_out = limit->left_out;
    limit->left_out = 0;
    return true;
}
