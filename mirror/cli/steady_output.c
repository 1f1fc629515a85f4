/* SPDX-License-Identifier: Apache-2.0 */
#include "steady_output.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "checked.h"

static bool interrupted; /* a signal has ended a write */
static int failure;      /* errno; 0: none */

/* Whether the reader takes something in time; another signal begins that time anew. */
static bool wait_for_reader(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    int r;

    do {
        r = poll(&out, 1, STEADY_OUTPUT_MS);
    } while (r < 0 && errno == EINTR);
    return r > 0;
}

/* From the first interruption on it writes no more than what a pipe that is writable takes without
 * waiting. */
static ssize_t write_some(const char *data, size_t length)
{
    if (interrupted && !wait_for_reader()) {
        errno = EINTR;
        return -1;
    }
    return write(STDOUT_FILENO, data, interrupted ? min_u64(length, PIPE_BUF) : length);
}

static ssize_t write_all(void *cookie, const char *data, size_t length)
{
    size_t done = 0;

    (void)cookie;
    while (done < length && !failure) {
        ssize_t n = write_some(data + done, length - done);

        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno == EINTR && !interrupted)
            interrupted = true;
        else
            failure = n < 0 ? errno : EIO;
    }
    if (failure)
        errno = failure;
    return done == length ? (ssize_t)done : 0;
}

void steady_output_begin(void)
{
    FILE *steady = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_all});

    if (!steady)
        return;
    setvbuf(steady, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, BUFSIZ);
    stdout = steady;
}
