/* SPDX-License-Identifier: Apache-2.0 */
#include "scsi_outcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cdb.h"
#include "scsi_defs.h"

_Static_assert(TRANSPORT_CDB_BYTES == SCSI_CDB_MAX_BYTES, "one size of CDB");
_Static_assert(TRANSPORT_SENSE_BYTES == SENSE_MAX_BYTES, "one size of sense data");

#define ASC_BECOMING_READY 0x0401

static struct outcome failed(int error)
{
    return (struct outcome){.verdict = VERDICT_FAILED, .error = error};
}

static enum verdict verdict_of_illegal_request(const struct sense *sense)
{
    switch (sense->asc_ascq) {
    case ASC_INVALID_OPERATION_CODE:
    case ASC_INVALID_FIELD_IN_CDB:
        return VERDICT_UNSUPPORTED;
    default:
        return VERDICT_FAILED;
    }
}

static int error_of_illegal_request(const struct sense *sense)
{
    switch (sense->asc_ascq) {
    case ASC_INVALID_OPERATION_CODE:
    case ASC_INVALID_FIELD_IN_CDB:
        return -EOPNOTSUPP;
    case ASC_LUN_NOT_SUPPORTED:
        return -ENODEV;
    default:
        return -EIO;
    }
}

static void judge_sense(struct outcome *outcome)
{
    const struct sense *sense = &outcome->sense;

    outcome->verdict = VERDICT_FAILED;
    outcome->error = -EIO;
    /* It tells that an earlier command failed after all, whose end was good. */
    if (sense->deferred) {
        outcome->error = -EREMOTEIO;
        return;
    }
    switch (sense->key) {
    case SENSE_NO_SENSE:
    case SENSE_RECOVERED_ERROR:
        outcome->verdict = VERDICT_GOOD;
        outcome->error = 0;
        break;
    case SENSE_NOT_READY:
        if (sense->asc_ascq == ASC_BECOMING_READY)
            outcome->verdict = VERDICT_BUSY;
        break;
    case SENSE_ILLEGAL_REQUEST:
        outcome->verdict = verdict_of_illegal_request(sense);
        outcome->error = error_of_illegal_request(sense);
        break;
    case SENSE_UNIT_ATTENTION:
        outcome->verdict = VERDICT_ATTENTION;
        break;
    case SENSE_DATA_PROTECT:
        outcome->error =
            sense->asc_ascq == ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT ? -ENOSPC : -EROFS;
        break;
    case SENSE_ABORTED_COMMAND:
        outcome->verdict = VERDICT_BUSY;
        break;
    default:
        break;
    }
}

struct outcome scsi_outcome(const struct transport_request *request)
{
    struct outcome outcome = {.verdict = VERDICT_GOOD};

    if (request->result == -EPERM) /* this process may not send such a command (SG_IO) */
        return (struct outcome){.verdict = VERDICT_UNSUPPORTED, .error = -EPERM};
    if (request->result < 0)
        return failed(request->result);
    switch (request->status) {
    case SCSI_STATUS_GOOD:
    case SCSI_STATUS_CONDITION_MET:
        return outcome;
    case SCSI_STATUS_BUSY:
    case SCSI_STATUS_TASK_SET_FULL:
    case SCSI_STATUS_TASK_ABORTED:
        return (struct outcome){.verdict = VERDICT_BUSY, .error = -EIO};
    case SCSI_STATUS_CHECK_CONDITION:
        if (sense_decode(request->sense, request->sense_length, &outcome.sense) < 0)
            return failed(-EIO);
        outcome.has_sense = true;
        judge_sense(&outcome);
        return outcome;
    case SCSI_STATUS_RESERVATION_CONFLICT: /* as Linux calls it; only its holder can end it */
        return failed(-EBADE);
    default:
        return failed(-EIO);
    }
}

static const char *status_text(uint8_t status)
{
    switch (status) {
    case SCSI_STATUS_GOOD:
        return "less data was moved than asked for";
    case SCSI_STATUS_CHECK_CONDITION:
        return "check condition without sense data";
    case SCSI_STATUS_BUSY:
        return "the target stays busy";
    case SCSI_STATUS_TASK_SET_FULL:
        return "the target's queue stays full";
    case SCSI_STATUS_TASK_ABORTED:
        return "aborted by another initiator again and again";
    default:
        return "an unknown SCSI status";
    }
}

/* "READ(16) of 8 blocks at LBA 4096" */
static void describe_command(const struct transport_request *request, char *buffer, size_t size)
{
    char unknown[32];
    const char *name = cdb_name(request->cdb, unknown, sizeof(unknown));
    struct cdb_block_fields fields;

    if (cdb_decode_block_fields(request->cdb, &fields) == 0 && fields.blocks > 0)
        snprintf(buffer, size, "%s of %u block%s at LBA %llu", name, fields.blocks,
                 fields.blocks == 1 ? "" : "s", (unsigned long long)fields.lba);
    else
        snprintf(buffer, size, "%s", name);
}

const char *scsi_outcome_describe(const struct outcome *outcome,
                                  const struct transport_request *request, char *buffer,
                                  size_t size)
{
    char command[96], sense[128];

    describe_command(request, command, sizeof(command));
    if (request->result == -ENOTCONN || request->result == -ECONNRESET)
        snprintf(buffer, size, "the connection to the target is lost (during %s)", command);
    else if (request->result == -ETIMEDOUT)
        snprintf(buffer, size, "the target has not answered in time, %s is given up", command);
    else if (request->result == -ENOENT)
        snprintf(buffer, size, "somebody has deleted the file");
    else if (request->result < 0)
        snprintf(buffer, size, "%s failed: %s", command, strerror(-request->result));
    else if (outcome->has_sense && outcome->sense.deferred)
        snprintf(buffer, size, "an earlier write has failed after all: %s",
                 sense_describe(&outcome->sense, sense, sizeof(sense)));
    else if (outcome->has_sense)
        snprintf(buffer, size, "%s failed: %s", command,
                 sense_describe(&outcome->sense, sense, sizeof(sense)));
    else if (request->status == SCSI_STATUS_RESERVATION_CONFLICT)
        snprintf(buffer, size,
                 "another initiator has reserved the logical unit, so %s is refused (reservation "
                 "conflict)",
                 command);
    else
        snprintf(buffer, size, "%s failed: %s", command, status_text(request->status));
    return buffer;
}
