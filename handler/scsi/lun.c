/* SPDX-License-Identifier: Apache-2.0 */

/* The logical unit's life, and the frame around every command. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "log.h"
#include "lun_internal.h"
#include "registry.h"
#include "rod_token.h"
#include "sense.h"

/* An NAA 6h designator (SPC-4 7.8.6.6.5) under a locally administered company identifier, its 100
 * free bits filled from the UUID's random ones: all but version and variant, and of those the last.
 */
#define NAA_IEEE_REGISTERED_EXTENDED 0x6
#define LOCAL_COMPANY_ID             "02544d"

static uint8_t hex_value(char digit)
{
    return (uint8_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

static void make_naa(const uuid_t uuid, uint8_t naa[static 16])
{
    char digits[33] = {NAA_IEEE_REGISTERED_EXTENDED + '0'};
    char text[UUID_STR_LEN];
    size_t from = UUID_STR_LEN - 1;

    memcpy(digits + 1, LOCAL_COMPANY_ID, 6);
    uuid_unparse_lower(uuid, text);
    for (size_t to = 32; to-- > 7;) {
        do {
            from--;
        } while (text[from] == '-' || from == 14 || from == 19); /* the version, the variant */
        digits[to] = text[from];
    }
    for (int i = 0; i < 16; i++)
        naa[i] = (uint8_t)(hex_value(digits[2 * i]) << 4 | hex_value(digits[2 * i + 1]));
}

int lun_open(struct volume *volume, struct lun **ret)
{
    struct lun *lun = calloc(1, sizeof(*lun));

    if (!lun) {
        volume_close(volume);
        return -ENOMEM;
    }
    lun->volume = volume;
    make_naa(volume_get_meta(volume)->uuid, lun->naa);
    uuid_unparse_lower(volume_get_meta(volume)->uuid, lun->serial);
    lun_log_init(&lun->log);
    mode_init(&lun->mode, volume);
    thresholds_init(&lun->thresholds);
    if (sanitize_init(lun)) {
        thresholds_destroy(&lun->thresholds);
        mode_destroy(&lun->mode);
        lun_log_destroy(&lun->log);
        volume_close(volume);
        free(lun);
        return -ENOMEM;
    }
    copy_records_init(&lun->copy_records);
    token_records_init(&lun->token_records);
    lun_look_at_thresholds(lun);
    lun_raise_attention(lun, LUN_ATTENTION_POWER_ON);
    registry_add(lun);
    *ret = lun;
    return 0;
}

void lun_close(struct lun *lun)
{
    int error;

    if (!lun)
        return;
    registry_remove(lun);
    rod_token_forget(lun);
    sanitize_end(lun);
    error = volume_close(lun->volume);
    if (error)
        log_error("LUN %s: its last writes cannot be made durable: %s", lun->serial,
                  strerror(-error));
    copy_records_destroy(&lun->copy_records);
    token_records_destroy(&lun->token_records);
    thresholds_destroy(&lun->thresholds);
    mode_destroy(&lun->mode);
    lun_log_destroy(&lun->log);
    free(lun);
}

void lun_set_copy_group(struct lun *lun, const char *group)
{
    registry_set_group(lun, group);
}

void lun_set_access(struct lun *lun, lun_access_look *look, void *context)
{
    lun->look = look;
    lun->look_context = context;
}

void lun_set_ports(struct lun *lun, lun_ports_look *look, void *context)
{
    lun->look_at_ports = look;
    lun->ports_context = context;
}

struct lun_ports lun_ports(const struct lun *lun)
{
    struct lun_ports ports = {0};

    if (lun->look_at_ports)
        lun->look_at_ports(lun->ports_context, &ports);
    return ports;
}

struct volume *lun_volume(struct lun *lun)
{
    return lun->volume;
}

int lun_resize(struct lun *lun, uint64_t bytes, struct errmsg *err)
{
    uint64_t before = volume_bytes(lun->volume);
    int error = volume_resize(lun->volume, bytes, false, err);

    /* Also when it failed afterwards, because the new size could not be made durable. */
    if (volume_bytes(lun->volume) != before)
        lun_raise_attention(lun, LUN_ATTENTION_CAPACITY_CHANGED);
    return error;
}

void lun_set_threshold(struct lun *lun, unsigned used_percent)
{
    mode_set_percent_threshold(&lun->mode, 100 - used_percent);
    lun_look_at_thresholds(lun);
}

void lun_set_clock(struct lun *lun, uint64_t (*now_ms)(void))
{
    lun->thresholds.now_ms = now_ms;
    lun_look_at_thresholds(lun);
}

enum scsi_asc_ascq lun_write_protection(const struct lun *lun)
{
    if (volume_read_only(lun->volume))
        return ASC_WRITE_PROTECTED;
    return atomic_load_explicit(&lun->mode.write_protected, memory_order_relaxed)
               ? ASC_SOFTWARE_WRITE_PROTECTED
               : ASC_NONE;
}

uint8_t exec_fail_sense(struct exec *exec, const struct sense *sense)
{
    if (atomic_load_explicit(&exec->lun->mode.descriptor_sense, memory_order_relaxed))
        sense_encode_descriptor(sense, exec->command->sense);
    else
        sense_encode_fixed(sense, exec->command->sense);
    return SCSI_STATUS_CHECK_CONDITION;
}

uint8_t exec_fail(struct exec *exec, enum scsi_sense_key key, enum scsi_asc_ascq asc_ascq)
{
    return exec_fail_sense(exec,
                           &(struct sense){.key = (uint8_t)key, .asc_ascq = (uint16_t)asc_ascq});
}

uint8_t exec_fail_field(struct exec *exec)
{
    return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

uint8_t exec_fail_length(struct exec *exec)
{
    return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
}

static struct sense write_protected_sense(const struct lun *lun)
{
    enum scsi_asc_ascq protection = lun_write_protection(lun);

    /* The protection may have been lifted since. */
    if (protection == ASC_NONE)
        protection = ASC_WRITE_PROTECTED;
    return (struct sense){.key = SENSE_DATA_PROTECT, .asc_ascq = (uint16_t)protection};
}

struct sense lun_error_sense(struct lun *lun, int error, bool writing)
{
    switch (error) {
    case -ENOSPC:
        if (!atomic_exchange(&lun->full_logged, true))
            lun_log(lun, LUN_LOG_FULL, LOG_LEVEL_WARNING,
                    "the file system below it is full; writes to blocks that are not mapped yet "
                    "fail until space is freed");
        return (struct sense){.key = SENSE_DATA_PROTECT,
                              .asc_ascq = ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT};
    case -EROFS:
        return write_protected_sense(lun);
    case -ESHUTDOWN:
        return lun_sealed_sense(lun);
    case -ERANGE:
        return (struct sense){.key = SENSE_ILLEGAL_REQUEST, .asc_ascq = ASC_LBA_OUT_OF_RANGE};
    default:
        lun_log(lun, writing ? LUN_LOG_WRITING : LUN_LOG_READING, LOG_LEVEL_ERROR, "%s failed: %s",
                writing ? "writing" : "reading", strerror(-error));
        return (struct sense){.key = SENSE_MEDIUM_ERROR,
                              .asc_ascq = writing ? ASC_WRITE_ERROR : ASC_UNRECOVERED_READ_ERROR};
    }
}

uint8_t exec_result(struct exec *exec, int error, bool writing)
{
    struct sense sense;

    if (!error)
        return SCSI_STATUS_GOOD;
    sense = lun_error_sense(exec->lun, error, writing);
    return exec_fail_sense(exec, &sense);
}

void reply_start(struct exec *exec, size_t allocation_length)
{
    exec->reply = iov_cursor_at_start(exec->command->data_in, exec->command->data_in_count);
    exec->reply_left = allocation_length;
    exec->command->data_in_bytes = 0;
}

void reply_add(struct exec *exec, const void *bytes, size_t length)
{
    size_t done = length < exec->reply_left ? length : exec->reply_left;

    done = iov_cursor_write(&exec->reply, bytes, done);
    exec->reply_left -= done;
    exec->command->data_in_bytes += done;
}

uint8_t reply_whole(struct exec *exec, const void *bytes, size_t length, size_t allocation_length)
{
    reply_start(exec, allocation_length);
    reply_add(exec, bytes, length);
    return SCSI_STATUS_GOOD;
}
