/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_wait.h"

#include <errno.h>
#include <string.h>

/* How long a signal may go unnoticed that came just before the waiting began. */
#define WAIT_MS 200

int copy_wait(const struct copy_side sides[2], bool draining, int delay_ms, struct errmsg *err)
{
    struct endpoint *waiting[2];
    size_t count = 0;
    bool busy = false;
    int r;

    for (int i = 0; i < 2; i++) {
        busy = busy || sides[i].busy;
        if (sides[i].endpoint && (sides[i].busy || !draining))
            waiting[count++] = sides[i].endpoint;
    }
    if (!busy && (draining || delay_ms == 0))
        return 0;
    if (delay_ms == 0 || delay_ms > WAIT_MS)
        delay_ms = WAIT_MS;
    r = endpoint_wait(waiting, count, delay_ms);
    if (r >= 0 || r == -EINTR)
        return 0;
    return errmsg_set(err, r, "lost the connection to %s%s%s: %s", waiting[0]->info.name,
                      count > 1 ? " or " : "", count > 1 ? waiting[1]->info.name : "",
                      strerror(-r));
}
