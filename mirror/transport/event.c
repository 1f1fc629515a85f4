/* SPDX-License-Identifier: Apache-2.0 */
#include "event.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int event_open(void)
{
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    return event < 0 ? -errno : event;
}

void event_raise(int event)
{
    const uint64_t one = 1;

    if (write(event, &one, sizeof(one)) < 0)
        abort(); /* it counts up to 2^64 - 2 of these */
}

void event_drain(int event)
{
    uint64_t count;

    if (read(event, &count, sizeof(count)) < 0 && errno != EAGAIN)
        abort(); /* it is no event */
}
