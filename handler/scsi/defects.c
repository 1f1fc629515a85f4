/* SPDX-License-Identifier: Apache-2.0 */

/* READ DEFECT DATA(10) and (12), SBC-4 5.21 and 5.22. A volume has no blocks that were found bad
 * when it was made or since: what lies beneath it sees to that. Both lists are there, and empty. */

#include "byteorder.h"
#include "lun_internal.h"

/* REQ_PLIST and REQ_GLIST; the reply's PLISTV and GLISTV have the same bits. */
#define LISTS  0x18
#define FORMAT 0x07

/* Formats 110b and 111b are vendor specific and reserved. */
#define FORMAT_LAST_STANDARD 0x05

static uint8_t reply_empty(struct exec *exec, uint8_t asked, size_t length,
                           uint32_t allocation_length)
{
    uint8_t header[8] = {0, asked & (LISTS | FORMAT)};

    if ((asked & FORMAT) > FORMAT_LAST_STANDARD)
        return exec_fail_field(exec);
    return reply_whole(exec, header, length, allocation_length);
}

uint8_t op_read_defect_data_10(struct exec *exec)
{
    return reply_empty(exec, exec->cdb[2], 4, get_be16(exec->cdb + 7));
}

uint8_t op_read_defect_data_12(struct exec *exec)
{
    return reply_empty(exec, exec->cdb[1], 8, get_be32(exec->cdb + 6));
}
