/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RUNNER_HOST_H
#define THINMIRROR_RUNNER_HOST_H

/* Plays tcmu-runner for a handler module, without a kernel: loads it, opens devices, runs their
 * commands on nr_threads workers, or on one thread, and takes devices away under load, in the
 * runner's order. The program must be linked with its symbols exported, and with libtcmu.so.2. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tcmur_abi.h"

struct host_device;

/* Loads the module and returns the handler it registered; ends the program when it can't. */
struct tcmur_handler *host_load(const char *path);

/* What the handler logged since host_log_clear, pieces joined. */
const char *host_log(void);
/* The longest piece since host_log_clear, in bytes. */
size_t host_log_longest(void);
void host_log_clear(void);

/* As for a new device: configured like this, opened, its workers started. 0 or the handler's
 * error. */
int host_add(const char *cfgstring, uint32_t block_size, uint64_t bytes, struct host_device **ret);

/* As for a removed device: cancels the threads, closes. Commands that the handler was not given yet
 * are dropped, with done left false. */
void host_remove(struct host_device *device);

/* A change of configuration, as the runner passes it on. */
int host_reconfig(struct host_device *device, struct tcmulib_cfg_info *info);
int host_resize(struct host_device *device, uint64_t bytes);

/* One command. The caller owns it until done, or until host_remove returned. */
struct host_command {
    uint8_t cdb[32];
    struct iovec iov[4];
    size_t iov_count;
    int status; /* enum tcmu_status; HOST_OWN_RESPONSE */
    uint8_t scsi_status;
    uint8_t sense[TCMULIB_SENSE_BYTES];
    uint32_t read_bytes; /* of the Data-In as the handler said; 0: all that there is room for */
    bool done;
    struct host_command *next, *next_pending; /* the host's, as what follows */
    uint16_t cmd_id;
};

/* The handler has written the response to the ring itself. */
#define HOST_OWN_RESPONSE (-1000)

void host_submit(struct host_device *device, struct host_command *command);
/* Commands on the ring that have no response. */
unsigned host_unanswered(struct host_device *device);
/* Waits for one command. */
void host_wait(struct host_device *device, struct host_command *command);

/* How often the handler has woken the kernel to look at completed commands. Only then are they
 * done. */
unsigned host_wake_ups(struct host_device *device);

/* Runs a command, which was not submitted, on the caller's own thread; the status. */
int host_call(struct host_device *device, struct host_command *command);

/* Submits a command with one buffer (may be NULL) and waits; the status. */
int host_execute(struct host_device *device, struct host_command *command, void *buffer,
                 size_t bytes);

#endif
