/* SPDX-License-Identifier: Apache-2.0 */
#include "tcp_progress.h"

/* Not netinet/tcp.h, whose struct tcp_info is an older one. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

bool tcp_acknowledged(int fd, uint64_t *ret)
{
    struct tcp_info info;
    socklen_t length = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 ||
        length < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
        return false;
    *ret = info.tcpi_bytes_acked;
    return true;
}
