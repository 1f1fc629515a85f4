/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCMUR_ABI_H
#define THINMIRROR_TCMUR_ABI_H

/* The binary interface of tcmu-runner 1.5.4 (Debian 12), x86-64, as far as this handler uses it.
 * Debian packages no headers for it, so it is declared here and pinned by assertions. 1.6.x has the
 * same layout; 1.5.2 differs after unmap. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct tcmu_device; /* opaque: libtcmu's */

#define TCMULIB_SENSE_BYTES 96

/* One command as it came from the ring. iovec points into the data area that the kernel shares;
 * for a write it holds the Data-Out, for a read it receives the Data-In. */
struct tcmulib_cmd {
    uint16_t cmd_id;
    uint8_t *cdb;
    struct iovec *iovec;
    size_t iov_cnt;
    uint8_t sense_buf[TCMULIB_SENSE_BYTES];
    void *hm_private;
};

/* The runner's record of a command. Only lib_cmd is of use to a passthrough handler; done is NULL
 * there. Packed, because the runner puts it
 * right behind a CDB of 6 or 10 bytes, at any address. */
struct __attribute__((packed)) tcmur_cmd {
    struct tcmulib_cmd *lib_cmd;
    unsigned char runner_private[80];
    void (*done)(struct tcmu_device *dev, struct tcmur_cmd *cmd, int status);
};

/* What handle_cmd returns. Other values exist; the runner turns them into sense data of its own. */
enum tcmu_status {
    TCMU_STS_ASYNC_HANDLED = -2,  /* the handler completes the command itself */
    TCMU_STS_OK = 0,              /* GOOD */
    TCMU_STS_NO_RESOURCE = 1,     /* TASK SET FULL */
    TCMU_STS_PASSTHROUGH_ERR = 2, /* CHECK CONDITION with the sense data in sense_buf */
    TCMU_STS_BUSY = 3,            /* BUSY */
};

/* What attribute of a device in use is to change. */
enum tcmulib_cfg_type {
    TCMULIB_CFG_DEV_CFGSTR,
    TCMULIB_CFG_DEV_SIZE,
    TCMULIB_CFG_WRITE_CACHE,
};

struct tcmulib_cfg_info {
    enum tcmulib_cfg_type type;
    union {
        uint64_t dev_size; /* bytes */
        char *dev_cfgstring;
        bool write_cache;
    } data;
};

/* Registered once. The runner reads nr_threads before every open and again at every removal, so it
 * must not change. With no read, write and flush callbacks the runner emulates nothing. */
struct tcmur_handler {
    const char *name;
    const char *subtype;  /* what a cfgstring begins with, before the first slash */
    const char *cfg_desc; /* shown by targetcli's help */
    void *opaque;
    /* False: *reason is a message that the runner frees. */
    bool (*check_config)(const char *cfgstring, char **reason);
    int (*reconfig)(struct tcmu_device *dev, struct tcmulib_cfg_info *info);
    int (*open)(struct tcmu_device *dev, bool reopen);
    void (*close)(struct tcmu_device *dev);
    int nr_threads;
    int (*handle_cmd)(struct tcmu_device *dev, struct tcmur_cmd *cmd);
    void *not_used_io[6];     /* read, write, flush, unmap, writesame, caw */
    void *not_used_events[5]; /* report_event, lock, unlock, get_lock_tag, get_lock_state */
    bool is_dbus_handler;     /* the runner's own */
    bool (*update_logdir)(void);
    int (*init)(void);
    void (*destroy)(void);
};

/* libtcmu's struct tcmu_device is its own, but the position up to which it has taken commands off
 * the ring is shown nowhere else. 1.5.4 to 1.6.2 begin alike: the descriptor, where the ring is
 * mapped, how long that is, the position. NULL when the two in the middle are not what they should
 * be. */
static inline const uint32_t *tcmu_device_position(const struct tcmu_device *dev, const void *ring,
                                                   size_t ring_bytes)
{
    const struct {
        int fd;
        const void *map;
        size_t map_len;
        uint32_t cmd_tail;
    } *begin = (const void *)dev;

    return begin->map == ring && begin->map_len == ring_bytes && ring_bytes > 0 ? &begin->cmd_tail
                                                                                : NULL;
}

#if !defined(__x86_64__)
#error "the layout of tcmu-runner's structures is known for x86-64 only"
#endif

#define TCMUR_PIN(type, member, at) \
    _Static_assert(offsetof(type, member) == (at), #type "." #member " moved")

TCMUR_PIN(struct tcmulib_cmd, cdb, 8);
TCMUR_PIN(struct tcmulib_cmd, iovec, 16);
TCMUR_PIN(struct tcmulib_cmd, iov_cnt, 24);
TCMUR_PIN(struct tcmulib_cmd, sense_buf, 32);
TCMUR_PIN(struct tcmulib_cmd, hm_private, 128);
_Static_assert(sizeof(struct tcmulib_cmd) == 136, "tcmulib_cmd");
TCMUR_PIN(struct tcmur_cmd, lib_cmd, 0);
TCMUR_PIN(struct tcmur_cmd, done, 88);
_Static_assert(sizeof(struct tcmur_cmd) == 96, "tcmur_cmd");
TCMUR_PIN(struct tcmulib_cfg_info, data, 8);
_Static_assert(sizeof(struct tcmulib_cfg_info) == 16, "tcmulib_cfg_info");
TCMUR_PIN(struct tcmur_handler, name, 0);
TCMUR_PIN(struct tcmur_handler, subtype, 8);
TCMUR_PIN(struct tcmur_handler, cfg_desc, 16);
TCMUR_PIN(struct tcmur_handler, opaque, 24);
TCMUR_PIN(struct tcmur_handler, check_config, 32);
TCMUR_PIN(struct tcmur_handler, reconfig, 40);
TCMUR_PIN(struct tcmur_handler, open, 48);
TCMUR_PIN(struct tcmur_handler, close, 56);
TCMUR_PIN(struct tcmur_handler, nr_threads, 64);
TCMUR_PIN(struct tcmur_handler, handle_cmd, 72);
TCMUR_PIN(struct tcmur_handler, not_used_io, 80);
TCMUR_PIN(struct tcmur_handler, not_used_events, 128);
TCMUR_PIN(struct tcmur_handler, is_dbus_handler, 168);
TCMUR_PIN(struct tcmur_handler, update_logdir, 176);
TCMUR_PIN(struct tcmur_handler, init, 184);
TCMUR_PIN(struct tcmur_handler, destroy, 192);
_Static_assert(sizeof(struct tcmur_handler) == 200, "tcmur_handler");

/* Exported by the tcmu-runner program. */
int tcmur_register_handler(struct tcmur_handler *handler);
void *tcmur_dev_get_private(struct tcmu_device *dev);
void tcmur_dev_set_private(struct tcmu_device *dev, void *handler_data);

/* Exported by libtcmu.so.2, which the program loads. */
char *tcmu_dev_get_cfgstring(struct tcmu_device *dev);
/* "uio0": its name in sysfs ends with the whole cfgstring, where the runner takes it from. */
char *tcmu_dev_get_uio_name(struct tcmu_device *dev);
/* Where the memory shared with the kernel is mapped, mailbox first (linux/target_core_user.h), how
 * long it is and where in its file; each may be NULL. Returns that file's name, for the caller to
 * free, or NULL. */
char *tcmu_dev_get_memory_info(struct tcmu_device *dev, void **base, size_t *len, off_t *offset);
uint32_t tcmu_dev_get_block_size(struct tcmu_device *dev); /* bytes */
uint64_t tcmu_dev_get_num_lbas(struct tcmu_device *dev);
/* A number from the device's info file in configfs; *ret is 0 or -errno. */
uint64_t tcmu_cfgfs_dev_get_info_u64(struct tcmu_device *dev, const char *name, int *ret);
/* The length that the CDB's operation code implies, or -EINVAL. */
int tcmu_cdb_get_length(uint8_t *cdb);
/* Writes the response to a command into the ring, and frees it. status: enum tcmu_status. Not safe
 * against itself for one device: one call at a time. */
void tcmulib_command_complete(struct tcmu_device *dev, struct tcmulib_cmd *cmd, int status);
/* The next command of the ring, or NULL: there is none. It is completed like those that handle_cmd
 * gets. The runner's thread calls it outside handle_cmd; two calls must not overlap.
 * private_bytes: room for hm_private, which the runner expects of its own size. */
struct tcmulib_cmd *tcmulib_get_next_command(struct tcmu_device *dev, int private_bytes);
/* Readable (POLLIN) when the kernel has said that there are commands; taken note of by
 * tcmulib_processing_start. */
int tcmu_dev_get_fd(struct tcmu_device *dev);
void tcmulib_processing_start(struct tcmu_device *dev);
/* Tells the kernel that there are responses. */
void tcmulib_processing_complete(struct tcmu_device *dev);
/* dev may be NULL. The runner cuts what it writes at 255 bytes, its own prefix included. */
typedef void tcmu_log_function(struct tcmu_device *dev, const char *function, int line,
                               const char *format, ...) __attribute__((format(printf, 4, 5)));
tcmu_log_function tcmu_err_message, tcmu_warn_message, tcmu_info_message, tcmu_dbg_message;

#endif
