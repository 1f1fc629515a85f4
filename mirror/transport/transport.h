/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TRANSPORT_H
#define THINMIRROR_TRANSPORT_H

/* Carries a CDB to a logical unit and brings back status, data and sense. Three implementations:
 * iSCSI (libiscsi), SG_IO, and a LUN in this process. None of them knows what a CDB means.
 *
 * One thread uses a transport: it submits, waits on the descriptors of transport_poll, and calls
 * transport_service, from which done() is called. Any number of requests may be in flight. */

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "errmsg.h"

/* Of the project's own, as libiscsi's header has names that clash with those of scsi_defs.h. */
#define TRANSPORT_CDB_BYTES   32
#define TRANSPORT_SENSE_BYTES 252

enum transport_direction { TRANSPORT_NO_DATA, TRANSPORT_DATA_IN, TRANSPORT_DATA_OUT };

/* The caller owns the request and its buffers, and keeps both untouched until done() is called. */
struct transport_request {
    uint8_t cdb[TRANSPORT_CDB_BYTES];
    size_t cdb_length;
    enum transport_direction direction;
    struct iovec *iov;
    int iov_count;
    /* Not 0: READ or WRITE of whole blocks of this size in bytes, from medium_lba on, as many as
     * there are data. A transport may move them without the CDB. */
    uint32_t medium_block_size;
    uint64_t medium_lba;
    unsigned timeout_ms; /* 0: the transport's default of 30 s; a local LUN has none */
    bool vital;          /* waited for that long also after the user's stop */

    /* Filled before done(): 0 when the target answered; otherwise -errno: -ENOTCONN or -ECONNRESET
     * when the connection is gone, -ENOENT when what is written has no name any more, -ERESTART
     * when it is a new one, or the unit may be another one, and the request is to be sent again (it
     * may have been carried out), -ETIMEDOUT, -EIO. */
    int result;
    uint8_t status;     /* as in SAM-5 5.3.1 */
    size_t transferred; /* bytes of data that really moved */
    uint8_t sense[TRANSPORT_SENSE_BYTES];
    size_t sense_length;

    void (*done)(struct transport_request *request);
    void *opaque; /* the caller's */
};

struct transport;

struct transport_ops {
    const char *kind; /* "iscsi", "sg", "local" */
    void (*close)(struct transport *transport);
    /* -errno only when the request was not taken; done() is then not called. */
    int (*submit)(struct transport *transport, struct transport_request *request);
    /* As endpoint_ops.poll and service. */
    int (*poll)(struct transport *transport, struct pollfd *ret);
    int (*service)(struct transport *transport, short revents);
    /* Ends the session and logs in anew, as the initiator port of this number (24 bits), which is
     * the same in every process. With nothing in flight, not from done(). -errno: the transport is
     * of no more use. NULL: it always is the same initiator port. */
    int (*adopt)(struct transport *transport, uint32_t number);
};

#define TRANSPORT_TARGET_BYTES 256

struct transport {
    const struct transport_ops *ops;
    unsigned in_flight;
    uint64_t max_transfer_bytes; /* of one command; 0: no limit of the transport's own */
    /* As in struct endpoint_info: of the session as it is now. */
    uint32_t max_burst_bytes, unsolicited_bytes;
    const char *data_by; /* how blocks are moved, "io_uring", when there are several ways */
    /* A lost connection is established anew for so long after the target's last answer, and the
     * requests in flight end with -ERESTART then. 0: a lost connection stays lost. The user's, who
     * has to find out what answers at the other end now. */
    unsigned reconnect_ms;
    /* Not NULL: once it is not zero, a lost connection stays lost all the same. Set by the thread
     * of the user, who may be another than the one that serves the transport. */
    _Atomic(const atomic_bool *) stop;
    /* How often the connection was lost by no fault of our own, or something happened to the unit
     * that was not reported: the target may have been restarted meanwhile, and what it had not
     * flushed be lost. */
    unsigned interruptions;
    /* "iqn...,L,0xN" where the way to the LUN is known: the SCSI name string form of iSCSI target
     * and logical unit number (SPC-4 7.8.6.11). Otherwise empty. */
    char target[TRANSPORT_TARGET_BYTES];
};

/* Opens one session to one LUN. url and path as on the command line; messages never hold secrets.
 * Errors: -EINVAL unparsable, -ENODEV no such target or LUN, -EACCES login refused, -ENOKEY it
 * wants credentials, -EKEYREJECTED it wants none although there are some, -ENOTSUP it insists on
 * what libiscsi lacks, -ECONNREFUSED and other errors of the connection; each with a sentence. ret
 * is the caller's, to be given to transport_close. */
struct iscsi_credentials;

/* credentials: NULL for none; not needed any longer when this returns. */
int transport_iscsi_open(const char *url, const struct iscsi_credentials *credentials,
                         struct transport **ret, struct errmsg *err);
/* A /dev/sgN or a SCSI disk, by SG_IO, or by io_uring for blocks of a disk. -ENODEV: no disk; other
 * -errno of open(2). */
int transport_sg_open(const char *path, bool writable, struct transport **ret, struct errmsg *err);
/* The thin volume at path, served by this process itself (handler/scsi). -EBUSY: another serves it.
 */
int transport_local_open(const char *path, bool writable, struct transport **ret,
                         struct errmsg *err);

/* Ends the session. Takes NULL. */
void transport_close(struct transport *transport);
/* Sends the request. 0, and done() is called once, from transport_service; or -errno when it was
 * not taken, and done() is not called. */
int transport_submit(struct transport *transport, struct transport_request *request);

/* For implementations: the request is filled, calls done(). */
void transport_complete(struct transport *transport, struct transport_request *request);

/* The length of all buffers of the request together. */
uint64_t transport_data_bytes(const struct transport_request *request);

/* Submits and waits for it while servicing everything in flight. request->result. */
int transport_run(struct transport *transport, struct transport_request *request);

#endif
