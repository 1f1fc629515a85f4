/* SPDX-License-Identifier: Apache-2.0 */

/* Commands that read and write in one step which nothing comes between: COMPARE AND WRITE and
 * ORWRITE, SBC-4 5.3 and 5.9. */

#include <errno.h>
#include <stdlib.h>

#include "cdb.h"
#include "cleanup.h"
#include "lun_internal.h"
#include "sense.h"

#define BYTES_AT_A_TIME 512 /* of Data-Out; divides every block size */

#define DIFFERS         1

struct comparison {
    struct iov_cursor data; /* what should be there, and behind it what is to be written */
    uint64_t offset;        /* of the first byte that differs */
};

/* The first length bytes of Data-Out against what is there; the same number behind them replace it.
 */
static int compare_and_replace(uint8_t *bytes, size_t length, void *context)
{
    struct comparison *comparison = context;

    for (size_t at = 0; at < length; at += BYTES_AT_A_TIME) {
        uint8_t expected[BYTES_AT_A_TIME];

        iov_cursor_read(&comparison->data, expected, sizeof(expected));
        for (size_t i = 0; i < sizeof(expected); i++) {
            if (bytes[at + i] != expected[i]) {
                comparison->offset = at + i;
                return DIFFERS;
            }
        }
    }
    iov_cursor_read(&comparison->data, bytes, length);
    return 0;
}

static int or_into(uint8_t *bytes, size_t length, void *context)
{
    struct iov_cursor *data = context;

    for (size_t at = 0; at < length; at += BYTES_AT_A_TIME) {
        uint8_t piece[BYTES_AT_A_TIME];

        iov_cursor_read(data, piece, sizeof(piece));
        for (size_t i = 0; i < sizeof(piece); i++)
            bytes[at + i] |= piece[i];
    }
    return 0;
}

/* volume_update with memory of its own. */
static int update(struct exec *exec, const struct lun_range *range, volume_change *change,
                  void *context, bool fua)
{
    CLEANUP_FREE uint8_t *bytes = malloc(range->length);

    if (!bytes)
        return -ENOMEM;
    exec->durable = fua || exec->lun->mode.write_through;
    return volume_update(exec->volume, range->offset, bytes, range->length, change, context,
                         exec->durable);
}

uint8_t op_compare_and_write(struct exec *exec)
{
    const struct lun_command *command = exec->command;
    struct comparison comparison = {
        .data = iov_cursor_at_start(command->data_out, command->data_out_count)};
    struct cdb_block_fields fields;
    struct lun_range range;
    uint8_t status = exec_decode_range(exec, &fields, &range);
    int result;

    if (status != SCSI_STATUS_GOOD)
        return status;
    if (!exec_data_out_is(exec, 2 * range.length))
        return exec_fail_field(exec); /* as initiators' tests expect of this command */
    if (range.length == 0)
        return SCSI_STATUS_GOOD;
    result = update(exec, &range, compare_and_replace, &comparison, fields.fua);
    if (result == DIFFERS)
        return exec_fail_sense(exec, &(struct sense){.key = SENSE_MISCOMPARE,
                                                     .asc_ascq = ASC_MISCOMPARE_DURING_VERIFY,
                                                     .information_valid = true,
                                                     .information = comparison.offset});
    return exec_result(exec, result, true);
}

uint8_t op_orwrite(struct exec *exec)
{
    const struct lun_command *command = exec->command;
    struct iov_cursor data = iov_cursor_at_start(command->data_out, command->data_out_count);
    struct cdb_block_fields fields;
    struct lun_range range;
    uint8_t status = exec_decode_range(exec, &fields, &range);

    if (status != SCSI_STATUS_GOOD)
        return status;
    if (!exec_data_out_is(exec, range.length))
        return exec_fail_length(exec);
    if (range.length == 0)
        return SCSI_STATUS_GOOD;
    return exec_result(exec, update(exec, &range, or_into, &data, fields.fua), true);
}
