/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <errno.h>

#include "lun_internal.h"

#define FORMAT_UNIT_FMTDATA 0x10
#define WRITE_SAME_NDOB     0x01

/* Whether the CDB of a guarded row says that Data-Out comes with it. */
static bool carries_data(const uint8_t *cdb)
{
    switch (cdb[0]) {
    case SCSI_FORMAT_UNIT:
        return cdb[1] & FORMAT_UNIT_FMTDATA;
    case SCSI_WRITE_SAME_16:
        return !(cdb[1] & WRITE_SAME_NDOB);
    default:
        return false;
    }
}

static struct lun_access look(struct lun *lun)
{
    struct lun_access access = {.reservation = LUN_NOT_RESERVED};

    if (lun->look) {
        access = (struct lun_access){LUN_RESERVATION_UNKNOWN, true};
        lun->look(lun->look_context, &access);
    }
    return access;
}

uint8_t guard_check(struct exec *exec)
{
    struct lun_access access;

    if (carries_data(exec->cdb))
        return SCSI_STATUS_GOOD;
    access = look(exec->lun);
    if (access.reservation != LUN_NOT_RESERVED && access.reservation != LUN_RESERVED)
        return SCSI_STATUS_RESERVATION_CONFLICT;
    if (access.read_only_for_some)
        return exec_fail(exec, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    return SCSI_STATUS_GOOD;
}

int guard_copy(struct lun *lun, bool writes)
{
    struct lun_access access = look(lun);

    if (access.reservation != LUN_NOT_RESERVED &&
        (writes || access.reservation != LUN_RESERVED_FOR_WRITING))
        return -EBUSY;
    return writes && access.read_only_for_some ? -EROFS : 0;
}
