/* SPDX-License-Identifier: Apache-2.0 */

/* Two interfaces tell of a file's extents, and neither is enough. SEEK_DATA knows for certain that
 * no data lie somewhere, but takes two calls an extent, and takes any page in the cache for data,
 * also zeros that were only read. FIEMAP lists hundreds of extents in one call and tells which are
 * reserved and not written; but it knows the disk only, where what is still in the cache may be
 * missing. So extents are listed, and of those that are said to hold no data SEEK_DATA must say the
 * same. Where it does not, of storage that is reserved, what is in the cache is written out, after
 * which the listing is right. A file system without a listing has its extents sought. */

#include "file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checked.h"

/* Looked at to find the one that matters: Btrfs lists some that end before the range. */
#define LISTED_AT_LEAST 16

/* Listed in one call; 28 KiB of stack. */
#define LISTED_EXTENTS 512

struct listing {
    struct fiemap fiemap;
    struct fiemap_extent extents[LISTED_EXTENTS];
};

/* Lists what the file system keeps for [offset, end), count extents at most. False when it does not
 * list its extents. */
static bool list_extents(struct file_map *map, uint64_t offset, uint64_t end, uint32_t count,
                         struct listing *listing)
{
    int result;

    if (map->no_fiemap)
        return false;
    listing->fiemap =
        (struct fiemap){.fm_start = offset, .fm_length = end - offset, .fm_extent_count = count};
    do {
        result = ioctl(map->fd, FS_IOC_FIEMAP, &listing->fiemap);
    } while (result < 0 && errno == EINTR);
    if (result < 0 && (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL))
        map->no_fiemap = true;
    return result == 0;
}

/* Someone may have cut the file short behind our back. That there are no data from its end up to
 * limit says nothing then about what was there. */
static int check_reaches(struct file_map *map, uint64_t limit)
{
    struct stat st;

    if (fstat(map->fd, &st) < 0)
        return -errno;
    return (uint64_t)st.st_size < limit ? -EIO : 0;
}

/* Where the first data at or after offset are, limit when there are none before it. */
static int seek_data(struct file_map *map, uint64_t offset, uint64_t limit, uint64_t *ret_data)
{
    off_t data = lseek(map->fd, (off_t)offset, SEEK_DATA);

    if (data < 0 && errno != ENXIO)
        return -errno;
    if (data < 0) {
        int error = check_reaches(map, limit);

        if (error)
            return error;
    }
    *ret_data = data < 0 ? limit : min_u64((uint64_t)data, limit);
    return 0;
}

/* The data that begin at offset. */
static int seek_mapped(struct file_map *map, uint64_t offset, uint64_t limit, struct extent *ret)
{
    off_t hole = lseek(map->fd, (off_t)offset, SEEK_HOLE);

    if (hole < 0)
        return -errno;
    /* Punched between the two looks: the granule was mapped a moment ago. */
    if ((uint64_t)hole <= offset)
        hole = (off_t)(align_down(offset, map->granularity_bytes) + map->granularity_bytes);
    *ret = (struct extent){.start = offset,
                           .length = min_u64((uint64_t)hole, limit) - offset,
                           .status = EXTENT_MAPPED};
    return 0;
}

static int seek_extent(struct file_map *map, uint64_t offset, uint64_t limit, struct extent *ret)
{
    uint64_t data;
    int error = seek_data(map, offset, limit, &data);

    if (error)
        return error;
    if (data == offset)
        return seek_mapped(map, offset, limit, ret);
    *ret = (struct extent){.start = offset, .length = data - offset, .status = EXTENT_DEALLOCATED};
    return 0;
}

static int seek_extents(struct file_map *map, uint64_t offset, uint64_t limit, struct extent *ret,
                        size_t room, size_t *ret_count)
{
    *ret_count = 0;
    while (*ret_count < room && offset < limit) {
        int error = seek_extent(map, offset, limit, &ret[*ret_count]);

        if (error) /* which the next call will meet again */
            return *ret_count > 0 ? 0 : error;
        offset += ret[*ret_count].length;
        ++*ret_count;
    }
    return 0;
}

/* A listing on its way to extents. */
struct walk {
    struct file_map *map;
    uint64_t at; /* up to here ret tells */
    uint64_t limit;
    uint64_t no_data_before; /* SEEK_DATA has said so of what lies between at and here */
    struct extent *ret;
    size_t room;
    size_t count;
    bool stop; /* the listing is out of date, or there is no more room */
};

static void add(struct walk *walk, uint64_t end, enum extent_status status)
{
    end = min_u64(end, walk->limit);
    if (end <= walk->at || walk->stop)
        return;
    walk->ret[walk->count++] =
        (struct extent){.start = walk->at, .length = end - walk->at, .status = status};
    walk->at = end;
    walk->stop = walk->count == walk->room || end == walk->limit;
}

/* Looks whether there are no data from walk->at up to end, as the listing says. */
static int check_without_data(struct walk *walk, uint64_t end)
{
    if (walk->no_data_before >= end)
        return 0;
    return seek_data(walk->map, walk->at, walk->limit, &walk->no_data_before);
}

static int add_hole(struct walk *walk, uint64_t end)
{
    int error;

    end = min_u64(end, walk->limit);
    if (end <= walk->at || walk->stop)
        return 0;
    error = check_without_data(walk, end);
    if (error)
        return error;
    add(walk, min_u64(walk->no_data_before, end), EXTENT_DEALLOCATED);
    walk->stop |= walk->at < end;
    return 0;
}

/* The reserved storage from walk->at up to end has pages in the cache. Those that were written are
 * on the disk afterwards, and their storage is not of that kind any more. */
static void settle(struct walk *walk, uint64_t end)
{
    uint64_t at = walk->at;
    struct listing listing;

    if (sync_file_range(walk->map->fd, (off_t)at, (off_t)(end - at),
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER) == 0 &&
        list_extents(walk->map, at, end, 1, &listing) && listing.fiemap.fm_mapped_extents == 1) {
        const struct fiemap_extent *found = &listing.extents[0];

        if (found->fe_logical <= at && found->fe_flags & FIEMAP_EXTENT_UNWRITTEN)
            add(walk, min_u64(found->fe_logical + found->fe_length, end), EXTENT_ANCHORED);
    }
    walk->stop |= walk->at < end;
}

static int add_reserved(struct walk *walk, uint64_t end)
{
    int error;

    end = min_u64(end, walk->limit);
    if (end <= walk->at || walk->stop)
        return 0;
    error = check_without_data(walk, end);
    if (error)
        return error;
    if (walk->no_data_before >= end)
        add(walk, end, EXTENT_ANCHORED);
    else
        settle(walk, end);
    return 0;
}

static int walk_listing(struct walk *walk, const struct listing *listing, uint32_t asked)
{
    uint32_t count = listing->fiemap.fm_mapped_extents;
    int error = 0;

    for (uint32_t i = 0; i < count && !error && !walk->stop; i++) {
        const struct fiemap_extent *found = &listing->extents[i];
        uint64_t end = found->fe_logical + found->fe_length;

        if (end <= walk->at)
            continue;
        error = add_hole(walk, found->fe_logical);
        if (error || walk->stop)
            break;
        if (found->fe_flags & FIEMAP_EXTENT_UNWRITTEN)
            error = add_reserved(walk, end);
        else
            add(walk, end, EXTENT_MAPPED);
    }
    if (!error && count < asked)
        error = add_hole(walk, walk->limit);
    return error;
}

int file_map_extents(struct file_map *map, uint64_t offset, uint64_t limit, struct extent *ret,
                     size_t room, size_t *ret_count)
{
    struct walk walk = {.map = map, .at = offset, .limit = limit, .ret = ret, .room = room};
    uint32_t asked = (uint32_t)min_u64(max_u64(room, LISTED_AT_LEAST), LISTED_EXTENTS);
    struct listing listing;
    int error;

    if (!list_extents(map, offset, limit, asked, &listing))
        return seek_extents(map, offset, limit, ret, room, ret_count);
    error = walk_listing(&walk, &listing, asked);
    *ret_count = walk.count;
    if (walk.count > 0)
        return 0;
    return error ? error : seek_extents(map, offset, limit, ret, 1, ret_count);
}
