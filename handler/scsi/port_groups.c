/* SPDX-License-Identifier: Apache-2.0 */

/* REPORT TARGET PORT GROUPS, SPC-4 6.37: what the target in front shows of its one group. */

#include "byteorder.h"
#include "lun_internal.h"

#define FORMAT_SHIFT 5 /* PARAMETER DATA FORMAT */
#define LENGTH_ONLY  0
#define EXTENDED     1
#define GROUP_BYTES  8
#define PORT_BYTES   4
#define PREFERRED    0x80

uint8_t op_report_port_groups(struct exec *exec)
{
    const struct lun_ports ports = lun_ports(exec->lun);
    uint8_t format = exec->cdb[1] >> FORMAT_SHIFT;
    uint8_t header[8] = {0}, group[GROUP_BYTES] = {0};
    size_t header_bytes = format == EXTENDED ? 8 : 4;

    if (!ports.alua || format > EXTENDED)
        return exec_fail_field(exec);
    put_be32(header, (uint32_t)(header_bytes - 4 + GROUP_BYTES + PORT_BYTES * ports.count));
    header[4] = EXTENDED << 4; /* FORMAT TYPE */
    header[5] = ports.transition_seconds;
    group[0] = (uint8_t)((ports.preferred ? PREFERRED : 0) | (ports.state & 0x0F));
    group[1] = ports.supported;
    put_be16(group + 2, ports.group);
    group[5] = ports.status;
    group[7] = (uint8_t)ports.count;
    reply_start(exec, get_be32(exec->cdb + 6));
    reply_add(exec, header, header_bytes);
    reply_add(exec, group, sizeof(group));
    for (unsigned i = 0; i < ports.count; i++) {
        uint8_t port[PORT_BYTES] = {0};

        put_be16(port + 2, ports.ids[i]);
        reply_add(exec, port, sizeof(port));
    }
    return SCSI_STATUS_GOOD;
}
