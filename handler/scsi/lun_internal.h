/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LUN_INTERNAL_H
#define THINMIRROR_LUN_INTERNAL_H

/* What the files of the logical unit share. One command is one struct exec on the stack of the
 * thread that serves it; the functions named op_* each serve one kind of command, are found through
 * the table in dispatch.c, and return the SCSI status. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "copy_record.h"
#include "iov.h"
#include "lun.h"
#include "lun_log.h"
#include "mode_pages.h"
#include "scsi_defs.h"
#include "sense.h"
#include "token_record.h"
#include "volume.h"

/* What VPD B0h states; nothing longer is served. */
#define LUN_MAX_TRANSFER_BYTES     (UINT32_C(8) << 20)
#define LUN_OPTIMAL_TRANSFER_BYTES (UINT32_C(1) << 20)
/* WRITE SAME is not cut up by the kernel's target: one must be done long before its time limit of
 * 30 s even where zeros or a pattern really have to be written. And no longer than a transfer, as
 * initiators (iscsi-test-cu is one) look at what it did with one READ. */
#define LUN_MAX_WRITE_SAME_BYTES  LUN_MAX_TRANSFER_BYTES
#define LUN_MAX_UNMAP_BLOCKS      (UINT32_C(1) << 20)
#define LUN_MAX_UNMAP_DESCRIPTORS 256

/* The part of the bitmap that one READ BUFFER gives, as VPD page C0h states: at most as many runs
 * as can be looked up long before a command's time limit. */
#define LUN_MAX_BITMAP_BYTES (UINT32_C(128) << 10)
/* All that the command's field can say. */
#define LUN_MAX_COMPARE_AND_WRITE_BLOCKS 255

/* Unit attention conditions, one bit each; attention.c has their order. They belong to the logical
 * unit and not to an I_T nexus, because no nexus is visible here: the sender of the next command
 * gets it, once. */
enum lun_attention {
    LUN_ATTENTION_POWER_ON = 1u << 0,         /* 29/00, since lun_open */
    LUN_ATTENTION_MODE_CHANGED = 1u << 1,     /* 2A/01 */
    LUN_ATTENTION_CAPACITY_CHANGED = 1u << 2, /* 2A/09 */
    LUN_ATTENTION_THRESHOLD = 1u << 3,        /* 38/07 */
};

/* Space is counted in threshold sets of this size, whatever a block is (VPD B2h). With 32 bits for
 * the count that reaches 4 EiB. */
#define LUN_THRESHOLD_SET_BYTES (UINT64_C(1) << 20)

struct threshold_state {
    bool reached;
    uint64_t told_ms; /* when last, while reached */
};

struct thresholds {
    pthread_mutex_t
        lock; /* guards states, over the look at the file system; before the mode pages' */
    struct threshold_state states[THRESHOLDS];
    uint64_t (*now_ms)(void);     /* monotonic */
    atomic_bool any;              /* at least one is enabled */
    atomic_uint_fast64_t bytes;   /* written since the last look */
    atomic_uint_fast64_t next_ms; /* when to look next, if something is written */
    atomic_uint told_offset;      /* of the threshold descriptor that the unit attention is about */
};

struct lun {
    struct volume *volume;
    uint8_t naa[16];
    char serial[UUID_STR_LEN];
    struct sanitize *sanitize; /* the struct is its own; the pointer stays */
    atomic_uint attentions;
    struct lun_log log;
    char copy_group[LUN_COPY_GROUP_BYTES];
    struct copy_records copy_records;
    struct token_records token_records;
    unsigned rod_tokens;   /* of which it is the source; the lock of the tokens guards it */
    struct lun *open_next; /* in the registry, as users is */
    unsigned users;        /* commands of others that work on this LUN */
    struct mode_state mode;
    struct thresholds thresholds;
    lun_access_look *look; /* NULL: nothing is reserved */
    void *look_context;
    lun_ports_look *look_at_ports; /* NULL: there is no target that serves anything */
    void *ports_context;
    atomic_bool full_logged; /* a write found no space and none has succeeded since */
};

struct exec {
    struct lun *lun;
    struct volume *volume;
    struct lun_command *command;
    const uint8_t *cdb;
    struct iov_cursor reply; /* where the next byte of Data-In goes */
    size_t reply_left;       /* what the allocation length still allows */
    bool durable;            /* what the command wrote needs no flush any more */
};

/* Where a command's blocks lie, in bytes. */
struct lun_range {
    uint64_t offset;
    uint64_t length;
};

/* The blocks of a command that transfers or compares them: within the capacity, no more than a
 * transfer may have, without protection information. GOOD with the fields and their range, or the
 * status to give up with. */
struct cdb_block_fields;
uint8_t exec_decode_range(struct exec *exec, struct cdb_block_fields *fields,
                          struct lun_range *ret);
/* LBA OUT OF RANGE, 5/21/00, unless the fields lie within the capacity. */
uint8_t exec_check_capacity(struct exec *exec, const struct cdb_block_fields *fields);
/* Whether Data-Out is of that length: what a command's fields say and what came must agree. */
bool exec_data_out_is(const struct exec *exec, uint64_t length);
/* Whether a parameter list of that length came; what came besides is not looked at. */
bool exec_data_out_has(const struct exec *exec, uint64_t length);

/* CHECK CONDITION with this sense data. */
uint8_t exec_fail_sense(struct exec *exec, const struct sense *sense);
uint8_t exec_fail(struct exec *exec, enum scsi_sense_key key, enum scsi_asc_ascq asc_ascq);
/* INVALID FIELD IN CDB, 5/24/00. */
uint8_t exec_fail_field(struct exec *exec);
/* INVALID FIELD IN COMMAND INFORMATION UNIT, 5/0E/03, and no data moved: the length that the
 * initiator told its transport and the CDB's do not agree (FCP-4 9.4.2 gives the rule). A target
 * may also move what fits and report the residual; TCMU has no way to report that a write, or a
 * buffer that is too small, left one. */
uint8_t exec_fail_length(struct exec *exec);
/* The sense data for what the volume says; the first -ENOSPC is logged. */
struct sense lun_error_sense(struct lun *lun, int error, bool writing);
/* CHECK CONDITION for what the volume says: -ENOSPC 7/27/07, -EROFS 7/27/00, -ERANGE 5/21/00,
 * -ESHUTDOWN as exec_fail_sealed, anything else 3/11/00 (3/0C/00 when writing). GOOD for 0. */
uint8_t exec_result(struct exec *exec, int error, bool writing);

/* Parameter data: start with the CDB's allocation length, then piece by piece. What the length or
 * the buffers have no room for is dropped. */
void reply_start(struct exec *exec, size_t allocation_length);
void reply_add(struct exec *exec, const void *bytes, size_t length);
/* All of it at once. GOOD. */
uint8_t reply_whole(struct exec *exec, const void *bytes, size_t length, size_t allocation_length);

/* Establishes a unit attention condition; one that is pending already stays one. */
void lun_raise_attention(struct lun *lun, enum lun_attention attention);
/* Takes one pending unit attention condition off: true, and what there is to say, if there was one.
 */
bool lun_take_attention(struct lun *lun, struct sense *ret);

/* Why nothing may be written: WRITE PROTECTED (27/00) for a volume that is read-only, LOGICAL UNIT
 * SOFTWARE WRITE PROTECTED (27/02) after a MODE SELECT that set SWP; ASC_NONE when it may. */
enum scsi_asc_ascq lun_write_protection(const struct lun *lun);

/* What the target shows of its ports now; all zeros without one. */
struct lun_ports lun_ports(const struct lun *lun);

void thresholds_init(struct thresholds *thresholds);
void thresholds_destroy(struct thresholds *thresholds);
/* The time, in milliseconds that never go back. */
uint64_t lun_now_ms(const struct lun *lun);
/* Looks at the space now, raises the unit attention where a threshold is reached, and learns which
 * thresholds are enabled. */
void lun_look_at_thresholds(struct lun *lun);
/* After every command that writes nothing: looks at the thresholds when the last look is long ago.
 */
void lun_end_other(struct lun *lun);
/* Ends a command that writes and has come to this error, or 0; it may have taken up to bytes bytes.
 * Makes its data durable where WCE is 0 and they are not, and looks at the thresholds when it is
 * time to. The error, or that of the flush. */
int lun_end_write(struct lun *lun, int error, bool durable, uint64_t bytes);
/* What the logical unit can still take of its capacity; of the pool's space, how much is left. */
uint64_t lun_available_bytes(const struct lun *lun, const struct volume_space *space);
uint32_t lun_available_percent(const struct volume_space *space);

/* One row of the table of commands. */
struct operation {
    uint8_t opcode;
    bool has_service_action;
    uint16_t service_action; /* byte 1, bits 4:0; of opcode 7Fh bytes 8 and 9 */
    uint8_t flags;
    uint8_t (*run)(struct exec *exec);
    uint8_t cdb_bytes;
    /* CDB USAGE DATA (SPC-4 6.35.3): the bits that are looked at, byte 0 is the opcode. */
    uint8_t usage[SCSI_CDB_MAX_BYTES];
};

/* For lun_open and lun_close. sanitize_init: -ENOMEM. sanitize_end stops what runs; a SANITIZE that
 * is stopped has failed when the LUN is opened again. */
int sanitize_init(struct lun *lun);
void sanitize_end(struct lun *lun);
/* Whether SANITIZE runs or has failed. */
bool lun_is_sealed(const struct lun *lun);
/* True with what there is to tell while SANITIZE runs (2/04/1B with its progress) or after it has
 * failed (3/31/03). */
bool sanitize_sense(struct lun *lun, struct sense *ret);

/* The informational exception that there is, ASC and ASCQ; 0: none. It is only ever the false one
 * that TEST asks for (SPC-4 7.5.11). */
uint16_t lun_exception(struct lun *lun);
/* The same, and while neither is so any more, that it runs. */
struct sense lun_sealed_sense(struct lun *lun);
/* CHECK CONDITION with that. */
uint8_t exec_fail_sealed(struct exec *exec);

enum operation_flag {
    OPERATION_DATA_OUT = 1u << 0,       /* the buffers given are the initiator's data */
    OPERATION_WRITES = 1u << 1,         /* refused on a read-only volume */
    OPERATION_SEES_ATTENTION = 1u << 2, /* is served although a unit attention is pending */
    OPERATION_WHILE_SEALED = 1u << 3,   /* is served while SANITIZE runs and after it failed */
    OPERATION_QUICK = 1u << 4,     /* needs no disk, or looks at the command's patience itself */
    OPERATION_GUARDED = 1u << 5,   /* may change the LUN without Data-Out: guard.h is asked */
    OPERATION_BY_TARGET = 1u << 6, /* the target serves it (lun_ports); it never gets here */
    OPERATION_WITH_ALUA = 1u << 7, /* there only where lun_ports.alua */
};

/* All commands, by rising opcode and service action. */
const struct operation *operations(size_t *ret_count);
/* Whether REPORT SUPPORTED OPERATION CODES lists this one, with the ports being those. */
bool operation_is_there(const struct operation *row, const struct lun_ports *ports);

uint8_t op_test_unit_ready(struct exec *exec);
uint8_t op_start_stop_unit(struct exec *exec);
uint8_t op_request_sense(struct exec *exec);
uint8_t op_report_operations(struct exec *exec);
uint8_t op_report_port_groups(struct exec *exec);
uint8_t op_send_diagnostic(struct exec *exec);
uint8_t op_inquiry(struct exec *exec);
uint8_t op_read_defect_data_10(struct exec *exec);
uint8_t op_read_defect_data_12(struct exec *exec);
uint8_t op_read_capacity_10(struct exec *exec);
uint8_t op_read_capacity_16(struct exec *exec);
uint8_t op_mode_select_6(struct exec *exec);
uint8_t op_mode_select_10(struct exec *exec);
uint8_t op_log_sense(struct exec *exec);
uint8_t op_report_task_management(struct exec *exec);
uint8_t op_mode_sense_6(struct exec *exec);
uint8_t op_mode_sense_10(struct exec *exec);
uint8_t op_read(struct exec *exec);
uint8_t op_write(struct exec *exec);
uint8_t op_verify(struct exec *exec);
uint8_t op_synchronize_cache(struct exec *exec);
uint8_t op_pre_fetch(struct exec *exec);
uint8_t op_write_and_verify(struct exec *exec);
uint8_t op_sanitize_overwrite(struct exec *exec);
uint8_t op_sanitize_block_erase(struct exec *exec);
uint8_t op_sanitize_exit_failure_mode(struct exec *exec);
uint8_t op_format_unit(struct exec *exec);
uint8_t op_compare_and_write(struct exec *exec);
uint8_t op_orwrite(struct exec *exec);
uint8_t op_unmap(struct exec *exec);
uint8_t op_write_same(struct exec *exec);
uint8_t op_get_lba_status_16(struct exec *exec);
uint8_t op_get_lba_status_32(struct exec *exec);
uint8_t op_extended_copy(struct exec *exec);
uint8_t op_receive_copy_status(struct exec *exec);
uint8_t op_receive_copy_data(struct exec *exec);
uint8_t op_receive_copy_parameters(struct exec *exec);
uint8_t op_receive_copy_failure(struct exec *exec);
uint8_t op_populate_token(struct exec *exec);
uint8_t op_write_using_token(struct exec *exec);
uint8_t op_receive_rod_token_information(struct exec *exec);
uint8_t op_read_buffer(struct exec *exec);
uint8_t op_read_buffer_16(struct exec *exec);

/* Writes VPD page C0h, which announces the bitmap, and returns its length. */
size_t bitmap_page_of(const struct volume *volume, uint8_t *to);

#endif
