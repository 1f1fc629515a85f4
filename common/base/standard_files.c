/* SPDX-License-Identifier: Apache-2.0 */
#include "standard_files.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int standard_files_reserve(void)
{
    for (int wanted = STDIN_FILENO; wanted <= STDERR_FILENO; wanted++) {
        if (fcntl(wanted, F_GETFD) >= 0)
            continue;
        /* The lowest number that is free, so this one. For reading only, also where it is written
         * to, and without O_CLOEXEC: programs that are started need it as well. */
        if (open("/dev/null", O_RDONLY) != wanted)
            return -errno;
    }
    return 0;
}
