/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_opening.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "quiet_thread.h"

static void *open_one(void *opaque)
{
    struct endpoint_opening *opening = opaque;

    opening->result =
        endpoint_open_sessions(opening->name, opening->flags, opening->auth, opening->sessions,
                               &opening->endpoint, &opening->error);
    if (opening->result < 0)
        opening->endpoint = NULL;
    return NULL;
}

int endpoint_open_together(struct endpoint_opening openings[], size_t count)
{
    pthread_t threads[ENDPOINT_OPENINGS_MAX];
    size_t started = 1;

    if (count == 0 || count > ENDPOINT_OPENINGS_MAX)
        return -EINVAL;
    while (started < count &&
           quiet_thread_start(&threads[started], open_one, &openings[started]) == 0)
        started++;
    open_one(&openings[0]);
    /* Without threads one after the other. */
    for (size_t i = started; i < count; i++)
        open_one(&openings[i]);
    for (size_t i = 1; i < started; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < count; i++)
        if (openings[i].result < 0)
            return openings[i].result;
    return 0;
}
