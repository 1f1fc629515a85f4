/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ISCSI_ARRIVAL_H
#define THINMIRROR_ISCSI_ARRIVAL_H

/* Which of a command's data really came, or was really taken. A target that ends a command with
 * GOOD and without a residual says that all of it was moved; libiscsi does not look whether it was,
 * nor tell.
 *
 * Data-In: the buffers are filled with a mark beforehand, and where the mark is still there,
 * nothing came; or the data just look like that, so the command is sent once more with the
 * complement of the mark, which the same data cannot look like.
 *
 * Data-Out: libiscsi remembers in which entry of the list of buffers its last Data-Out PDU began.
 * The data go out in order (DataPDUInOrder, DataSequenceInOrder, RFC 7143 13.18 and 13.19), so
 * nothing was sent behind that PDU, whose length is limited. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport.h"

struct iscsi_arrival {
    uint32_t mark;        /* Data-In: what the buffers were filled with */
    bool again;           /* it is sent the second time, as the mark seemed to be there still */
    struct iovec *slices; /* Data-Out: the buffers in pieces of slice_bytes; or NULL */
    size_t slice_bytes;
};

/* Before the request is sent. segment_bytes: of a Data-Out PDU at most; 0: not known. ret_iov: the
 * buffers as they are to be handed to libiscsi, until arrival_free. */
void arrival_prepare(struct iscsi_arrival *arrival, const struct transport_request *request,
                     size_t segment_bytes, struct iovec **ret_iov, int *ret_count);
void arrival_free(struct iscsi_arrival *arrival);

/* When it was answered: request->transferred, which the target has told, becomes what is known to
 * have been moved. sent: the offset of the piece in which the last Data-Out PDU began. What did not
 * come of an answer about something else than blocks of the medium is zeros then. False: the
 * request has to be prepared and sent once more to know. */
bool arrival_settle(struct iscsi_arrival *arrival, struct transport_request *request,
                    size_t segment_bytes, size_t sent);
/* The same, when it cannot be sent once more. */
void arrival_give_up(struct iscsi_arrival *arrival, struct transport_request *request);

#endif
