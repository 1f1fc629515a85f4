/* SPDX-License-Identifier: Apache-2.0 */

/* REPORT SUPPORTED OPERATION CODES, SPC-4 6.35, and TASK MANAGEMENT FUNCTIONS, 6.36. */

#include <string.h>

#include "byteorder.h"
#include "lun_internal.h"

#define RCTD                     0x80
#define OPTION_ALL               0
#define OPTION_OPCODE            1
#define OPTION_OPCODE_AND_ACTION 2
#define OPTION_EITHER            3

#define COMMAND_DESCRIPTOR_BYTES 8
#define TIMEOUTS_BYTES           12
#define ONE_COMMAND_BYTES        4

#define COMMAND_SERVACTV         0x01
#define COMMAND_CTDP             0x02

#define ONE_CTDP                 0x80
#define ONE_UNSUPPORTED          0x01
#define ONE_SUPPORTED            0x03

/* Seconds after which it makes sense to ask what became of a command, and after which to give it
 * up. The kernel's target gives up after 30 of its own. Only what goes over a whole volume may take
 * longer where none does. */
#define NOMINAL_SECONDS          1
#define RECOMMENDED_SECONDS      30
#define LONG_NOMINAL_SECONDS     30
#define LONG_RECOMMENDED_SECONDS 3600

static bool takes_long(const struct operation *row)
{
    return row->opcode == SCSI_FORMAT_UNIT || row->opcode == SCSI_SANITIZE;
}

/* The command timeouts descriptor, SPC-4 6.35.4. */
static void add_timeouts(struct exec *exec, const struct operation *row)
{
    bool is_long = takes_long(row);
    uint8_t timeouts[TIMEOUTS_BYTES] = {0, TIMEOUTS_BYTES - 2};

    put_be32(timeouts + 4, is_long ? LONG_NOMINAL_SECONDS : NOMINAL_SECONDS);
    put_be32(timeouts + 8, is_long ? LONG_RECOMMENDED_SECONDS : RECOMMENDED_SECONDS);
    reply_add(exec, timeouts, sizeof(timeouts));
}

static uint8_t report_all(struct exec *exec, bool with_timeouts)
{
    const struct lun_ports ports = lun_ports(exec->lun);
    size_t count, there = 0;
    const struct operation *rows = operations(&count);
    size_t each = COMMAND_DESCRIPTOR_BYTES + (with_timeouts ? TIMEOUTS_BYTES : 0u);
    uint8_t header[4];

    for (size_t i = 0; i < count; i++)
        there += operation_is_there(&rows[i], &ports);
    reply_start(exec, get_be32(exec->cdb + 6));
    put_be32(header, (uint32_t)(there * each));
    reply_add(exec, header, sizeof(header));
    for (size_t i = 0; i < count; i++) {
        uint8_t descriptor[COMMAND_DESCRIPTOR_BYTES] = {rows[i].opcode};

        if (!operation_is_there(&rows[i], &ports))
            continue;
        if (rows[i].has_service_action) {
            put_be16(descriptor + 2, rows[i].service_action);
            descriptor[5] |= COMMAND_SERVACTV;
        }
        if (with_timeouts)
            descriptor[5] |= COMMAND_CTDP;
        put_be16(descriptor + 6, rows[i].cdb_bytes);
        reply_add(exec, descriptor, sizeof(descriptor));
        if (with_timeouts)
            add_timeouts(exec, &rows[i]);
    }
    return SCSI_STATUS_GOOD;
}

static uint8_t report_row(struct exec *exec, const struct operation *row, bool with_timeouts)
{
    uint8_t header[ONE_COMMAND_BYTES] = {0, ONE_UNSUPPORTED};

    reply_start(exec, get_be32(exec->cdb + 6));
    if (!row) {
        reply_add(exec, header, sizeof(header));
        return SCSI_STATUS_GOOD;
    }
    header[1] = ONE_SUPPORTED | (with_timeouts ? ONE_CTDP : 0);
    put_be16(header + 2, row->cdb_bytes);
    reply_add(exec, header, sizeof(header));
    reply_add(exec, row->usage, row->cdb_bytes);
    if (with_timeouts)
        add_timeouts(exec, row);
    return SCSI_STATUS_GOOD;
}

static uint8_t report_one(struct exec *exec, uint8_t option, bool with_timeouts)
{
    uint8_t opcode = exec->cdb[3];
    uint16_t action = get_be16(exec->cdb + 4);
    const struct lun_ports ports = lun_ports(exec->lun);
    const struct operation *match = NULL;
    bool known = false, has_actions = false;
    size_t count;
    const struct operation *rows = operations(&count);

    for (size_t i = 0; i < count; i++) {
        if (rows[i].opcode != opcode || !operation_is_there(&rows[i], &ports))
            continue;
        known = true;
        has_actions = rows[i].has_service_action;
        if (has_actions ? rows[i].service_action == action : option == OPTION_OPCODE || action == 0)
            match = &rows[i];
    }
    if (known && option == OPTION_OPCODE && has_actions)
        return exec_fail_field(exec);
    if (known && option == OPTION_OPCODE_AND_ACTION && !has_actions)
        return exec_fail_field(exec);
    return report_row(exec, match, with_timeouts);
}

uint8_t op_report_operations(struct exec *exec)
{
    uint8_t option = exec->cdb[2] & 0x07;
    bool with_timeouts = exec->cdb[2] & RCTD;

    switch (option) {
    case OPTION_ALL:
        return report_all(exec, with_timeouts);
    case OPTION_OPCODE:
    case OPTION_OPCODE_AND_ACTION:
    case OPTION_EITHER:
        return report_one(exec, option, with_timeouts);
    default:
        return exec_fail_field(exec);
    }
}

#define REPD                     0x80
#define TASK_MANAGEMENT_BYTES    4
#define TASK_MANAGEMENT_EXTENDED 16
#define TASK_ABORT               0x80 /* ATS */
#define TASK_LOGICAL_UNIT_RESET  0x08 /* LURS */

/* SPC-4 6.36. Task management is the work of the target in front of this logical unit; LIO knows
 * ABORT TASK and LOGICAL UNIT RESET and answers all others that it does not support them. */
uint8_t op_report_task_management(struct exec *exec)
{
    uint32_t allocation_length = get_be32(exec->cdb + 6);
    uint8_t bytes[TASK_MANAGEMENT_EXTENDED] = {TASK_ABORT | TASK_LOGICAL_UNIT_RESET};

    if (allocation_length < TASK_MANAGEMENT_BYTES)
        return exec_fail_field(exec);
    if (!(exec->cdb[2] & REPD))
        return reply_whole(exec, bytes, TASK_MANAGEMENT_BYTES, allocation_length);
    bytes[3] = TASK_MANAGEMENT_EXTENDED - TASK_MANAGEMENT_BYTES; /* no time limits are stated */
    return reply_whole(exec, bytes, sizeof(bytes), allocation_length);
}
