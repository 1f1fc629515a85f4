/* SPDX-License-Identifier: Apache-2.0 */

/* The tcmu-runner handler "thin": every command of a device goes to its logical unit.
 *
 * Threads: check_config, open, close and reconfig come from the runner's main thread. handle_cmd
 * comes from the one thread that takes the device's commands off the ring, for nr_threads is 0. It
 * serves there and then what memory can answer, as a hand-over to another thread costs more than
 * that; what may wait for the disk goes to the device's own workers, so that the other commands
 * need not wait too. When a command waits nevertheless, another thread takes over the ring until it
 * is done (stand_in.h).
 *
 * Every command is completed by this module, whichever thread served it, under a lock of
 * completions.h: the runner would complete what handle_cmd returns a status for under a lock of its
 * own. The runner cancels and joins its thread before it calls close. It must not die inside the
 * logical unit, where it may hold locks: cancellation is off while it is there. close waits for the
 * workers; only then the ring goes. */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "cfgstring.h"
#include "cleanup.h"
#include "completions.h"
#include "errmsg.h"
#include "iov.h"
#include "kernel_access.h"
#include "kernel_alua.h"
#include "log.h"
#include "lun.h"
#include "pace.h"
#include "quiet_thread.h"
#include "runner_log.h"
#include "scsi_defs.h"
#include "sense.h"
#include "served.h"
#include "stand_in.h"
#include "tcmur_abi.h"
#include "volume.h"
#include "volume_track.h"
#include "workers.h"

_Static_assert(TCMULIB_SENSE_BYTES == LUN_SENSE_BYTES, "the sense buffers are of one size");

#define MORE_TASKS "raise the number of tasks that tcmu-runner may have (systemd's TasksMax)"

struct thin_device {
    struct lun *lun;
    struct cfgstring config;
    struct kernel_device kernel;
    struct completions completions;
    struct workers *workers;
    struct stand_in *stand_in;
    struct served served;
    struct pace pace;    /* of the thread that takes the commands, as what follows is */
    bool taken_any;      /* commands */
    bool told_no_thread; /* in the log */
};

static bool thin_check_config(const char *text, char **reason)
{
    struct cfgstring config;
    struct volume *volume = NULL;
    struct errmsg err = {0};

    if (cfgstring_parse(text, &config, &err) == 0 &&
        volume_open(config.path, config.read_only, &volume, &err) == 0 &&
        served_check(volume, config.path, &err) == 0) {
        volume_close(volume);
        return true;
    }
    volume_close(volume);
    *reason = strdup(err.text);
    return false;
}

/* The size as configured. The runner rounds its own figure down to whole blocks, so configfs is
 * asked first. */
static uint64_t configured_bytes(struct tcmu_device *dev)
{
    int error = 0;
    uint64_t bytes = tcmu_cfgfs_dev_get_info_u64(dev, "Size", &error);

    if (error)
        bytes = tcmu_dev_get_num_lbas(dev) * tcmu_dev_get_block_size(dev);
    return bytes;
}

/* What initiators see comes from the volume, but the kernel and targetcli go by what was
 * configured: the two must agree. */
static int check_geometry(struct tcmu_device *dev, const struct volume *volume, const char *path,
                          struct errmsg *err)
{
    uint32_t block_size = tcmu_dev_get_block_size(dev);
    uint64_t bytes = configured_bytes(dev);

    if (block_size != volume_block_size(volume))
        return errmsg_set(err, -EINVAL,
                          "%s has blocks of %u bytes, but %u are configured; create the backstore "
                          "with control=hw_block_size=%u",
                          path, volume_block_size(volume), block_size, volume_block_size(volume));
    if (bytes % block_size != 0)
        return errmsg_set(err, -EINVAL,
                          "the configured size of %" PRIu64 " bytes is no multiple of the block "
                          "size of %u bytes; %s is %" PRIu64 " bytes, create the backstore with "
                          "size=%" PRIu64,
                          bytes, block_size, path, volume_bytes(volume), volume_bytes(volume));
    if (bytes != volume_bytes(volume))
        return errmsg_set(err, -EINVAL,
                          "%s is %" PRIu64 " bytes, but %" PRIu64 " are configured; create the "
                          "backstore with size=%" PRIu64 ", or resize the volume with 'thinvol "
                          "resize'",
                          path, volume_bytes(volume), bytes, volume_bytes(volume));
    return 0;
}

/* Tests have one of their own. */
static const char *sys_folder(void)
{
    const char *folder = secure_getenv("THINMIRROR_SYS");

    return folder ? folder : "/sys";
}

/* What the kernel calls the device, with the cfgstring as configured; "" when it does not say. */
static void read_uio_name(struct tcmu_device *dev, char *to, int size)
{
    char path[256];
    FILE *file;

    to[0] = '\0';
    snprintf(path, sizeof(path), "%s/class/uio/%s/name", sys_folder(), tcmu_dev_get_uio_name(dev));
    file = fopen(path, "re");
    if (!file)
        return;
    if (!fgets(to, size, file))
        to[0] = '\0';
    fclose(file);
}

/* The runner cuts its own option out of what it hands over, so that the option is looked for where
 * the runner has found it. Where there is no such place there is no option either. */
static int check_runner_options(const char *uio_name, struct errmsg *err)
{
    struct cfgstring ignored;
    const char *option = strstr(uio_name, ";" CFGSTRING_RUNNER_TIMEOUT);

    return option ? cfgstring_parse("thin//x;" CFGSTRING_RUNNER_TIMEOUT, &ignored, err) : 0;
}

/* Once is enough: it is the same for all devices. */
static void warn_of_reservations(const char *root)
{
    static atomic_bool warned;
    char folder[KERNEL_TARGET_PATH_BYTES];

    if (kernel_reservation_folder(root, folder) == -ENOENT && !atomic_exchange(&warned, true))
        log_warning("the kernel keeps persistent reservations in %s, which does not exist: they "
                    "will fail half done; run: mkdir -p %s",
                    folder, folder);
}

/* Where nothing can be found out of reservations, the LUN takes them for made (lun_access). */
static void find_kernel_device(const char *uio_name, struct kernel_device *ret)
{
    char root[256];

    snprintf(root, sizeof(root), "%s/kernel/config/target", sys_folder());
    if (kernel_device_init(ret, root, uio_name))
        log_warning("'%.*s' is no name of a TCMU device; WRITE SAME without data, FORMAT UNIT "
                    "and SANITIZE will be refused",
                    (int)strcspn(uio_name, "\n"), uio_name);
    warn_of_reservations(root);
}

/* What the option asks for; no command has come yet. */
static int open_volume(const struct cfgstring *config, struct volume **ret, struct errmsg *err)
{
    int error = volume_open(config->path, config->read_only, ret, err);

    if (error)
        return error;
    if (config->track == CFGSTRING_TRACK) {
        error = volume_track(*ret, err);
    } else if (config->track == CFGSTRING_TRACK_NO) {
        volume_refuse_track(*ret);
        error = volume_untrack(*ret, err);
    }
    if (error)
        volume_close(*ret);
    return error;
}

static int open_lun(struct tcmu_device *dev, struct thin_device *thin, struct errmsg *err)
{
    const struct cfgstring *config = &thin->config;
    char uio_name[1024];
    struct volume *volume;
    int error;

    read_uio_name(dev, uio_name, sizeof(uio_name));
    error = check_runner_options(uio_name, err);
    if (!error)
        error = open_volume(config, &volume, err);
    if (error)
        return error;
    error = check_geometry(dev, volume, config->path, err);
    if (!error)
        error = served_add(&thin->served, volume, config->path, err);
    if (error) {
        volume_close(volume);
        return error;
    }
    error = lun_open(volume, &thin->lun);
    if (error) {
        served_remove(&thin->served);
        return errmsg_set(err, error, "%s: %s", config->path, strerror(-error));
    }
    lun_set_copy_group(thin->lun, config->copy_group);
    find_kernel_device(uio_name, &thin->kernel);
    lun_set_access(thin->lun, kernel_access_look, &thin->kernel);
    lun_set_ports(thin->lun, kernel_ports_look, &thin->kernel);
    if (config->threshold_percent > 0)
        lun_set_threshold(thin->lun, (unsigned)config->threshold_percent);
    return 0;
}

/* The runner speaks statuses of its own; what it can't say is an internal target failure. */
static int runner_status(uint8_t scsi_status, uint8_t *sense)
{
    switch (scsi_status) {
    case SCSI_STATUS_GOOD:
    case SCSI_STATUS_CONDITION_MET:
        return TCMU_STS_OK;
    case SCSI_STATUS_BUSY:
        return TCMU_STS_BUSY;
    case SCSI_STATUS_TASK_SET_FULL:
        return TCMU_STS_NO_RESOURCE;
    case SCSI_STATUS_RESERVATION_CONFLICT:
        return COMPLETION_RESERVATION_CONFLICT;
    case SCSI_STATUS_CHECK_CONDITION:
        return TCMU_STS_PASSTHROUGH_ERR;
    default:
        sense_encode_fixed(&(struct sense){.key = SENSE_HARDWARE_ERROR,
                                           .asc_ascq = ASC_INTERNAL_TARGET_FAILURE},
                           sense);
        return TCMU_STS_PASSTHROUGH_ERR;
    }
}

/* Serves the command as far as patience goes: the runner's status, or LUN_WOULD_WAIT.
 * *ret_reply_bytes: of the Data-In that comes with the status. */
static int execute(struct thin_device *thin, struct tcmulib_cmd *cmd, enum lun_patience patience,
                   size_t *ret_reply_bytes)
{
    int cdb_length = tcmu_cdb_get_length(cmd->cdb);
    /* The ring does not tell which way the data goes. */
    struct lun_command command = {
        .cdb = cmd->cdb,
        .cdb_length = cdb_length > 0 ? (size_t)cdb_length : 0,
        .data_out = cmd->iovec,
        .data_out_count = (int)cmd->iov_cnt,
        .data_in = cmd->iovec,
        .data_in_count = (int)cmd->iov_cnt,
        .patience = patience,
    };
    uint8_t status = lun_execute(thin->lun, &command);

    if (status == LUN_WOULD_WAIT)
        return LUN_WOULD_WAIT;
    *ret_reply_bytes = status == SCSI_STATUS_GOOD ? command.data_in_bytes : 0;
    if (status == SCSI_STATUS_GOOD)
        return TCMU_STS_OK;
    memcpy(cmd->sense_buf, command.sense, sizeof(cmd->sense_buf));
    return runner_status(status, cmd->sense_buf);
}

/* A worker's, or where there is no handing over. */
static void serve(void *context, void *item)
{
    struct thin_device *thin = context;
    struct tcmulib_cmd *cmd = item;
    size_t reply_bytes = 0;
    int status = execute(thin, cmd, LUN_WAITS, &reply_bytes);

    completions_held(&thin->completions, cmd, status, reply_bytes);
}

/* Milliseconds, in the steps of the kernel's tick: this clock costs next to nothing. */
static uint64_t coarse_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* How often this thread has given the processor away, to wait for something. */
static long sleeps(void)
{
    struct rusage usage = {0};

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

/* Serves one of which it is not known whether it waits, here, and learns from it. */
static int execute_and_learn(struct thin_device *thin, struct tcmulib_cmd *cmd, uint64_t begun,
                             size_t *ret_reply_bytes)
{
    bool watched = pace_watches(&thin->pace);
    enum pace_sleep sleep = PACE_NOT_WATCHED;
    long before = 0;
    int status;

    if (watched) { /* it may be slow again */
        completions_tell(&thin->completions);
        before = sleeps();
    }
    stand_in_begin(thin->stand_in);
    status = execute(thin, cmd, LUN_WAITS_IF_UNKNOWN, ret_reply_bytes);
    stand_in_end(thin->stand_in);
    if (status == LUN_WOULD_WAIT)
        return status;
    if (watched)
        sleep = sleeps() != before ? PACE_SLEPT : PACE_NEVER_SLEPT;
    pace_tried(&thin->pace, iov_total(cmd->iovec, (int)cmd->iov_cnt), begun, coarse_ms(), sleep);
    return status;
}

/* False when the command is not one to serve here. */
static bool serve_at_once(struct thin_device *thin, struct tcmulib_cmd *cmd)
{
    uint64_t now = coarse_ms();
    size_t reply_bytes = 0;
    int status = pace_try(&thin->pace, now) ? execute_and_learn(thin, cmd, now, &reply_bytes)
                                            : execute(thin, cmd, LUN_NEVER_WAITS, &reply_bytes);

    if (status == LUN_WOULD_WAIT)
        return false;
    completions_here(&thin->completions, cmd, status, reply_bytes);
    return true;
}

/* Once a device, so that no initiator fills the log. */
static void tell_no_thread(struct thin_device *thin, int error)
{
    struct errmsg err;

    if (thin->told_no_thread)
        return;
    thin->told_no_thread = true;
    errmsg_set(&err, error,
               "%s: no thread can be started (%s), so that commands which wait for the disk are "
               "served one after the other; " MORE_TASKS,
               thin->config.path, strerror(-error));
    runner_log(thin->completions.dev, LOG_LEVEL_WARNING, err.text);
}

static void hand_over(struct thin_device *thin, struct tcmulib_cmd *cmd)
{
    int error;

    completions_tell(&thin->completions);
    error = workers_submit(thin->workers, cmd);
    if (error) {
        tell_no_thread(thin, error);
        serve(thin, cmd);
    }
}

/* While the runner's thread is held up inside a command; NULL when that begins. */
static void serve_meanwhile(void *context, struct tcmulib_cmd *cmd)
{
    struct thin_device *thin = context;
    size_t reply_bytes = 0;
    int status;

    if (!cmd) {
        completions_tell(&thin->completions);
        return;
    }
    completions_took(&thin->completions, cmd);
    status = execute(thin, cmd, LUN_NEVER_WAITS, &reply_bytes);
    if (status == LUN_WOULD_WAIT)
        hand_over(thin, cmd);
    else
        completions_here(&thin->completions, cmd, status, reply_bytes);
}

static int thin_handle_cmd(struct tcmu_device *dev, struct tcmur_cmd *runner_cmd)
{
    struct thin_device *thin = tcmur_dev_get_private(dev);
    struct tcmulib_cmd *cmd = runner_cmd->lib_cmd;
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    completions_took(&thin->completions, cmd);
    thin->taken_any = true;
    if (!serve_at_once(thin, cmd))
        hand_over(thin, cmd);
    pthread_setcancelstate(cancel_state, NULL);
    return TCMU_STS_ASYNC_HANDLED;
}

static int thin_open(struct tcmu_device *dev, bool reopen)
{
    CLEANUP_FREE struct thin_device *thin = calloc(1, sizeof(*thin));
    struct errmsg err = {"out of memory"};
    int error = -ENOMEM;

    (void)reopen; /* false even after a crash of the runner: every open expects the worst */
    if (thin)
        error = cfgstring_parse(tcmu_dev_get_cfgstring(dev), &thin->config, &err);
    if (!error)
        error = open_lun(dev, thin, &err);
    if (error) {
        runner_log(dev, LOG_LEVEL_ERROR, err.text);
        return error;
    }
    completions_init(&thin->completions, dev);
    error = workers_create(thin->config.threads, serve, thin, &thin->workers);
    if (!error)
        error = stand_in_create(dev, serve_meanwhile, thin, &thin->stand_in);
    if (error) {
        workers_stop(thin->workers);
        errmsg_set(&err, error, "%s cannot be served: %s", thin->config.path, strerror(-error));
        runner_log(dev, LOG_LEVEL_ERROR, err.text);
        lun_close(thin->lun);
        served_remove(&thin->served);
        completions_destroy(&thin->completions);
        return error;
    }
    tcmur_dev_set_private(dev, TAKE_PTR(thin));
    return 0;
}

static void *do_nothing(void *opaque)
{
    return opaque;
}

/* When the runner has no thread for a device that it has opened it closes it, and says nothing. */
static void explain_early_close(struct thin_device *thin)
{
    struct errmsg err;
    pthread_t thread;
    int error;

    if (thin->taken_any)
        return;
    error = quiet_thread_start(&thread, do_nothing, NULL);
    if (!error) {
        pthread_join(thread, NULL);
        return;
    }
    errmsg_set(&err, error,
               "%s is not served: tcmu-runner can start no thread for it (%s); " MORE_TASKS,
               thin->config.path, strerror(-error));
    runner_log(thin->completions.dev, LOG_LEVEL_ERROR, err.text);
}

static void thin_close(struct tcmu_device *dev)
{
    struct thin_device *thin = tcmur_dev_get_private(dev);

    explain_early_close(thin);
    tcmur_dev_set_private(dev, NULL);
    completions_tell(&thin->completions);
    stand_in_free(thin->stand_in);
    workers_stop(thin->workers);
    lun_close(thin->lun);
    served_remove(&thin->served);
    completions_destroy(&thin->completions);
    free(thin);
}

static int resize(struct tcmu_device *dev, uint64_t bytes, struct errmsg *err)
{
    struct thin_device *thin = tcmur_dev_get_private(dev);
    const struct volume *volume = lun_volume(thin->lun);
    uint32_t block_size = volume_block_size(volume);

    if (bytes == 0 || bytes % block_size != 0)
        return errmsg_set(err, -EINVAL,
                          "the new size of %" PRIu64 " bytes is no multiple of the block size of "
                          "%u bytes",
                          bytes, block_size);
    return lun_resize(thin->lun, bytes, err);
}

/* A restored configuration writes the string that is in force already. */
static int keep_config(struct tcmu_device *dev, const char *text, struct errmsg *err)
{
    const struct thin_device *thin = tcmur_dev_get_private(dev);
    struct cfgstring wanted;
    int error = cfgstring_parse(text, &wanted, err);

    if (error)
        return error;
    if (strcmp(wanted.path, thin->config.path) == 0 && wanted.read_only == thin->config.read_only &&
        wanted.threads == thin->config.threads &&
        wanted.threshold_percent == thin->config.threshold_percent &&
        wanted.track == thin->config.track &&
        strcmp(wanted.copy_group, thin->config.copy_group) == 0)
        return 0;
    return errmsg_set(err, -EOPNOTSUPP,
                      "the cfgstring of a LUN in use cannot change; delete the backstore and "
                      "create it anew");
}

/* The kernel's attribute is 0 from the start, whatever the handler does, and a restored
 * configuration writes that 0 again. */
static int keep_write_cache(bool wanted, struct errmsg *err)
{
    if (!wanted)
        return 0;
    return errmsg_set(err, -EOPNOTSUPP,
                      "emulate_write_cache means nothing to user:thin, leave it at 0; the LUN "
                      "has a write cache, which initiators switch off with MODE SELECT");
}

static int thin_reconfig(struct tcmu_device *dev, struct tcmulib_cfg_info *info)
{
    struct errmsg err = {0};
    int error;

    switch (info->type) {
    case TCMULIB_CFG_DEV_SIZE:
        error = resize(dev, info->data.dev_size, &err);
        break;
    case TCMULIB_CFG_DEV_CFGSTR:
        error = keep_config(dev, info->data.dev_cfgstring, &err);
        break;
    case TCMULIB_CFG_WRITE_CACHE:
        error = keep_write_cache(info->data.write_cache, &err);
        break;
    default:
        error =
            errmsg_set(&err, -EOPNOTSUPP, "unknown change of configuration (%d)", (int)info->type);
        break;
    }
    if (error)
        runner_log(dev, LOG_LEVEL_ERROR, err.text);
    return error;
}

static void log_from_anywhere(enum log_level level, const char *message)
{
    runner_log(NULL, level, message);
}

static struct tcmur_handler thin_handler = {
    .name = "Thin-provisioned volumes that report what is mapped",
    .subtype = CFGSTRING_SUBTYPE,
    .cfg_desc =
        "/ABSOLUTE/PATH[;option]...  The path of a volume made by 'thinvol create'.\n"
        "Options:\n"
        "  ro         write protected\n"
        "  threshold=N  tell initiators when N percent of the file system are used\n"
        "  threads=N  at most N commands wait for the disk at a time (1 to 8, default 8)\n"
        "  copy=GROUP EXTENDED COPY reaches the other LUNs of this group\n"
        "  track      record which blocks change; track=no: do not, and remove the record\n"
        "size must be the volume's size (see 'thinvol info PATH'). For a volume with blocks "
        "of 4096 bytes add control=hw_block_size=4096.",
    .check_config = thin_check_config,
    .reconfig = thin_reconfig,
    .open = thin_open,
    .close = thin_close,
    .nr_threads = 0,
    .handle_cmd = thin_handle_cmd,
};

__attribute__((visibility("default"))) int handler_init(void);

int handler_init(void)
{
    log_set_sink(log_from_anywhere);
    log_set_level(LOG_LEVEL_INFO);
    return tcmur_register_handler(&thin_handler);
}
