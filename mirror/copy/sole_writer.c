/* SPDX-License-Identifier: Apache-2.0 */
#include "sole_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "ledger.h"

/* A name in the abstract space of UNIX sockets, where nothing is left behind. */
static socklen_t make_name(const char *identity, struct sockaddr_un *name)
{
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                       (size_t)snprintf(name->sun_path + 1, sizeof(name->sun_path) - 1,
                                        "thinmirror-sync-%016" PRIx64, ledger_hash(identity)));
}

/* The process that has the name, 0 when that cannot be told. */
static pid_t holder_of(const struct sockaddr_un *name, socklen_t length)
{
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);

    if (fd < 0 || connect(fd, (const struct sockaddr *)name, length) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return 0;
    return peer.pid;
}

int sole_writer_take(const char *identity, const char *shown, int *ret_fd, struct errmsg *err)
{
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un name;
    socklen_t length = make_name(identity, &name);
    char who[48] = "another process";
    pid_t holder;

    *ret_fd = -1;
    if (identity[0] == '\0' || fd < 0)
        return 0;
    if (bind(fd, (const struct sockaddr *)&name, length) == 0) {
        listen(fd, 8); /* only so that others can ask who this is */
        *ret_fd = TAKE_FD(fd);
        return 0;
    }
    if (errno != EADDRINUSE)
        return 0;
    holder = holder_of(&name, length);
    if (holder > 0)
        snprintf(who, sizeof(who), "process %d", (int)holder);
    return errmsg_set(err, -EBUSY, "%s: %s is copying to it already: wait until that has ended",
                      shown, who);
}
