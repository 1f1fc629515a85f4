/* SPDX-License-Identifier: Apache-2.0 */
#include "iscsi_task.h"

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <string.h>

/* libiscsi hands sense data over as it came: two bytes of length, then the data (RFC 7143 11.4.7).
 */
static void take_sense(const struct scsi_task *task, struct transport_request *request)
{
    const unsigned char *data = task->datain.data;
    size_t length;

    if (!data || task->datain.size < 2)
        return;
    length = (size_t)data[0] << 8 | data[1];
    if (length > (size_t)task->datain.size - 2)
        length = (size_t)task->datain.size - 2;
    if (length > sizeof(request->sense))
        length = sizeof(request->sense);
    memcpy(request->sense, data + 2, length);
    request->sense_length = length;
}

void iscsi_task_result(const struct scsi_task *task, int status, struct transport_request *request)
{
    size_t expected = (size_t)task->expxferlen;

    request->status = (uint8_t)status;
    request->transferred = expected;
    if (task->residual_status == SCSI_RESIDUAL_UNDERFLOW)
        request->transferred = task->residual < expected ? expected - task->residual : 0;
    if (status == SCSI_STATUS_CHECK_CONDITION)
        take_sense(task, request);
}

static int transfer_direction(enum transport_direction direction)
{
    switch (direction) {
    case TRANSPORT_DATA_IN:
        return SCSI_XFER_READ;
    case TRANSPORT_DATA_OUT:
        return SCSI_XFER_WRITE;
    case TRANSPORT_NO_DATA:
        break;
    }
    return SCSI_XFER_NONE;
}

/* struct scsi_iovec is a struct iovec by contract. While a task runs libiscsi changes an entry for
 * the time of a system call, so no two requests in flight may share an array. */
static void attach_buffers(struct scsi_task *task, enum transport_direction direction,
                           struct iovec *pieces, int count)
{
    struct scsi_iovec *iov = (struct scsi_iovec *)pieces;

    if (direction == TRANSPORT_DATA_IN)
        scsi_task_set_iov_in(task, iov, count);
    else if (direction == TRANSPORT_DATA_OUT)
        scsi_task_set_iov_out(task, iov, count);
}

size_t iscsi_task_sent(const struct scsi_task *task)
{
    return task->iovector_out.offset;
}

struct scsi_task *iscsi_task_new(struct transport_request *request, struct iovec *iov, int count)
{
    struct scsi_task *task = scsi_create_task((int)request->cdb_length, request->cdb,
                                              transfer_direction(request->direction),
                                              (int)transport_data_bytes(request));

    if (task)
        attach_buffers(task, request->direction, iov, count);
    return task;
}
