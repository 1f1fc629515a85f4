/* SPDX-License-Identifier: Apache-2.0 */
#include "runner_host.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_ring.h"

/* libtcmu's struct tcmu_device, which its exported functions read and write. */
#define TCMU_DEVICE_BYTES 4360

struct host_device {
    _Alignas(16) unsigned char tcmu_device[TCMU_DEVICE_BYTES];
    void *handler_data;
    struct host_ring *ring;
    uint64_t configured_bytes;
    pthread_t *workers;
    pthread_mutex_t lock;
    pthread_cond_t queued;
    pthread_cond_t completed;
    struct host_command *head, **tail; /* on the ring, and not with the handler */
    struct host_command *pending;      /* on the ring, or with the handler */
    unsigned wake_ups;
};

/* How libtcmu's own structure begins. */
struct device_begin {
    int fd;
    void *map;
    size_t map_len;
    uint32_t cmd_tail;
};

static struct device_begin *device_begin(void *device)
{
    return device;
}

void tcmu_dev_set_block_size(struct tcmu_device *dev, uint32_t block_size);
void tcmu_dev_set_num_lbas(struct tcmu_device *dev, uint64_t num_lbas);

static struct tcmur_handler *handler;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[16384];
static size_t log_longest;

/* The runner's side of the interface. */

int tcmur_register_handler(struct tcmur_handler *registered)
{
    handler = registered;
    return 0;
}

void *tcmur_dev_get_private(struct tcmu_device *dev)
{
    return ((struct host_device *)dev)->handler_data;
}

void tcmur_dev_set_private(struct tcmu_device *dev, void *handler_data)
{
    ((struct host_device *)dev)->handler_data = handler_data;
}

/* These stand in for libtcmu's, which read configfs and write files. */

uint64_t tcmu_cfgfs_dev_get_info_u64(struct tcmu_device *dev, const char *name, int *ret)
{
    *ret = strcmp(name, "Size") == 0 ? 0 : -1;
    return ((struct host_device *)dev)->configured_bytes;
}

char *tcmu_dev_get_memory_info(struct tcmu_device *dev, void **base, size_t *len, off_t *offset)
{
    (void)offset;
    *len = device_begin(dev)->map_len;
    *base = ((struct host_device *)dev)->ring;
    return strdup("/dev/uio0");
}

__attribute__((format(printf, 1, 0))) static void append_to_log(const char *format, va_list args)
{
    char piece[256];
    size_t length, used;

    vsnprintf(piece, sizeof(piece), format, args);
    length = strcspn(piece, "\n");
    pthread_mutex_lock(&log_lock);
    if (length > log_longest)
        log_longest = length;
    used = strlen(log_text);
    if (used + length + 2 < sizeof(log_text))
        snprintf(log_text + used, sizeof(log_text) - used, "%.*s ", (int)length, piece);
    pthread_mutex_unlock(&log_lock);
}

#define LOG_FUNCTION(name)                                                                         \
    __attribute__((format(printf, 4, 5))) void name(struct tcmu_device *dev, const char *function, \
                                                    int line, const char *format, ...)             \
    {                                                                                              \
        va_list args;                                                                              \
                                                                                                   \
        (void)dev;                                                                                 \
        (void)function;                                                                            \
        (void)line;                                                                                \
        va_start(args, format);                                                                    \
        append_to_log(format, args);                                                               \
        va_end(args);                                                                              \
    }

LOG_FUNCTION(tcmu_err_message)
LOG_FUNCTION(tcmu_warn_message)
LOG_FUNCTION(tcmu_info_message)
LOG_FUNCTION(tcmu_dbg_message)

const char *host_log(void)
{
    return log_text;
}

void host_log_clear(void)
{
    log_text[0] = '\0';
    log_longest = 0;
}

size_t host_log_longest(void)
{
    return log_longest;
}

struct tcmur_handler *host_load(const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    int (*init)(void);

    if (!module) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    init = (int (*)(void))dlsym(module, "handler_init");
    if (!init || init() != 0 || !handler) {
        fprintf(stderr, "%s registers no handler\n", path);
        exit(1);
    }
    return handler;
}

static void unlock(void *mutex)
{
    pthread_mutex_unlock(mutex);
}

/* A thread that is cancelled leaves its frames without their ends, which AddressSanitizer does not
 * see: what it has marked there would be found by whatever uses the stack next. */
#define CANCELLED_HERE __attribute__((no_sanitize_address, noinline))

/* Takes the first one off the ring. The lock is held. */
static struct host_command *take_first(struct host_device *device)
{
    struct host_command *command = device->head;

    device->head = command->next;
    if (!device->head)
        device->tail = &device->head;
    __atomic_store_n(&device_begin(device)->cmd_tail,
                     host_ring_behind(device->ring, device_begin(device)->cmd_tail),
                     __ATOMIC_RELEASE);
    return command;
}

CANCELLED_HERE static struct host_command *next_command(struct host_device *device)
{
    struct host_command *command;

    pthread_testcancel();
    pthread_mutex_lock(&device->lock);
    pthread_cleanup_push(unlock, &device->lock);
    while (!device->head)
        pthread_cond_wait(&device->queued, &device->lock);
    command = take_first(device);
    pthread_cleanup_pop(1);
    return command;
}

/* One command on its way, as the runner holds it: freed when it is completed. */
struct task {
    struct tcmulib_cmd lib_cmd; /* first, as it is what comes back */
    struct host_command *command;
    struct iovec iov[4];
    unsigned char behind_cdb[8 + sizeof(struct tcmur_cmd)]; /* unaligned, where the runner has it */
};

/* What is completed is freed, so that a later access is found, or kept for this thread's next one
 * where only the time counts. */
#ifdef HOST_KEEPS_TASKS
static _Thread_local struct task *kept;

static struct task *new_task(void)
{
    struct task *task = kept ? kept : malloc(sizeof(*task));

    kept = NULL;
    return task;
}

static void free_task(struct task *task)
{
    free(kept);
    kept = task;
}
#else
static struct task *new_task(void)
{
    return calloc(1, sizeof(struct task));
}

static void free_task(struct task *task)
{
    free(task);
}
#endif

/* What libtcmu makes of a status; the others are no concern of this handler. */
static uint8_t scsi_status_of(int status)
{
    switch (status) {
    case TCMU_STS_OK:
        return 0x00;
    case TCMU_STS_NO_RESOURCE:
        return 0x28;
    case TCMU_STS_BUSY:
        return 0x08;
    default:
        return 0x02;
    }
}

void tcmulib_command_complete(struct tcmu_device *dev, struct tcmulib_cmd *lib_cmd, int status)
{
    struct host_device *device = (struct host_device *)dev;
    struct task *task = (struct task *)lib_cmd;
    struct host_command *command = task->command;

    pthread_mutex_lock(&device->lock);
    command->status = status;
    host_ring_respond(device->ring, lib_cmd->cmd_id, scsi_status_of(status), lib_cmd->sense_buf);
    pthread_mutex_unlock(&device->lock);
    free_task(task);
}

/* The kernel knows commands by their ids. The lock is held. */
static struct host_command *take_pending(struct host_device *device, uint16_t cmd_id)
{
    for (struct host_command **at = &device->pending; *at; at = &(*at)->next_pending) {
        struct host_command *command = *at;

        if (command->cmd_id == cmd_id) {
            *at = command->next_pending;
            return command;
        }
    }
    fprintf(stderr, "a response to command %u, which has one or does not exist\n", cmd_id);
    abort();
}

void tcmulib_processing_complete(struct tcmu_device *dev)
{
    struct host_device *device = (struct host_device *)dev;
    struct host_response response;

    pthread_mutex_lock(&device->lock);
    device->wake_ups++;
    while (host_ring_take(device->ring, &response)) {
        struct host_command *command = take_pending(device, response.cmd_id);

        command->scsi_status = response.scsi_status;
        command->read_bytes = response.read_bytes;
        memcpy(command->sense, response.sense, sizeof(command->sense));
        command->done = true;
    }
    pthread_cond_broadcast(&device->completed);
    pthread_mutex_unlock(&device->lock);
}

static struct task *make_task(struct host_command *command)
{
    struct task *task = new_task();

    memcpy(task->iov, command->iov, sizeof(task->iov));
    task->command = command;
    task->lib_cmd = (struct tcmulib_cmd){.cmd_id = command->cmd_id,
                                         .cdb = command->cdb,
                                         .iovec = task->iov,
                                         .iov_cnt = command->iov_count};
    memset(task->lib_cmd.sense_buf, 0xa5, sizeof(task->lib_cmd.sense_buf));
    return task;
}

struct tcmulib_cmd *tcmulib_get_next_command(struct tcmu_device *dev, int private_bytes)
{
    struct host_device *device = (struct host_device *)dev;
    struct host_command *command;

    (void)private_bytes;
    pthread_mutex_lock(&device->lock);
    command = device->head ? take_first(device) : NULL;
    pthread_mutex_unlock(&device->lock);
    return command ? &make_task(command)->lib_cmd : NULL;
}

int tcmu_dev_get_fd(struct tcmu_device *dev)
{
    (void)dev;
    return -1;
}

/* The real one reads what the kernel has signalled, which is nothing here. */
void tcmulib_processing_start(struct tcmu_device *dev)
{
    (void)dev;
    fprintf(stderr, "a signal of the kernel's is taken that was not given\n");
    abort();
}

static void run_command(struct host_device *device, struct host_command *command)
{
    struct tcmu_device *dev = (struct tcmu_device *)device;
    struct task *task = make_task(command);
    struct tcmur_cmd *cmd = (struct tcmur_cmd *)(task->behind_cdb + 6);
    int status;

    cmd->lib_cmd = &task->lib_cmd;
    status = handler->handle_cmd(dev, cmd);
    if (status == TCMU_STS_ASYNC_HANDLED)
        return;
    tcmulib_command_complete(dev, &task->lib_cmd, status);
    tcmulib_processing_complete(dev);
}

/* The lock is held. */
static void put(struct host_device *device, struct host_command *command)
{
    command->done = false;
    command->status = HOST_OWN_RESPONSE;
    command->next = NULL;
    command->next_pending = device->pending;
    device->pending = command;
    command->cmd_id = host_ring_put(device->ring, command->cdb);
}

int host_call(struct host_device *device, struct host_command *command)
{
    pthread_mutex_lock(&device->lock);
    put(device, command);
    pthread_mutex_unlock(&device->lock);
    run_command(device, command);
    host_wait(device, command);
    return command->status;
}

CANCELLED_HERE static void *work(void *data)
{
    for (;;) {
        struct host_command *command = next_command(data);

        if (tcmu_cdb_get_length(command->cdb) >= 0) /* libtcmu drops the others */
            run_command(data, command);
    }
    return NULL;
}

/* Without workers the runner calls from the one thread that takes commands off the ring. */
static int thread_count(void)
{
    return handler->nr_threads > 0 ? handler->nr_threads : 1;
}

static void free_device(struct host_device *device)
{
    pthread_cond_destroy(&device->completed);
    pthread_cond_destroy(&device->queued);
    pthread_mutex_destroy(&device->lock);
    free(device->workers);
    free(device->ring);
    free(device);
}

int host_add(const char *cfgstring, uint32_t block_size, uint64_t bytes, struct host_device **ret)
{
    struct host_device *device = calloc(1, sizeof(*device));
    struct tcmu_device *dev = (struct tcmu_device *)device;
    int error;

    pthread_mutex_init(&device->lock, NULL);
    pthread_cond_init(&device->queued, NULL);
    pthread_cond_init(&device->completed, NULL);
    device->tail = &device->head;
    device->configured_bytes = bytes;
    device->ring = host_ring_create();
    device_begin(device)->map = device->ring;
    device_begin(device)->map_len = 1 << 23;
    tcmu_dev_set_block_size(dev, block_size);
    tcmu_dev_set_num_lbas(dev, bytes / block_size);
    strcpy(tcmu_dev_get_cfgstring(dev), cfgstring);
    device->workers = calloc((size_t)thread_count(), sizeof(*device->workers));
    for (int i = 0; i < thread_count(); i++)
        pthread_create(&device->workers[i], NULL, work, device);
    error = handler->open(dev, false);
    if (error) {
        for (int i = 0; i < thread_count(); i++) {
            pthread_cancel(device->workers[i]);
            pthread_join(device->workers[i], NULL);
        }
        free_device(device);
        return error;
    }
    *ret = device;
    return 0;
}

void host_remove(struct host_device *device)
{
    for (int i = 0; i < thread_count(); i++) {
        pthread_cancel(device->workers[i]);
        pthread_join(device->workers[i], NULL);
    }
    handler->close((struct tcmu_device *)device);
    free_device(device);
}

int host_reconfig(struct host_device *device, struct tcmulib_cfg_info *info)
{
    return handler->reconfig((struct tcmu_device *)device, info);
}

int host_resize(struct host_device *device, uint64_t bytes)
{
    struct tcmulib_cfg_info info = {.type = TCMULIB_CFG_DEV_SIZE, .data.dev_size = bytes};

    return host_reconfig(device, &info);
}

void host_submit(struct host_device *device, struct host_command *command)
{
    pthread_mutex_lock(&device->lock);
    put(device, command);
    *device->tail = command;
    device->tail = &command->next;
    pthread_cond_signal(&device->queued);
    pthread_mutex_unlock(&device->lock);
}

unsigned host_unanswered(struct host_device *device)
{
    unsigned count;

    pthread_mutex_lock(&device->lock);
    count = host_ring_unanswered(device->ring);
    pthread_mutex_unlock(&device->lock);
    return count;
}

unsigned host_wake_ups(struct host_device *device)
{
    unsigned wake_ups;

    pthread_mutex_lock(&device->lock);
    wake_ups = device->wake_ups;
    pthread_mutex_unlock(&device->lock);
    return wake_ups;
}

void host_wait(struct host_device *device, struct host_command *command)
{
    pthread_mutex_lock(&device->lock);
    while (!command->done)
        pthread_cond_wait(&device->completed, &device->lock);
    pthread_mutex_unlock(&device->lock);
}

int host_execute(struct host_device *device, struct host_command *command, void *buffer,
                 size_t bytes)
{
    command->iov[0] = (struct iovec){.iov_base = buffer, .iov_len = bytes};
    command->iov_count = buffer ? 1 : 0;
    host_submit(device, command);
    host_wait(device, command);
    return command->status;
}
