/* SPDX-License-Identifier: Apache-2.0 */
#include "ext_io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

static struct struct_io_manager manager;

/* libext2fs hands its manager a name and nothing else. */
static _Thread_local struct ext_io *opening;

static errcode_t io_open(const char *name, int flags, io_channel *ret)
{
    io_channel channel = calloc(1, sizeof(*channel));

    (void)flags;
    if (!channel || !(channel->name = strdup(name))) {
        free(channel);
        return ENOMEM;
    }
    channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    channel->manager = &manager;
    channel->block_size = 1024;
    channel->refcount = 1;
    channel->private_data = opening;
    *ret = channel;
    return 0;
}

static errcode_t io_close(io_channel channel)
{
    if (--channel->refcount > 0)
        return 0;
    free(channel->name);
    free(channel);
    return 0;
}

static errcode_t io_set_blksize(io_channel channel, int block_size)
{
    channel->block_size = block_size;
    return 0;
}

/* A negative count is one of bytes. */
static errcode_t io_read_blk64(io_channel channel, unsigned long long block, int count, void *data)
{
    struct ext_io *io = channel->private_data;
    uint64_t unit = (uint64_t)channel->block_size, offset;
    uint64_t bytes = count < 0 ? (uint64_t) - (int64_t)count : (uint64_t)count * unit;
    int r = mul_overflows(block, unit, &offset) ? -ERANGE
                                                : region_read(io->region, offset, data, bytes);

    if (r == 0)
        return 0;
    if (io->error == 0)
        io->error = r;
    return EXT2_ET_SHORT_READ;
}

static errcode_t io_read_blk(io_channel channel, unsigned long block, int count, void *data)
{
    return io_read_blk64(channel, block, count, data);
}

static errcode_t io_write_blk(io_channel channel, unsigned long block, int count, const void *data)
{
    (void)channel, (void)block, (void)count, (void)data;
    return EXT2_ET_RO_FILSYS;
}

static errcode_t io_write_blk64(io_channel channel, unsigned long long block, int count,
                                const void *data)
{
    (void)channel, (void)block, (void)count, (void)data;
    return EXT2_ET_RO_FILSYS;
}

static errcode_t io_flush(io_channel channel)
{
    (void)channel;
    return 0;
}

static struct struct_io_manager manager = {
    .magic = EXT2_ET_MAGIC_IO_MANAGER,
    .name = "region",
    .open = io_open,
    .close = io_close,
    .set_blksize = io_set_blksize,
    .read_blk = io_read_blk,
    .write_blk = io_write_blk,
    .flush = io_flush,
    .read_blk64 = io_read_blk64,
    .write_blk64 = io_write_blk64,
};

errcode_t ext_io_open(struct ext_io *io, struct region *region, ext2_filsys *ret)
{
    errcode_t error;

    *io = (struct ext_io){.region = region};
    opening = io;
    error = ext2fs_open2("region", NULL, EXT2_FLAG_64BITS, 0, 0, &manager, ret);
    opening = NULL;
    return error;
}
