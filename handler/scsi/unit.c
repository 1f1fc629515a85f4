/* SPDX-License-Identifier: Apache-2.0 */

/* Commands about the unit as such: TEST UNIT READY, START STOP UNIT, SEND DIAGNOSTIC, REQUEST
 * SENSE. */

#include "byteorder.h"
#include "lun_internal.h"
#include "sense.h"

uint8_t op_test_unit_ready(struct exec *exec)
{
    (void)exec;
    return SCSI_STATUS_GOOD;
}

#define START_STOP_START    0x01
#define START_STOP_LOEJ     0x02
#define START_STOP_NO_FLUSH 0x04

/* SBC-4 5.31. There is nothing that could spin down: stopping makes durable what was written, and
 * the unit stays ready, because other initiators may be using it. */
uint8_t op_start_stop_unit(struct exec *exec)
{
    uint8_t how = exec->cdb[4];

    if ((how >> 4) != 0 || (how & START_STOP_LOEJ)) /* POWER CONDITION; not removable */
        return exec_fail_field(exec);
    if (how & (START_STOP_START | START_STOP_NO_FLUSH))
        return SCSI_STATUS_GOOD;
    return exec_result(exec, volume_flush(exec->volume), true);
}

#define DIAGNOSTIC_CODE 0xE0 /* SELF-TEST CODE */
#define DIAGNOSTIC_SELF 0x04

/* SPC-4 6.42. The default self-test reads a block: whether the volume can be read at
 * all. There are no diagnostic pages and no self-tests in the background, whose
 * results a log page would keep. */
uint8_t op_send_diagnostic(struct exec *exec)
{
    uint8_t block[4096];
    struct iovec iov = {.iov_base = block, .iov_len = volume_block_size(exec->volume)};

    if ((exec->cdb[1] & DIAGNOSTIC_CODE) || get_be16(exec->cdb + 3) != 0)
        return exec_fail_field(exec);
    if ((exec->cdb[1] & DIAGNOSTIC_SELF) && volume_read(exec->volume, &iov, 1, 0) != 0)
        return exec_fail(exec, SENSE_HARDWARE_ERROR, ASC_LOGICAL_UNIT_FAILED_SELF_TEST);
    return SCSI_STATUS_GOOD;
}

#define REQUEST_SENSE_DESC 0x01

uint16_t lun_exception(struct lun *lun)
{
    return atomic_load(&lun->mode.false_exception) ? ASC_FAILURE_PREDICTION_FALSE : ASC_NONE;
}

/* SPC-4 6.39. A pending unit attention is what there is to tell, and is told once (SAM-5 5.14);
 * after it how far SANITIZE is (SBC-4 4.11.2), and then an informational exception. The format is
 * the one asked for,
 * whatever D_SENSE says. */
uint8_t op_request_sense(struct exec *exec)
{
    uint8_t bytes[SENSE_DESCRIPTOR_MAX_BYTES];
    struct sense sense = {.key = SENSE_NO_SENSE};
    size_t length = SENSE_FIXED_BYTES;

    if (!lun_take_attention(exec->lun, &sense) && !sanitize_sense(exec->lun, &sense))
        sense.asc_ascq = lun_exception(exec->lun);
    if (exec->cdb[1] & REQUEST_SENSE_DESC)
        length = sense_encode_descriptor(&sense, bytes);
    else
        sense_encode_fixed(&sense, bytes);
    return reply_whole(exec, bytes, length, exec->cdb[4]);
}
