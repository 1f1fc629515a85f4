/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ENDPOINT_SCSI_H
#define THINMIRROR_ENDPOINT_SCSI_H

/* What the files of the SCSI endpoint share:
 *   endpoint_scsi_open.c   asks the logical unit who and what it is (by scsi_question.c)
 *   endpoint_scsi.c        requests: READ, WRITE, MAP, FLUSH
 *   endpoint_scsi_zero.c   ENDPOINT_ZERO and the ways to do it
 *   endpoint_scsi_unmap.c  one of them: UNMAP, several requests in a command
 *   endpoint_scsi_reserve.c  ENDPOINT_RESERVE, and what keeps it
 *   endpoint_scsi_io.c     one command after another for a request; retries; the recheck
 *
 * A request owns one scsi_command, which sends one CDB at a time. Each CDB's end calls step(),
 * which sends the next one or finishes the request. A CDB that met a unit attention or a busy
 * target is not shown to step() but waits in endpoint->waiting and is sent again.
 *
 * After a unit attention nothing is sent to the unit before its capacity and identity have been
 * read again (the recheck): another unit may be there now. The same after a connection was lost and
 * is there again. */

#include "bitmap_reply.h"
#include "endpoint.h"
#include "scsi_outcome.h"
#include "transport.h"
#include "unit_identity.h"
#include "vpd.h"

#define SCSI_VPD_BYTES 1024 /* allocation length for VPD pages */

/* How ENDPOINT_ZERO is done; a way that the target refuses makes place for the next one. */
enum zero_method {
    ZERO_BY_WRITE_SAME_UNMAP, /* zeros promised, deallocated where possible */
    ZERO_BY_UNMAP,            /* UNMAP, then a look at what it has left mapped, which is written */
    ZERO_BY_WRITE_SAME,
    ZERO_BY_WRITE, /* every target can */
};

#define SCSI_ZERO_IOV 64

/* Ranges in one UNMAP, however many more the target would take. */
#define SCSI_UNMAP_DESCRIPTORS 128

/* Longer than the transport's default: a cache may hold a lot, a range of zeros may be large. */
#define SCSI_FLUSH_TIMEOUT_MS 300000
#define SCSI_ZERO_TIMEOUT_MS  120000

struct scsi_endpoint;

struct scsi_command {
    struct transport_request request;
    struct scsi_endpoint *endpoint;
    struct endpoint_request *user; /* NULL: the recheck */
    void (*step)(struct scsi_command *command, const struct outcome *outcome);
    uint64_t *counter; /* of this CDB in endpoint->base.counters, or NULL */

    unsigned attempts;         /* of the CDB in hand */
    unsigned sessions_lost;    /* while it was in flight */
    uint64_t first_attempt_ms; /* when it was sent first */
    uint64_t retry_at_ms;      /* while waiting */
    struct scsi_command *next; /* while waiting, in a batch or a follower */
    /* UNMAP: those whose ranges are in the same command; they end with it. */
    struct scsi_command *followers;

    uint64_t covers; /* FLUSH: changes_flushed when it has gone well */

    /* ZERO: what is left to do; UNMAP: the range unmapped last whose check is not complete */
    uint64_t zero_lba, zero_end;
    uint64_t check_lba, check_end;
    enum zero_method method; /* of the CDB in hand */
    uint32_t step_blocks;    /* of the CDB in hand */
    bool wrote_zeros;

    /* Buffers of the CDB in hand; libiscsi wants an iovec array for each command in flight. */
    struct iovec iov[SCSI_ZERO_IOV];
    uint8_t small[32];
    uint8_t *reply; /* owned */
    size_t reply_bytes;
};

/* What makes a unit the one that was opened. */
struct scsi_unit {
    uint64_t blocks;
    uint32_t block_size;
    bool capacity_10; /* READ CAPACITY(16) is not known to the target */
    struct unit_identity identity;
};

/* See endpoint_scsi_reserve.c. */
struct scsi_reservation {
    bool registered; /* key is known to the target */
    bool held;       /* it was reserved: from now on it has to stay so */
    bool renew;      /* the session is a new one */
    uint64_t owner;
    uint64_t key;
    uint64_t next_key; /* being registered */
    uint64_t old_key;  /* of the session before, to be taken over from */
    size_t stale_keys; /* in command->reply: still to be preempted */
};

/* What will be unmapped by the next command. */
struct unmap_batch {
    struct scsi_command *first, *last;
    uint32_t count;
    uint64_t blocks;
};

struct scsi_endpoint {
    struct endpoint base;
    struct transport *transport;
    struct scsi_unit unit;
    char *name;

    int failed; /* -errno: nothing is sent any more; failure says why */
    struct errmsg failure;

    struct scsi_command *waiting; /* to be sent again, in no order */
    unsigned retry_for_ms;        /* how long a busy target is asked again */
    bool rechecking;              /* what is submitted meanwhile waits */
    bool new_session;             /* until it was looked at: its POWER ON says nothing */
    /* WRITE and ZERO requests, those that wait or are in a batch included: begun, at their end, and
     * begun when a flush that went well found all of them at their end. */
    uint64_t changes_begun, changes_ended, changes_flushed;
    bool lost_writes; /* the unit was reset with writes not flushed: a flush cannot promise them */
    unsigned interruptions; /* of the transport, as far as they were dealt with */

    uint32_t map_allocation_length;
    struct bitmap_geometry bitmap; /* with info.can_bitmap */
    bool flush_by_10;
    struct scsi_reservation reservation;

    enum zero_method zero_method;
    bool may_unmap;                   /* UNMAP and a look at the map would do */
    uint64_t write_same_unmap_blocks; /* at once */
    uint64_t write_same_blocks;
    uint64_t unmap_blocks; /* of all ranges of a command together */
    uint32_t unmap_descriptors;
    struct unmap_batch batch;
    uint8_t *zeros;
    uint32_t zeros_blocks;
};

/* endpoint_scsi_io.c */

/* A command for user, which stays the caller's, or for the recheck (NULL). Freed by
 * scsi_command_finish, scsi_command_fail or scsi_command_free. NULL: no memory. */
struct scsi_command *scsi_command_new(struct scsi_endpoint *endpoint,
                                      struct endpoint_request *user);
/* Sends the CDB that has been put into command->request. -errno when it was not taken. */
int scsi_command_start(struct scsi_command *command);
/* The same in the midst of a request, which fails when the CDB is not taken. */
void scsi_command_next(struct scsi_command *command);
/* Calls step() with a good outcome from the next service, without a CDB. */
void scsi_command_defer(struct scsi_command *command);
/* Ends the request: done() is called and the command freed. */
void scsi_command_finish(struct scsi_command *command);
/* The same with the outcome's error, which is told by the request. */
void scsi_command_fail(struct scsi_command *command, const struct outcome *outcome);
/* Without done(): for one that was never begun. */
void scsi_command_free(struct scsi_command *command);
/* Marks the endpoint as of no more use. */
void scsi_endpoint_fail(struct scsi_endpoint *endpoint, int error, const char *why);

/* Ends the recheck. why: what speaks against going on, and the endpoint is of no more use then;
 * NULL: nothing. */
void scsi_recheck_end(struct scsi_command *command, int error, const char *why);

/* endpoint_ops.poll, service and close. */
int scsi_endpoint_poll(struct endpoint *base, struct pollfd *ret);
int scsi_endpoint_service(struct endpoint *base, short revents);
void scsi_endpoint_close(struct endpoint *base);

/* Data that one CDB moves, in command->iov[0]. */
void scsi_command_data(struct scsi_command *command, enum transport_direction direction, void *data,
                       size_t length);

/* endpoint_scsi.c */
extern const struct endpoint_ops scsi_endpoint_ops;
/* Room for a reply of length bytes, zeroed. False: no memory. */
bool scsi_command_reply(struct scsi_command *command, size_t length);
/* Sends GET LBA STATUS(16) for lba, answered in command->reply by at most most bytes. */
int scsi_command_map_cdb(struct scsi_command *command, uint64_t lba, uint32_t most);
/* Decodes the reply into list; ret_end: the first LBA not covered, past lba in any case: a reply
 * without use makes a stretch of limit - lba blocks, at most, mapped. Marks the user's request as
 * unsound where the reply is. 0 or -ENOMEM. */
int scsi_command_map_decode(struct scsi_command *command, uint64_t lba, uint64_t limit,
                            struct extent_list *list, uint64_t *ret_end);

/* Begins a request; on failure the command is freed and user->error filled. */
int scsi_command_begin(struct scsi_command *command);

/* endpoint_scsi_zero.c */

/* Chooses the way and its limits from what the unit says of itself. -ENOMEM. */
int scsi_zero_setup(struct scsi_endpoint *endpoint, bool lbprz,
                    const struct vpd_provisioning *provisioning,
                    const struct vpd_block_limits *limits);
/* 0 or -errno when the request was not taken. */
int scsi_zero_submit(struct scsi_endpoint *endpoint, struct endpoint_request *user);

/* endpoint_scsi_reserve.c */

/* 0 or -errno when the request was not taken. */
int scsi_reservation_submit(struct scsi_endpoint *endpoint, struct endpoint_request *user);
/* The recheck's last part: false when there is nothing to look after, otherwise the command goes on
 * to scsi_recheck_end. */
bool scsi_reservation_recheck(struct scsi_command *command);
/* Gives back what is held; reachable: the unit is the one it was. Before the transport is closed.
 */
void scsi_reservation_release(struct scsi_endpoint *endpoint, bool reachable);

/* endpoint_scsi_zero.c, for endpoint_scsi_unmap.c */

/* Does what is left of the request by the way that is open now, or finishes it. */
void scsi_zero_next(struct scsi_command *command);
/* This way is refused: the next one, unless another request has found that out before. */
void scsi_zero_downgrade(struct scsi_command *command);
/* How far lba is into its unit of unmapping. */
uint64_t scsi_zero_into_unit(const struct endpoint_info *info, uint64_t lba);
/* WRITE(16) of zeros to [lba, lba + blocks) at most; command->step_blocks says how many. */
void scsi_zero_write(struct scsi_command *command, uint64_t lba, uint64_t blocks,
                     void (*step)(struct scsi_command *, const struct outcome *));
/* The CDB in hand has dealt with step_blocks from zero_lba on. */
void scsi_zero_step_done(struct scsi_command *command, const struct outcome *outcome);

/* endpoint_scsi_unmap.c */

/* The next step of the request, by UNMAP. */
void scsi_unmap(struct scsi_command *command);
/* Sends the batch, if there is one. */
void scsi_unmap_send(struct scsi_endpoint *endpoint);

#endif
