/* SPDX-License-Identifier: Apache-2.0 */
#include "patience.h"

#include <stdlib.h>

#define RECONNECT_SECONDS 60
/* A wrong port or a wrong name of a target looks the same, and must not take a minute to be told.
 */
#define OPEN_SECONDS 10

/* Of the environment, or the usual; false: it makes no sense. */
static bool read_seconds(unsigned long *ret)
{
    const char *given = getenv("THINMIRROR_RECONNECT_SECONDS");
    unsigned long seconds;
    char *end;

    *ret = RECONNECT_SECONDS;
    if (!given || !given[0])
        return true;
    seconds = strtoul(given, &end, 10);
    if (*given < '0' || *given > '9' || *end != '\0' || seconds > RECONNECT_SECONDS_MAX)
        return false;
    *ret = seconds;
    return true;
}

bool patience_is_valid(void)
{
    unsigned long ignored;

    return read_seconds(&ignored);
}

unsigned patience_reconnect_ms(void)
{
    unsigned long seconds;

    read_seconds(&seconds);
    return (unsigned)seconds * 1000;
}

unsigned patience_open_ms(void)
{
    unsigned reconnect_ms = patience_reconnect_ms();

    return reconnect_ms < OPEN_SECONDS * 1000 ? reconnect_ms : OPEN_SECONDS * 1000;
}
