/* SPDX-License-Identifier: Apache-2.0 */
#include "patience.h"

#include <stdlib.h>

#define RECONNECT_SECONDS     60
#define RECONNECT_SECONDS_MAX 86400
/* A wrong port or a wrong name of a target looks the same: nobody wants to wait a minute for it. */
#define OPEN_SECONDS 10

unsigned patience_reconnect_ms(void)
{
    const char *given = getenv("THINMIRROR_RECONNECT_SECONDS");
    unsigned long seconds = RECONNECT_SECONDS;
    char *end;

    if (given && *given >= '0' && *given <= '9') {
        seconds = strtoul(given, &end, 10);
        if (*end != '\0' || seconds > RECONNECT_SECONDS_MAX)
            seconds = RECONNECT_SECONDS;
    }
    return (unsigned)seconds * 1000;
}

unsigned patience_open_ms(void)
{
    unsigned reconnect_ms = patience_reconnect_ms();

    return reconnect_ms < OPEN_SECONDS * 1000 ? reconnect_ms : OPEN_SECONDS * 1000;
}
