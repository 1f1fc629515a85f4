/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ISCSI_TASK_H
#define THINMIRROR_ISCSI_TASK_H

/* A transport's request as a task of libiscsi, and what came of it. */

#include "transport.h"

struct scsi_task;

/* With iov, which are the request's buffers, be it in other pieces, and which both keep until the
 * task has ended. At most INT_MAX bytes. The caller's, who ends it with scsi_free_scsi_task. NULL:
 * out of memory. */
struct scsi_task *iscsi_task_new(struct transport_request *request, struct iovec *iov, int count);

/* The offset of the piece of iov in which the last Data-Out PDU began. */
size_t iscsi_task_sent(const struct scsi_task *task);

/* The target has answered: status, bytes that really moved and sense data go into the request. */
void iscsi_task_result(const struct scsi_task *task, int status, struct transport_request *request);

#endif
