/* SPDX-License-Identifier: Apache-2.0 */

/* Which commands there are. A command is served if and only if it has a row here; REPORT SUPPORTED
 * OPERATION CODES reads the same rows.
 *
 * WRITE ATOMIC(16) has none, on purpose. That no other command sees half of it would be easy
 * (volume_update), but it must also be all or nothing after the machine has crashed, and a file
 * system writes a file's blocks in whatever order and number it likes. Without a journal of our own
 * the promise would be false, so VPD B0h states no atomic lengths. */

#include <string.h>

#include "byteorder.h"
#include "cdb.h"
#include "guard.h"
#include "lun_internal.h"
#include "sense.h"

#define SERVICE_ACTION_MASK 0x1F
#define SANITIZE_BITS       0xE0 /* IMMED, ZNR, AUSE */
#define CONTROL_NACA        0x04

#define DATA_OUT            OPERATION_DATA_OUT
#define WRITES              OPERATION_WRITES
#define SEES_ATTENTION      OPERATION_SEES_ATTENTION
#define WHILE_SEALED        OPERATION_WHILE_SEALED
#define QUICK               OPERATION_QUICK
#define GUARDED             OPERATION_GUARDED
#define WITH_ALUA           OPERATION_WITH_ALUA

/* clang-format off */
#define ROW(code, row_flags, function, length, ...) \
    {.opcode = (code), .flags = (row_flags), .run = (function), .cdb_bytes = (length), \
     .usage = {(code), __VA_ARGS__}}
#define ROW_ACTION(code, action, row_flags, function, length, ...) \
    {.opcode = (code), .has_service_action = true, .service_action = (action), \
     .flags = (row_flags), .run = (function), .cdb_bytes = (length), \
     .usage = {(code), (action), __VA_ARGS__}}

/* With bits of the service action's byte that are looked at too. */
#define ROW_ACTION_AND(code, action, bits, row_flags, function, length, ...) \
    {.opcode = (code), .has_service_action = true, .service_action = (action), \
     .flags = (row_flags), .run = (function), .cdb_bytes = (length), \
     .usage = {(code), (action) | (bits), __VA_ARGS__}}
#define ROW_VARIABLE(action, row_flags, function, length, ...) \
    {.opcode = SCSI_VARIABLE_LENGTH, .has_service_action = true, .service_action = (action), \
     .flags = (row_flags), .run = (function), .cdb_bytes = (length), \
     .usage = {SCSI_VARIABLE_LENGTH, CONTROL, 0, 0, 0, 0, 0, 0xFF, (action) >> 8, (action) & 0xFF, \
               __VA_ARGS__}}

/* What the target in front serves, for REPORT SUPPORTED OPERATION CODES. */
#define BY_TARGET(code, length, ...) ROW(code, OPERATION_BY_TARGET, NULL, length, __VA_ARGS__)
#define BY_TARGET_ACTION(code, action, length, ...) \
    ROW_ACTION(code, action, OPERATION_BY_TARGET, NULL, length, __VA_ARGS__)
#define RESERVE_IN(action) \
    BY_TARGET_ACTION(SCSI_PERSISTENT_RESERVE_IN, action, 10, 0, 0, 0, 0, 0, FF2, CONTROL)
#define RESERVE_OUT(action) \
    BY_TARGET_ACTION(SCSI_PERSISTENT_RESERVE_OUT, action, 10, 0xFF, 0, 0, FF4, CONTROL)

#define FF2 0xFF, 0xFF
#define FF4 FF2, FF2
#define FF8 FF4, FF4
#define CONTROL CONTROL_NACA

static const struct operation table[] = {
    ROW(SCSI_TEST_UNIT_READY, QUICK, op_test_unit_ready, 6, 0, 0, 0, 0, CONTROL),
    ROW(SCSI_REQUEST_SENSE, SEES_ATTENTION | WHILE_SEALED | QUICK, op_request_sense, 6, 0x01, 0, 0, 0xFF, CONTROL),
    ROW(SCSI_FORMAT_UNIT, DATA_OUT | WRITES | GUARDED, op_format_unit, 6, 0xFF, 0, 0, 0x03, CONTROL),
    ROW(SCSI_READ_6, QUICK, op_read, 6, 0x1F, FF2, 0xFF, CONTROL),
    ROW(SCSI_WRITE_6, DATA_OUT | WRITES | QUICK, op_write, 6, 0x1F, FF2, 0xFF, CONTROL),
    ROW(SCSI_INQUIRY, SEES_ATTENTION | WHILE_SEALED | QUICK, op_inquiry, 6, 0x01, 0xFF, FF2, CONTROL),
    ROW(SCSI_MODE_SELECT_6, DATA_OUT, op_mode_select_6, 6, 0x11, 0, 0, 0xFF, CONTROL),
    BY_TARGET(SCSI_RESERVE_6, 6, 0, 0, 0, 0, CONTROL),
    BY_TARGET(SCSI_RELEASE_6, 6, 0, 0, 0, 0, CONTROL),
    ROW(SCSI_MODE_SENSE_6, QUICK, op_mode_sense_6, 6, 0x08, 0xFF, 0xFF, 0xFF, CONTROL),
    ROW(SCSI_START_STOP_UNIT, 0, op_start_stop_unit, 6, 0x01, 0, 0, 0xF7, CONTROL),
    ROW(SCSI_SEND_DIAGNOSTIC, 0, op_send_diagnostic, 6, 0xF7, 0, FF2, CONTROL),
    ROW(SCSI_READ_CAPACITY_10, QUICK, op_read_capacity_10, 10, 0, 0, 0, 0, 0, 0, 0, 0, CONTROL),
    ROW(SCSI_READ_10, QUICK, op_read, 10, 0xF8, FF4, 0, FF2, CONTROL),
    ROW(SCSI_WRITE_10, DATA_OUT | WRITES | QUICK, op_write, 10, 0xF8, FF4, 0, FF2, CONTROL),
    ROW(SCSI_WRITE_AND_VERIFY_10, DATA_OUT | WRITES, op_write_and_verify, 10, 0xF6, FF4, 0, FF2,
        CONTROL),
    ROW(SCSI_VERIFY_10, DATA_OUT, op_verify, 10, 0xF6, FF4, 0, FF2, CONTROL),
    ROW(SCSI_PRE_FETCH_10, 0, op_pre_fetch, 10, 0x02, FF4, 0, FF2, CONTROL),
    ROW(SCSI_SYNCHRONIZE_CACHE_10, 0, op_synchronize_cache, 10, 0x02, FF4, 0, FF2, CONTROL),
    ROW(SCSI_READ_DEFECT_DATA_10, 0, op_read_defect_data_10, 10, 0, 0x1F, 0, 0, 0, 0, FF2, CONTROL),
    ROW(SCSI_READ_BUFFER_10, 0, op_read_buffer, 10, 0xFF, 0xFF, FF2, 0xFF, FF2, 0xFF, CONTROL),
    ROW(SCSI_WRITE_SAME_10, DATA_OUT | WRITES, op_write_same, 10, 0xFE, FF4, 0, FF2, CONTROL),
    ROW(SCSI_UNMAP, DATA_OUT | WRITES, op_unmap, 10, 0x01, 0, 0, 0, 0, 0, FF2, CONTROL),
    ROW_ACTION_AND(SCSI_SANITIZE, SCSI_SA_SANITIZE_OVERWRITE, SANITIZE_BITS,
                   DATA_OUT | WRITES | WHILE_SEALED, op_sanitize_overwrite, 10, 0, 0, 0, 0, 0, FF2,
                   CONTROL),
    ROW_ACTION_AND(SCSI_SANITIZE, SCSI_SA_SANITIZE_BLOCK_ERASE, SANITIZE_BITS,
                   WRITES | WHILE_SEALED | GUARDED, op_sanitize_block_erase, 10, 0, 0, 0, 0, 0, FF2,
                   CONTROL),
    ROW_ACTION_AND(SCSI_SANITIZE, SCSI_SA_SANITIZE_EXIT_FAILURE_MODE, SANITIZE_BITS,
                   WRITES | WHILE_SEALED | GUARDED, op_sanitize_exit_failure_mode, 10, 0, 0, 0, 0,
                   0, FF2, CONTROL),
    ROW(SCSI_LOG_SENSE, 0, op_log_sense, 10, 0x03, 0xFF, 0xFF, 0, FF2, FF2, CONTROL),
    ROW(SCSI_MODE_SELECT_10, DATA_OUT, op_mode_select_10, 10, 0x11, 0, 0, 0, 0, 0, FF2, CONTROL),
    BY_TARGET(SCSI_RESERVE_10, 10, 0, 0, 0, 0, 0, 0, 0, 0, CONTROL),
    BY_TARGET(SCSI_RELEASE_10, 10, 0, 0, 0, 0, 0, 0, 0, 0, CONTROL),
    ROW(SCSI_MODE_SENSE_10, QUICK, op_mode_sense_10, 10, 0x18, 0xFF, 0xFF, 0, 0, 0, FF2, CONTROL),
    RESERVE_IN(0), /* READ KEYS */
    RESERVE_IN(1), /* READ RESERVATION */
    RESERVE_IN(2), /* REPORT CAPABILITIES */
    RESERVE_IN(3), /* READ FULL STATUS */
    RESERVE_OUT(0), /* REGISTER */
    RESERVE_OUT(1), /* RESERVE */
    RESERVE_OUT(2), /* RELEASE */
    RESERVE_OUT(3), /* CLEAR */
    RESERVE_OUT(4), /* PREEMPT */
    RESERVE_OUT(5), /* PREEMPT AND ABORT */
    RESERVE_OUT(6), /* REGISTER AND IGNORE EXISTING KEY */
    RESERVE_OUT(7), /* REGISTER AND MOVE */
    ROW_VARIABLE(SCSI_SA_GET_LBA_STATUS_32, 0, op_get_lba_status_32, 32, 0xFF, 0, FF8, FF4, FF4,
                 FF4),
    ROW_ACTION(SCSI_THIRD_PARTY_COPY_OUT, SCSI_SA_EXTENDED_COPY_LID1, DATA_OUT, op_extended_copy, 16,
               0, 0, 0, 0, 0, 0, 0, 0, FF4, 0, CONTROL),
    ROW_ACTION(SCSI_THIRD_PARTY_COPY_OUT, SCSI_SA_POPULATE_TOKEN, DATA_OUT, op_populate_token, 16,
               0, 0, 0, 0, FF4, FF4, 0, CONTROL),
    ROW_ACTION(SCSI_THIRD_PARTY_COPY_OUT, SCSI_SA_WRITE_USING_TOKEN, DATA_OUT | WRITES,
               op_write_using_token, 16, 0, 0, 0, 0, FF4, FF4, 0, CONTROL),
    ROW_ACTION(SCSI_THIRD_PARTY_COPY_IN, SCSI_SA_RECEIVE_COPY_STATUS_LID1, 0,
               op_receive_copy_status, 16, 0xFF, 0, 0, 0, 0, 0, 0, 0, FF4, 0, CONTROL),
    ROW_ACTION(SCSI_THIRD_PARTY_COPY_IN, SCSI_SA_RECEIVE_COPY_DATA_LID1, 0, op_receive_copy_data,
               16, 0xFF, 0, 0, 0, 0, 0, 0, 0, FF4, 0, CONTROL),
    ROW_ACTION(SCSI_THIRD_PARTY_COPY_IN, SCSI_SA_RECEIVE_COPY_OPERATING_PARAMETERS, 0,
               op_receive_copy_parameters, 16, 0, 0, 0, 0, 0, 0, 0, 0, FF4, 0, CONTROL),
    ROW_ACTION(SCSI_THIRD_PARTY_COPY_IN, SCSI_SA_RECEIVE_COPY_FAILURE_DETAILS_LID1, 0,
               op_receive_copy_failure, 16, 0xFF, 0, 0, 0, 0, 0, 0, 0, FF4, 0, CONTROL),
    ROW_ACTION(SCSI_THIRD_PARTY_COPY_IN, SCSI_SA_RECEIVE_ROD_TOKEN_INFORMATION, 0,
               op_receive_rod_token_information, 16, FF4, 0, 0, 0, 0, FF4, 0, CONTROL),
    ROW(SCSI_READ_16, QUICK, op_read, 16, 0xF8, FF8, FF4, 0, CONTROL),
    ROW(SCSI_COMPARE_AND_WRITE, DATA_OUT | WRITES, op_compare_and_write, 16, 0xF8, FF8, 0, 0, 0,
        0xFF, 0, CONTROL),
    ROW(SCSI_WRITE_16, DATA_OUT | WRITES | QUICK, op_write, 16, 0xF8, FF8, FF4, 0, CONTROL),
    ROW(SCSI_ORWRITE_16, DATA_OUT | WRITES, op_orwrite, 16, 0xF8, FF8, FF4, 0, CONTROL),
    ROW(SCSI_WRITE_AND_VERIFY_16, DATA_OUT | WRITES, op_write_and_verify, 16, 0xF6, FF8, FF4, 0,
        CONTROL),
    ROW(SCSI_VERIFY_16, DATA_OUT, op_verify, 16, 0xF6, FF8, FF4, 0, CONTROL),
    ROW(SCSI_PRE_FETCH_16, 0, op_pre_fetch, 16, 0x02, FF8, FF4, 0, CONTROL),
    ROW(SCSI_SYNCHRONIZE_CACHE_16, 0, op_synchronize_cache, 16, 0x02, FF8, FF4, 0, CONTROL),
    ROW(SCSI_WRITE_SAME_16, DATA_OUT | WRITES | GUARDED, op_write_same, 16, 0xFF, FF8, FF4, 0,
        CONTROL),
    ROW(SCSI_READ_BUFFER_16, 0, op_read_buffer_16, 16, 0xFF, FF8, FF4, 0xFF, CONTROL),
    ROW_ACTION(SCSI_SERVICE_ACTION_IN_16, SCSI_SA_READ_CAPACITY_16, QUICK, op_read_capacity_16, 16,
               0, 0, 0, 0, 0, 0, 0, 0, FF4, 0, CONTROL),
    ROW_ACTION(SCSI_SERVICE_ACTION_IN_16, SCSI_SA_GET_LBA_STATUS_16, 0, op_get_lba_status_16, 16,
               FF8, FF4, 0xFF, CONTROL),
    BY_TARGET(SCSI_REPORT_LUNS, 12, 0, 0xFF, 0, 0, 0, FF4, 0, CONTROL),
    ROW_ACTION_AND(SCSI_MAINTENANCE_IN, SCSI_SA_REPORT_TARGET_PORT_GROUPS, 0xE0,
                   WHILE_SEALED | WITH_ALUA, op_report_port_groups, 12, 0, 0, 0, 0, FF4, 0, CONTROL),
    ROW_ACTION(SCSI_MAINTENANCE_IN, SCSI_SA_REPORT_SUPPORTED_OPERATION_CODES, WHILE_SEALED,
               op_report_operations, 12, 0x87, 0xFF, FF2, FF4, 0, CONTROL),
    ROW_ACTION(SCSI_MAINTENANCE_IN, SCSI_SA_REPORT_TASK_MANAGEMENT_FUNCTIONS, 0,
               op_report_task_management, 12, 0x80, 0, 0, 0, FF4, 0, CONTROL),
    ROW(SCSI_READ_12, QUICK, op_read, 12, 0xF8, FF4, FF4, 0, CONTROL),
    ROW(SCSI_WRITE_12, DATA_OUT | WRITES | QUICK, op_write, 12, 0xF8, FF4, FF4, 0, CONTROL),
    ROW(SCSI_WRITE_AND_VERIFY_12, DATA_OUT | WRITES, op_write_and_verify, 12, 0xF6, FF4, FF4, 0,
        CONTROL),
    ROW(SCSI_VERIFY_12, DATA_OUT, op_verify, 12, 0xF6, FF4, FF4, 0, CONTROL),
    ROW(SCSI_READ_DEFECT_DATA_12, 0, op_read_defect_data_12, 12, 0x1F, FF4, FF4, 0, CONTROL),
};
/* clang-format on */

#define ROWS (sizeof(table) / sizeof(table[0]))

const struct operation *operations(size_t *ret_count)
{
    *ret_count = ROWS;
    return table;
}

bool operation_is_there(const struct operation *row, const struct lun_ports *ports)
{
    if (row->flags & OPERATION_BY_TARGET)
        return ports->reservations;
    return !(row->flags & WITH_ALUA) || ports->alua;
}

static uint16_t service_action_of(const uint8_t *cdb)
{
    return cdb[0] == SCSI_VARIABLE_LENGTH ? get_be16(cdb + 8) : cdb[1] & SERVICE_ACTION_MASK;
}

static uint8_t control_of(const struct operation *row, const uint8_t *cdb)
{
    return cdb[row->opcode == SCSI_VARIABLE_LENGTH ? 1 : row->cdb_bytes - 1];
}

/* The first row whose operation code is not below this one. */
static size_t first_row(uint8_t opcode)
{
    size_t low = 0, high = ROWS;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (table[middle].opcode < opcode)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The row for the CDB, or NULL; *ret_asc_ascq is why there is none. */
static const struct operation *find(const struct lun_command *command,
                                    enum scsi_asc_ascq *ret_asc_ascq)
{
    const uint8_t *cdb = command->cdb;

    *ret_asc_ascq = ASC_INVALID_OPERATION_CODE;
    if (command->cdb_length < 6)
        return NULL;
    for (size_t i = first_row(cdb[0]); i < ROWS && table[i].opcode == cdb[0]; i++) {
        const struct operation *row = &table[i];

        if (!row->run)
            continue;
        if (row->cdb_bytes > command->cdb_length) {
            if (row->opcode == SCSI_VARIABLE_LENGTH) /* its ADDITIONAL CDB LENGTH says so */
                *ret_asc_ascq = ASC_INVALID_FIELD_IN_CDB;
            continue;
        }
        if (!row->has_service_action || row->service_action == service_action_of(cdb))
            return row;
        *ret_asc_ascq = ASC_INVALID_FIELD_IN_CDB;
    }
    return NULL;
}

/* What takes space and not as many bytes of Data-Out: as much as a command may take. */
static uint64_t bytes_to_note(const struct exec *exec, const struct operation *row)
{
    if (row->run != op_write)
        return LUN_MAX_TRANSFER_BYTES;
    return iov_total(exec->command->data_out, exec->command->data_out_count);
}

static uint8_t run_writing(struct exec *exec, const struct operation *row)
{
    enum scsi_asc_ascq protection = lun_write_protection(exec->lun);
    uint8_t status;
    int error;

    if (protection != ASC_NONE)
        return exec_fail(exec, SENSE_DATA_PROTECT, protection);
    status = row->run(exec);
    error = lun_end_write(exec->lun, 0, exec->durable || status != SCSI_STATUS_GOOD,
                          bytes_to_note(exec, row));
    return error ? exec_result(exec, error, true) : status;
}

static uint8_t run(struct exec *exec, const struct operation *row)
{
    struct sense attention;
    uint8_t status;

    if (control_of(row, exec->cdb) & CONTROL_NACA)
        return exec_fail_field(exec);
    if (row->flags & GUARDED) { /* before a unit attention is taken, as the kernel does it */
        status = guard_check(exec);
        if (status != SCSI_STATUS_GOOD)
            return status;
    }
    if (!(row->flags & SEES_ATTENTION) && lun_take_attention(exec->lun, &attention))
        return exec_fail_sense(exec, &attention);
    if (!(row->flags & WHILE_SEALED) && lun_is_sealed(exec->lun))
        return exec_fail_sealed(exec);
    if (row->flags & WRITES)
        return run_writing(exec, row);
    status = row->run(exec);
    if (status != LUN_WOULD_WAIT)
        lun_end_other(exec->lun);
    return status;
}

/* Nothing an earlier command left in the buffers may reach the initiator. */
static void clear_rest_of_data_in(struct lun_command *command)
{
    struct iov_cursor cursor = iov_cursor_at_start(command->data_in, command->data_in_count);

    iov_cursor_skip(&cursor, command->data_in_bytes);
    iov_cursor_zero(&cursor, SIZE_MAX);
}

uint8_t lun_execute(struct lun *lun, struct lun_command *command)
{
    struct exec exec = {.lun = lun, .volume = lun->volume, .command = command, .cdb = command->cdb};
    enum scsi_asc_ascq reason;
    const struct operation *row = find(command, &reason);
    uint8_t status;

    memset(command->sense, 0, LUN_SENSE_BYTES);
    command->data_in_bytes = 0;
    if (row && command->patience != LUN_WAITS && !(row->flags & QUICK))
        return LUN_WOULD_WAIT;
    status = row ? run(&exec, row) : exec_fail(&exec, SENSE_ILLEGAL_REQUEST, reason);
    if (status == LUN_WOULD_WAIT)
        return status;
    if (status != SCSI_STATUS_GOOD)
        command->data_in_bytes = 0;
    /* Where one set of buffers stands for both directions it is Data-Out here. */
    if (!row || !(row->flags & DATA_OUT) || command->data_in != command->data_out)
        clear_rest_of_data_in(command);
    return status;
}
