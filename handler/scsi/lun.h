/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LUN_H
#define THINMIRROR_LUN_H

/* The logical unit: a direct-access block device (SPC-4, SBC-4) over a volume. It knows no
 * transport. The TCMU adapter, the mirror's local transport, the tests and the fuzzers all call
 * lun_execute. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "volume.h"

struct lun;

#define LUN_SENSE_BYTES 96

/* What to do with a command that may take as long as the disk takes. */
enum lun_patience {
    LUN_WAITS,            /* serve it */
    LUN_WAITS_IF_UNKNOWN, /* leave it with LUN_WOULD_WAIT when it is known to need the disk */
    LUN_NEVER_WAITS,      /* serve it only when it is known not to need the disk */
};

/* What lun_execute returns, in place of a SCSI status, for a command that it left: nothing has
 * happened but that the Data-In buffer may hold anything. */
#define LUN_WOULD_WAIT 0xFF

/* One command. The caller owns everything it points to. A caller that cannot tell the direction of
 * a command's data gives the same buffers as data_out and data_in. */
struct lun_command {
    const uint8_t *cdb;
    size_t cdb_length; /* bytes there are; a CDB that needs more gets 5/20/00, of 7Fh 5/24/00 */
    const struct iovec *data_out;
    int data_out_count;
    const struct iovec *data_in;
    int data_in_count;
    enum lun_patience patience;
    uint8_t sense[LUN_SENSE_BYTES]; /* valid on CHECK CONDITION, otherwise zeroed */
    size_t data_in_bytes;           /* bytes of data_in that mean something */
};

/* Takes over the volume (also on failure). The first command is told POWER ON, RESET, OR BUS DEVICE
 * RESET OCCURRED (6/29/00), unless INQUIRY or REQUEST SENSE. -ENOMEM. */
int lun_open(struct volume *volume, struct lun **ret);

/* Which other LUNs of this process may be named in an EXTENDED COPY to this one, and name it: those
 * of the same group. At first, and with "", none. Cut to LUN_COPY_GROUP_BYTES - 1 characters. Call
 * it before the first command of any of them. */
#define LUN_COPY_GROUP_BYTES 33
void lun_set_copy_group(struct lun *lun, const char *group);

/* Whom the target in front of the logical unit keeps from writing to it. */
enum lun_reservation {
    LUN_NOT_RESERVED,
    LUN_RESERVED_FOR_WRITING, /* Write Exclusive: persistent reservations of type 1h, 5h and 7h */
    LUN_RESERVED, /* Exclusive Access (3h, 6h, 8h), or RESERVE of SPC-2: reads are shut out too */
    LUN_RESERVATION_UNKNOWN,
};

struct lun_access {
    enum lun_reservation reservation;
    bool read_only_for_some; /* at least one initiator may not write, or that is unknown */
};

/* How the logical unit finds that out: look is called for the rare commands that the target does
 * not check itself (guard.h), by any thread and under no lock, and always fills *ret. Without it
 * nothing is reserved. Before the first command; context must outlive the LUN. */
typedef void lun_access_look(void *context, struct lun_access *ret);
void lun_set_access(struct lun *lun, lun_access_look *look, void *context);

/* The ports that lead to the logical unit, and what the target in front of it serves itself. */
#define LUN_PORTS_MAX 64
struct lun_ports {
    bool reservations; /* PERSISTENT RESERVE IN and OUT, RESERVE and RELEASE */
    /* The ports are known, all of one target port group whose state the target changes by itself
     * (implicit ALUA). Without that, what follows means nothing. */
    bool alua;
    uint16_t group;    /* TARGET PORT GROUP */
    uint8_t state;     /* ASYMMETRIC ACCESS STATE, 4 bits */
    uint8_t supported; /* T_SUP to AO_SUP, as in REPORT TARGET PORT GROUPS */
    uint8_t status;    /* STATUS CODE */
    bool preferred;
    uint8_t transition_seconds; /* IMPLICIT TRANSITION TIME; 0: not stated */
    unsigned count;
    uint16_t ids[LUN_PORTS_MAX]; /* RELATIVE TARGET PORT IDENTIFIERs */
};

/* How the logical unit finds that out, for INQUIRY, REPORT TARGET PORT GROUPS and REPORT SUPPORTED
 * OPERATION CODES; under no lock. Without it there is no target that serves anything. Otherwise as
 * lun_set_access. */
typedef void lun_ports_look(void *context, struct lun_ports *ret);
void lun_set_ports(struct lun *lun, lun_ports_look *look, void *context);

/* Closes the volume too, flushed. Takes NULL. No command may be running; one of another LUN that
 * copies from this one or to it is waited for. */
void lun_close(struct lun *lun);

/* Serves one command and returns the SCSI status, or LUN_WOULD_WAIT if it was not to wait: neither
 * for the disk nor for another command that has its blocks to itself (COMPARE AND WRITE). Every
 * byte of the Data-In buffer that the reply does not fill is zero afterwards. May be called from
 * many threads at once. */
uint8_t lun_execute(struct lun *lun, struct lun_command *command);

struct volume *lun_volume(struct lun *lun);

/* Resizes the volume and establishes the unit attention CAPACITY DATA HAS CHANGED (6/2A/09) for
 * the next command. Errors as volume_resize without discard. */
int lun_resize(struct lun *lun, uint64_t bytes, struct errmsg *err);

/* From now on the next command is answered THIN PROVISIONING SOFT THRESHOLD REACHED
 * (6/38/07) once this percentage of the file system below the volume is used, 1 to 99: the default
 * of the mode page's threshold in percent. To be called before the first command. */
void lun_set_threshold(struct lun *lun, unsigned used_percent);

/* For tests: the time, in milliseconds that never go back. Before the first command. */
void lun_set_clock(struct lun *lun, uint64_t (*now_ms)(void));

#endif
