/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ENDPOINT_H
#define THINMIRROR_ENDPOINT_H

/* One side of a copy: a LUN, block device or file, as the engine sees it. Everything is in logical
 * blocks. Requests are asynchronous and any number may be in flight; one thread uses an endpoint.
 *
 * Implementations: endpoint_scsi.c (the SCSI logic, once, over transport.h), endpoint_file.c (raw
 * sparse file, block device that is no SCSI device), endpoint_sessions.c (several of one LUN), and
 * outside of this folder track_view.c (one as another one is to be copied). */

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "errmsg.h"
#include "extents.h"

#define ENDPOINT_IDENTITY_BYTES 320

/* What is known after open. */
struct endpoint_info {
    const char *name;    /* as the user gave it, without secrets */
    const char *kind;    /* "iscsi", "sg", "thin", "file" or "block" */
    const char *data_by; /* of a SCSI device node: "io_uring" or "SG_IO"; NULL for others */
    uint64_t blocks;
    uint32_t block_size;
    /* "naa.6...", "t10....", "serial.VENDOR.PRODUCT.NUMBER", "file.DEV.INODE.BIRTH",
     * "block.MAJOR.MINOR.BOOT.SEQUENCE". Equal for two paths to one LUN. A LUN whose name is not
     * world-wide unique has its serial number and the target's name behind it,
     * "naa.3.../SERIAL@IQN,L,0xLUN". Empty when the target tells nothing. */
    char identity[ENDPOINT_IDENTITY_BYTES];
    /* INQUIRY and VPD 80h, without padding; empty when there is no such thing. For people. */
    char vendor[9];
    char product[17];
    char serial[256];
    bool writable;             /* opened so, and not protected */
    bool any_block_size;       /* a raw file: see endpoint_match_block_size */
    bool thin;                 /* LBPME, or a sparse file */
    bool unmapped_reads_zeros; /* LBPRZ: deallocated blocks are promised to read as zeros */
    /* That is more than a promise: they are holes of a file, as this machine's kernel says. */
    bool unmapped_is_certain;
    bool can_map;     /* answered a GET LBA STATUS at open; otherwise ENDPOINT_MAP says mapped */
    bool can_bitmap;  /* announces an allocation bitmap (docs/bitmap.md) */
    bool by_bitmap;   /* ENDPOINT_MAP reads that; see endpoint_ask_bitmap */
    bool can_reserve; /* takes an ENDPOINT_RESERVE: one session to a logical unit */
    bool can_unmap;   /* ENDPOINT_ZERO deallocates; told also when opened read-only */
    uint32_t max_transfer_blocks;     /* of one READ or WRITE, never 0 */
    uint32_t optimal_transfer_blocks; /* a longer READ or WRITE may take its time; 0: not told */
    /* READs and WRITEs that begin and end at its multiples are the cheapest (SBC-4 6.6.4, OPTIMAL
     * TRANSFER LENGTH GRANULARITY); 0: not told */
    uint32_t transfer_granularity_blocks;
    /* Of an iSCSI session, as agreed on at open; 0: not told, or no such thing. The data of a WRITE
     * that is no longer than unsolicited_bytes go out with it (FirstBurstLength where
     * InitialR2T=No, RFC 7143 13.14); for those of a longer one the target asks, max_burst_bytes
     * (MaxBurstLength, 13.13) at a time, and each time takes a round trip. */
    uint32_t max_burst_bytes, unsolicited_bytes;
    uint64_t max_zero_blocks;          /* of one ENDPOINT_ZERO, never 0 */
    uint32_t unmap_granularity_blocks; /* never 0 */
    uint32_t unmap_alignment_blocks;
};

enum endpoint_op {
    ENDPOINT_READ,
    ENDPOINT_WRITE,
    /* The range reads as zeros afterwards, that is certain on success; deallocated as far as the
     * target can and says so in ret_deallocated. */
    ENDPOINT_ZERO,
    /* Appends to map (in blocks, from lba on) what the target says about blocks from lba to at most
     * lba + blocks; at least one block on success. Fewer than asked is usual: ask again from
     * extent_list_end. */
    ENDPOINT_MAP,
    /* All completed writes are durable afterwards. -ESTALE: some of those since the flush before
     * may be lost, as the target was restarted; that is told once. */
    ENDPOINT_FLUSH,
    /* See endpoint_reserve; not used elsewhere. */
    ENDPOINT_RESERVE,
};

/* The two uppermost bytes of an owner, by which a copy of thinmirror's is known. */
#define ENDPOINT_OWNER_MARK (UINT64_C(0x544D) << 48)

/* For whom it is reserved. */
struct endpoint_reservation {
    uint64_t owner; /* the copy it is for; the lowest 16 bits do not count */
    bool take_over; /* what this owner has already is left of a process that is gone */
};

/* The caller owns it, its buffers and its list, and keeps them until done() is called. */
struct endpoint_request {
    enum endpoint_op op;
    uint64_t lba;
    uint64_t blocks;
    struct iovec *iov; /* READ, WRITE: exactly blocks * block_size bytes */
    int iov_count;
    struct extent_list *map;                        /* MAP */
    const struct endpoint_reservation *reservation; /* RESERVE */

    /* Before done(): 0 or -errno: -ENOSPC (7/27/07), -EROFS, -EIO (medium or target error, the
     * LBA in error_lba), -EBADE (reserved by another initiator), -ENOTCONN, -ETIMEDOUT, -ENODEV,
     * -EOPNOTSUPP. error says it in a sentence that names the endpoint. */
    int result;
    bool deallocated; /* ZERO: the whole range was deallocated, nothing had to be written */
    uint64_t error_lba;
    bool unreadable; /* READ failed as the medium does not give it, for no other reason */
    /* MAP went well, but the target has not told all of it soundly: error says why, and what it did
     * not tell counts as mapped. */
    bool unsound;
    struct errmsg error;

    void (*done)(struct endpoint_request *request);
    void *opaque; /* the caller's */
};

struct endpoint;

struct endpoint_ops {
    /* Waits for what is in flight, or fails it; done() is called for all of it, and must not send
     * another one then. */
    void (*close)(struct endpoint *endpoint);
    int (*submit)(struct endpoint *endpoint, struct endpoint_request *request);
    /* What to wait for (fd -1: nothing). Returns the milliseconds after which service must be
     * called although nothing happened; -1: no limit. */
    int (*poll)(struct endpoint *endpoint, struct pollfd *ret);
    /* Handles what is ready without blocking; revents as poll(2) found them, 0 when only time has
     * passed. -errno when the endpoint is dead; its requests have been completed then. */
    int (*service)(struct endpoint *endpoint, short revents);
    /* NULL when the block size is the device's own. -EINVAL when the size is no multiple of it. */
    int (*set_block_size)(struct endpoint *endpoint, uint32_t block_size);
    /* NULL when what is read comes from the device anyway. */
    int (*forget)(struct endpoint *endpoint);
    /* See endpoint_last_change; NULL when it is not told. */
    uint64_t (*last_change)(struct endpoint *endpoint);
    /* NULL when there is nothing that could be waited for. */
    void (*stop_by)(struct endpoint *endpoint, const atomic_bool *stop);
};

/* Commands and calls issued so far, for reports and for tests that assert the exact I/O. */
struct endpoint_counters {
    uint64_t reads, writes, zeros, maps, flushes; /* requests on the wire, retries included */
    uint64_t read_blocks, written_blocks, zeroed_blocks;
    uint64_t reconnects; /* sessions that took the place of a broken one */
};

struct endpoint {
    const struct endpoint_ops *ops;
    struct endpoint_info info;
    struct endpoint_counters counters;
};

enum endpoint_open_flags {
    ENDPOINT_WRITABLE = 1 << 0,
    /* An iSCSI target that refuses every login at the moment (nothing listens, the connection is
     * ended, the service is unavailable) is tried again for patience_open_ms. */
    ENDPOINT_PATIENT = 1 << 1,
    /* A file is taken block by block, whatever it looks like (image_format.h). */
    ENDPOINT_RAW = 1 << 2,
};

#define ENDPOINT_SESSIONS_MAX 16

struct auth_table; /* CHAP secrets by target name, see auth.h; NULL: none */

/* Opens what the name stands for: iscsi://[user@]host[:port]/iqn/lun, thin:PATH, a device node
 * (/dev/sdX and /dev/sgN by SG_IO, other block devices as files) or a plain path. A writable device
 * node is opened exclusively: -EBUSY with a sentence when it is mounted or held. -EMEDIUMTYPE: a
 * file that holds a disk in another form than block by block. */
int endpoint_open(const char *name, unsigned flags, const struct auth_table *auth,
                  struct endpoint **ret, struct errmsg *err);
/* The same with several sessions (1 to ENDPOINT_SESSIONS_MAX), which share the requests, each
 * served by a thread of its own. Endpoints other than iSCSI have one however many are asked for.
 * Alone of the two it is patient. */
int endpoint_open_sessions(const char *name, unsigned flags, const struct auth_table *auth,
                           unsigned sessions, struct endpoint **ret, struct errmsg *err);
/* Takes NULL. */
void endpoint_close(struct endpoint *endpoint);

/* What this machine has cached of it is written out and dropped, so that what is read next comes
 * from the medium. Nothing may be in flight. -errno with a sentence. */
int endpoint_forget(struct endpoint *endpoint, struct errmsg *err);

/* When it was last written to, in nanoseconds since 1970 UTC: of a file its time of modification,
 * which may be an earlier one after a crash than before. 0: that is not told. */
uint64_t endpoint_last_change(struct endpoint *endpoint);

/* Once *stop is set, a target that went away is not waited for any more: its requests fail
 * with -ENOTCONN or -ETIMEDOUT within a second. It stays the caller's, until the endpoint is
 * closed. */
void endpoint_stop_by(struct endpoint *endpoint, const atomic_bool *stop);

/* Gives both the same block size: a raw file has none of its own and takes that of its partner (512
 * when both are raw files). Before the first request. -EINVAL with a sentence when they differ or a
 * file's size is no multiple of the block size. */
int endpoint_match_block_size(struct endpoint *a, struct endpoint *b, struct errmsg *err);

/* From now on ENDPOINT_MAP reads the allocation bitmap, which tells mapped from deallocated.
 * -EOPNOTSUPP with a sentence when the unit has announced none. */
int endpoint_ask_bitmap(struct endpoint *endpoint, struct errmsg *err);

/* Reserves the LUN, so that no other initiator writes to it until the endpoint is closed: a
 * persistent reservation, WRITE EXCLUSIVE. It is there again after a lost connection; when it is
 * not, or is somebody else's, the endpoint fails, with -ENOLCK or -EBADE. owner:
 * ENDPOINT_OWNER_MARK and a number of the copy's own, the lowest 16 bits 0; no two processes may
 * use the same one at a time, as an iSCSI session is made anew in its name and ends an older one.
 * take_over: what this owner holds is left of a process that is gone, and is taken over. -EBADE
 * with a sentence: somebody else has reserved it; -EOPNOTSUPP: it cannot be reserved, be it that it
 * has several sessions. Nothing may be in flight. After an error the endpoint is to be closed. */
int endpoint_reserve(struct endpoint *endpoint, uint64_t owner, bool take_over, struct errmsg *err);

/* -ENOTUNIQ with a sentence, and what to do, when the two are or may be one LUN or file, or one is
 * a block device or file that lies on a disk of this machine that is or may be the other, or both
 * lie on such disks of one LUN and may have blocks in common (local_disks_share). */
int endpoint_check_distinct(const struct endpoint *a, const struct endpoint *b, struct errmsg *err);

/* Who uses the LUN, or the part of it that a block device lies on, on this machine by another name
 * than the endpoint's: "is /dev/sdb here, which is
 * mounted on /mnt". False, and an empty text, when no user is seen. */
bool endpoint_find_local_user(const struct endpoint *endpoint, char *text, size_t size);

/* -errno only when the request was not taken; done() is then not called. Ranges beyond the LUN:
 * -ERANGE. READ and WRITE over max_transfer_blocks, ZERO over max_zero_blocks: -EINVAL. */
int endpoint_submit(struct endpoint *endpoint, struct endpoint_request *request);

/* Waits until one of the endpoints (at most ENDPOINT_WAIT_MAX) has something to handle, at most
 * timeout_ms (-1: no limit), and handles it. -errno when an endpoint is dead; its requests have
 * been completed. -EINTR when a signal came instead. */
#define ENDPOINT_WAIT_MAX 64
int endpoint_wait(struct endpoint *const endpoints[], size_t count, int timeout_ms);

/* Submits one request and waits for it. request->result. */
int endpoint_run(struct endpoint *endpoint, struct endpoint_request *request);

#endif
