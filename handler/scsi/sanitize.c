/* SPDX-License-Identifier: Apache-2.0 */

/* SANITIZE, SBC-4 4.11 and 5.30. The volume is sealed, which its description says, before the first
 * byte is touched, and opened when the last is durable: whatever happens between, the logical unit
 * comes up again as one whose sanitize operation failed, until another one succeeds or the failure
 * is accepted with EXIT FAILURE MODE. */

#include "sanitize.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "log.h"
#include "lun_internal.h"
#include "sense.h"

#define IMMED            0x80
#define ZNR              0x40
#define AUSE             0x20

#define OVERWRITE_HEADER 4
#define OVERWRITE_INVERT 0x80
#define OVERWRITE_TEST   0x60
#define OVERWRITE_COUNT  0x1F

int sanitize_init(struct lun *lun)
{
    struct sanitize *sanitize = calloc(1, sizeof(*sanitize));

    if (!sanitize)
        return -ENOMEM;
    pthread_mutex_init(&sanitize->lock, NULL);
    pthread_cond_init(&sanitize->ended, NULL);
    if (volume_sealed(lun->volume) != VOLUME_WHOLE) {
        sanitize->state = SANITIZE_FAILED;
        log_warning("LUN %s: a SANITIZE broke off; until one succeeds its blocks can neither be "
                    "read nor written",
                    lun->serial);
    }
    lun->sanitize = sanitize;
    return 0;
}

void sanitize_end(struct lun *lun)
{
    struct sanitize *sanitize = lun->sanitize;

    atomic_store(&sanitize->stop, true);
    if (sanitize->has_thread)
        pthread_join(sanitize->thread, NULL);
    pthread_cond_destroy(&sanitize->ended);
    pthread_mutex_destroy(&sanitize->lock);
    free(sanitize);
}

bool lun_is_sealed(const struct lun *lun)
{
    return atomic_load_explicit(&lun->sanitize->state, memory_order_relaxed) != SANITIZE_NONE;
}

bool sanitize_sense(struct lun *lun, struct sense *ret)
{
    *ret = (struct sense){0};
    switch (atomic_load_explicit(&lun->sanitize->state, memory_order_relaxed)) {
    case SANITIZE_RUNNING:
        *ret = (struct sense){.key = SENSE_NOT_READY, .asc_ascq = ASC_SANITIZE_IN_PROGRESS};
        sense_set_progress(ret, (uint16_t)(atomic_load(&lun->sanitize->progress) &
                                           (VOLUME_PROGRESS_ALL - 1)));
        return true;
    case SANITIZE_FAILED:
        *ret = (struct sense){.key = SENSE_MEDIUM_ERROR, .asc_ascq = ASC_SANITIZE_FAILED};
        return true;
    default:
        return false;
    }
}

struct sense lun_sealed_sense(struct lun *lun)
{
    struct sense sense;

    if (!sanitize_sense(lun, &sense)) /* it has ended since */
        sense = (struct sense){.key = SENSE_NOT_READY, .asc_ascq = ASC_SANITIZE_IN_PROGRESS};
    return sense;
}

uint8_t exec_fail_sealed(struct exec *exec)
{
    struct sense sense = lun_sealed_sense(exec->lun);

    return exec_fail_sense(exec, &sense);
}

static void set_state(struct sanitize *sanitize, enum sanitize_state state)
{
    pthread_mutex_lock(&sanitize->lock);
    sanitize->state = state;
    pthread_cond_broadcast(&sanitize->ended);
    pthread_mutex_unlock(&sanitize->lock);
}

static void *run(void *argument)
{
    struct lun *lun = argument;
    struct sanitize *sanitize = lun->sanitize;
    struct errmsg err = {0};
    int error = volume_sanitize(lun->volume, &sanitize->plan, &sanitize->progress, &sanitize->stop);

    if (error)
        errmsg_set(&err, error, "%s", error == -ECANCELED ? "it was closed" : strerror(-error));
    else
        error = volume_unseal(lun->volume, &err);
    if (error)
        lun_log(lun, LUN_LOG_SANITIZE_FAILED, LOG_LEVEL_ERROR,
                "SANITIZE did not get to its end: %s", err.text);
    else
        lun_log(lun, LUN_LOG_SANITIZE, LOG_LEVEL_INFO, "SANITIZE is done");
    set_state(sanitize, error ? SANITIZE_FAILED : SANITIZE_NONE);
    return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(struct lun *lun)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&lun->sanitize->thread, NULL, run, lun);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

/* Begins what the plan says; none is running and the lock is held. 0, or why it can't begin. */
static int begin(struct lun *lun, const struct volume_sanitize_plan *plan, enum volume_seal how,
                 struct errmsg *err)
{
    struct sanitize *sanitize = lun->sanitize;
    enum sanitize_state before = sanitize->state;
    int error;

    if (sanitize->has_thread)
        pthread_join(sanitize->thread, NULL);
    sanitize->has_thread = false;
    sanitize->plan = *plan;
    sanitize->progress = 0;
    sanitize->state = SANITIZE_RUNNING;
    error = volume_seal(lun->volume, how, err);
    if (!error) {
        error = start_thread(lun);
        if (error) {
            errmsg_set(err, error, "no thread: %s", strerror(-error));
            if (before == SANITIZE_NONE && volume_unseal(lun->volume, NULL))
                before = SANITIZE_FAILED;
        }
    }
    if (error)
        sanitize->state = before;
    else
        sanitize->has_thread = true;
    return error;
}

/* What the operation came to. */
static uint8_t wait_for_end(struct exec *exec)
{
    struct sanitize *sanitize = exec->lun->sanitize;
    bool failed;

    pthread_mutex_lock(&sanitize->lock);
    while (sanitize->state == SANITIZE_RUNNING)
        pthread_cond_wait(&sanitize->ended, &sanitize->lock);
    failed = sanitize->state == SANITIZE_FAILED;
    pthread_mutex_unlock(&sanitize->lock);
    return failed ? exec_fail_sealed(exec) : SCSI_STATUS_GOOD;
}

/* After a failure in restricted completion mode nothing but the same, without AUSE, is allowed. */
static bool mode_allowed(const struct exec *exec)
{
    return volume_sealed(exec->volume) != VOLUME_SEALED_RESTRICTED || !(exec->cdb[1] & AUSE);
}

static uint8_t sanitize(struct exec *exec, const struct volume_sanitize_plan *plan)
{
    struct lun *lun = exec->lun;
    enum volume_seal how =
        exec->cdb[1] & AUSE ? VOLUME_SEALED_UNRESTRICTED : VOLUME_SEALED_RESTRICTED;
    struct errmsg err = {0};
    bool running, allowed;
    int error = 0;

    pthread_mutex_lock(&lun->sanitize->lock);
    exec->durable = true; /* when it ends, and not before: IMMED does not wait */
    running = lun->sanitize->state == SANITIZE_RUNNING;
    allowed = running || mode_allowed(exec);
    if (!running && allowed)
        error = begin(lun, plan, how, &err);
    pthread_mutex_unlock(&lun->sanitize->lock);
    if (running)
        return exec_fail_sealed(exec);
    if (!allowed)
        return exec_fail_field(exec);
    if (error) {
        lun_log(lun, LUN_LOG_SANITIZE_FAILED, LOG_LEVEL_ERROR, "SANITIZE cannot begin: %s",
                err.text);
        return exec_result(exec, error, true);
    }
    return exec->cdb[1] & IMMED ? SCSI_STATUS_GOOD : wait_for_end(exec);
}

/* What is reserved is looked at here: no command is worse to have misunderstood. */
static bool fields_are_sound(const struct exec *exec)
{
    for (int i = 2; i <= 6; i++)
        if (exec->cdb[i] != 0)
            return false;
    return !(exec->cdb[1] & ZNR); /* there are no zones */
}

uint8_t op_sanitize_overwrite(struct exec *exec)
{
    const struct lun_command *command = exec->command;
    struct iov_cursor data = iov_cursor_at_start(command->data_out, command->data_out_count);
    size_t length = get_be16(exec->cdb + 7);
    struct volume_sanitize_plan plan = {.overwrite = true};
    uint8_t header[OVERWRITE_HEADER];

    if (!fields_are_sound(exec) || length <= OVERWRITE_HEADER ||
        length > OVERWRITE_HEADER + volume_block_size(exec->volume))
        return exec_fail_field(exec);
    if (!exec_data_out_has(exec, length))
        return exec_fail_length(exec);
    iov_cursor_read(&data, header, sizeof(header));
    plan.pattern_bytes = get_be16(header + 2);
    plan.passes = header[0] & OVERWRITE_COUNT;
    plan.invert = header[0] & OVERWRITE_INVERT;
    if (plan.passes == 0 || (header[0] & OVERWRITE_TEST) || plan.pattern_bytes == 0 ||
        plan.pattern_bytes > length - OVERWRITE_HEADER)
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    iov_cursor_read(&data, plan.pattern, plan.pattern_bytes);
    return sanitize(exec, &plan);
}

uint8_t op_sanitize_block_erase(struct exec *exec)
{
    const struct volume_sanitize_plan plan = {.passes = 1};

    if (!fields_are_sound(exec) || get_be16(exec->cdb + 7) != 0)
        return exec_fail_field(exec);
    return sanitize(exec, &plan);
}

/* The failure of an operation that allowed it (AUSE) is accepted: the blocks are what they are. */
uint8_t op_sanitize_exit_failure_mode(struct exec *exec)
{
    struct lun *lun = exec->lun;
    enum sanitize_state state;
    struct errmsg err = {0};
    bool allowed;
    int error = 0;

    if (!fields_are_sound(exec) || get_be16(exec->cdb + 7) != 0)
        return exec_fail_field(exec);
    pthread_mutex_lock(&lun->sanitize->lock);
    state = lun->sanitize->state;
    allowed = state != SANITIZE_FAILED || volume_sealed(lun->volume) == VOLUME_SEALED_UNRESTRICTED;
    if (state == SANITIZE_FAILED && allowed) {
        error = volume_unseal(lun->volume, &err);
        if (!error)
            lun->sanitize->state = SANITIZE_NONE;
    }
    pthread_mutex_unlock(&lun->sanitize->lock);
    if (!allowed)
        return exec_fail_field(exec);
    if (error)
        lun_log(lun, LUN_LOG_SANITIZE_FAILED, LOG_LEVEL_ERROR, "the failure of SANITIZE stays: %s",
                err.text);
    return state == SANITIZE_RUNNING ? exec_fail_sealed(exec) : exec_result(exec, error, true);
}
