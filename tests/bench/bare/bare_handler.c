/* SPDX-License-Identifier: Apache-2.0 */

/* The least a tcmu-runner handler can do: READ and WRITE (10 and 16) are one preadv or pwritev on
 * the file, without a check, and the rest is what Linux asks of a disk before it uses it. It is the
 * limit that the benchmarks hold the real handler against, and nothing else: it is not installed.
 *
 * Built twice: BARE_THREADS 0 takes commands inline on the runner's own thread, any other number on
 * that number of workers. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "byteorder.h"
#include "scsi_defs.h"
#include "sense.h"
#include "tcmur_abi.h"

struct bare_device {
    int fd;
    uint32_t block_size;
    uint64_t blocks;
};

static bool bare_check_config(const char *cfgstring, char **reason)
{
    const char *path = strchr(cfgstring, '/');

    if (path && access(path + 1, R_OK | W_OK) == 0)
        return true;
    *reason = strdup("the file cannot be read and written");
    return false;
}

static int bare_open(struct tcmu_device *dev, bool reopen)
{
    struct bare_device *bare = calloc(1, sizeof(*bare));

    (void)reopen;
    if (!bare)
        return -1;
    bare->fd = open(strchr(tcmu_dev_get_cfgstring(dev), '/') + 1, O_RDWR | O_CLOEXEC);
    bare->block_size = tcmu_dev_get_block_size(dev);
    bare->blocks = tcmu_dev_get_num_lbas(dev);
    if (bare->fd < 0) {
        free(bare);
        return -1;
    }
    tcmur_dev_set_private(dev, bare);
    return 0;
}

static void bare_close(struct tcmu_device *dev)
{
    struct bare_device *bare = tcmur_dev_get_private(dev);

    close(bare->fd);
    free(bare);
}

static int fail(struct tcmulib_cmd *cmd, enum scsi_sense_key key, enum scsi_asc_ascq asc_ascq)
{
    sense_encode_fixed(&(struct sense){.key = (uint8_t)key, .asc_ascq = (uint16_t)asc_ascq},
                       cmd->sense_buf);
    return TCMU_STS_PASSTHROUGH_ERR;
}

static void reply(struct tcmulib_cmd *cmd, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < cmd->iov_cnt; i++) {
        size_t part = length < cmd->iovec[i].iov_len ? length : cmd->iovec[i].iov_len;

        memset(cmd->iovec[i].iov_base, 0, cmd->iovec[i].iov_len);
        memcpy(cmd->iovec[i].iov_base, bytes, part);
        bytes += part;
        length -= part;
    }
}

static int transfer(const struct bare_device *bare, struct tcmulib_cmd *cmd, uint64_t lba,
                    bool writing)
{
    off_t offset = (off_t)(lba * bare->block_size);
    ssize_t done = writing ? pwritev(bare->fd, cmd->iovec, (int)cmd->iov_cnt, offset)
                           : preadv(bare->fd, cmd->iovec, (int)cmd->iov_cnt, offset);

    if (done >= 0)
        return TCMU_STS_OK;
    return fail(cmd, SENSE_MEDIUM_ERROR, writing ? ASC_WRITE_ERROR : ASC_UNRECOVERED_READ_ERROR);
}

static int inquire(struct tcmulib_cmd *cmd)
{
    static const uint8_t standard[36] = {0, 0, 0x06, 0x02, 31, 0, 0, 0x02, 'B', 'A', 'R', 'E'};

    if (cmd->cdb[1] != 0)
        return fail(cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    reply(cmd, standard, sizeof(standard));
    return TCMU_STS_OK;
}

static int tell_capacity(const struct bare_device *bare, struct tcmulib_cmd *cmd)
{
    uint8_t bytes[32] = {0};

    if (cmd->cdb[0] == SCSI_READ_CAPACITY_10) {
        put_be32(bytes, (uint32_t)(bare->blocks - 1));
        put_be32(bytes + 4, bare->block_size);
        reply(cmd, bytes, 8);
    } else {
        put_be64(bytes, bare->blocks - 1);
        put_be32(bytes + 8, bare->block_size);
        reply(cmd, bytes, sizeof(bytes));
    }
    return TCMU_STS_OK;
}

static int bare_handle_cmd(struct tcmu_device *dev, struct tcmur_cmd *runner_cmd)
{
    static const uint8_t no_pages[4] = {3};
    const struct bare_device *bare = tcmur_dev_get_private(dev);
    struct tcmulib_cmd *cmd = runner_cmd->lib_cmd;
    const uint8_t *cdb = cmd->cdb;

    switch (cdb[0]) {
    case SCSI_READ_10:
        return transfer(bare, cmd, get_be32(cdb + 2), false);
    case SCSI_READ_16:
        return transfer(bare, cmd, get_be64(cdb + 2), false);
    case SCSI_WRITE_10:
        return transfer(bare, cmd, get_be32(cdb + 2), true);
    case SCSI_WRITE_16:
        return transfer(bare, cmd, get_be64(cdb + 2), true);
    case SCSI_SYNCHRONIZE_CACHE_10:
    case SCSI_SYNCHRONIZE_CACHE_16:
        if (fdatasync(bare->fd) != 0)
            return fail(cmd, SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
        return TCMU_STS_OK;
    case SCSI_TEST_UNIT_READY:
        return TCMU_STS_OK;
    case SCSI_INQUIRY:
        return inquire(cmd);
    case SCSI_READ_CAPACITY_10:
    case SCSI_SERVICE_ACTION_IN_16:
        return tell_capacity(bare, cmd);
    case SCSI_MODE_SENSE_6:
        reply(cmd, no_pages, sizeof(no_pages));
        return TCMU_STS_OK;
    default:
        return fail(cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPERATION_CODE);
    }
}

static struct tcmur_handler bare_handler = {
    .name = "Reads and writes only, to measure against",
    .subtype = BARE_SUBTYPE,
    .cfg_desc = "/ABSOLUTE/PATH",
    .check_config = bare_check_config,
    .open = bare_open,
    .close = bare_close,
    .nr_threads = BARE_THREADS,
    .handle_cmd = bare_handle_cmd,
};

__attribute__((visibility("default"))) int handler_init(void);

int handler_init(void)
{
    return tcmur_register_handler(&bare_handler);
}
