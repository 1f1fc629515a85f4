/* SPDX-License-Identifier: Apache-2.0 */

/* Two interfaces tell of a file's extents, and neither is enough. SEEK_DATA knows for certain that
 * no data lie somewhere, but takes two calls an extent, takes any page in the cache for data, also
 * zeros that were only read, and looks through all the storage that is reserved and not written
 * (unwritten extents) up to the next data, however far that is. FIEMAP lists hundreds of extents in
 * one call and tells which are unwritten; but it knows the disk only, where what is still in the
 * cache may be missing. So extents are listed, and what is said to hold no data is looked at again:
 *
 * - a hole that ends where written data begin by SEEK_DATA, which goes no further than that;
 * - any other range without data by having written out what the cache holds of it, and listing it
 *   again. That takes the same time however many unwritten extents follow. Only what both listings
 *   call unwritten or a hole is told as such.
 *
 * A file system without a listing has its extents sought. */

#include "file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "checked.h"

/* Looked at to find the one that matters: Btrfs lists some that end before the range. */
#define LISTED_AT_LEAST 16

/* Listed in one call; 14 KiB of stack. */
#define LISTED_EXTENTS 256

struct listing {
    struct fiemap fiemap;
    struct fiemap_extent extents[LISTED_EXTENTS];
};

void file_map_init(struct file_map *map, int fd, uint32_t granularity_bytes)
{
    struct statfs fs;

    *map = (struct file_map){.fd = fd, .granularity_bytes = granularity_bytes};
    /* Overlayfs lists the extents of the file below, whose cache is written out by its own
     * descriptors only. */
    map->no_fiemap = fstatfs(fd, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

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

static bool is_unwritten(const struct fiemap_extent *extent)
{
    return extent->fe_flags & FIEMAP_EXTENT_UNWRITTEN;
}

static uint64_t end_of(const struct fiemap_extent *extent)
{
    return extent->fe_logical + extent->fe_length;
}

/* Adds the hole up to end, where the listing has written data. */
static int add_hole_before_data(struct walk *walk, uint64_t end)
{
    uint64_t data;
    int error;

    end = min_u64(end, walk->limit);
    if (end <= walk->at || walk->stop)
        return 0;
    error = seek_data(walk->map, walk->at, end, &data);
    if (error)
        return error;
    add(walk, data, EXTENT_DEALLOCATED);
    walk->stop |= walk->at < end;
    return 0;
}

/* Writes out what the cache holds of the range. Storage that was written is listed as such
 * afterwards. False: that could not be done. */
static bool write_out(struct file_map *map, uint64_t offset, uint64_t end)
{
    return sync_file_range(map->fd, (off_t)offset, (off_t)(end - offset),
                           SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                               SYNC_FILE_RANGE_WAIT_AFTER) == 0;
}

/* Adds what lies before end as the listing, which was made for it, says. asked: how many extents it
 * had room for. */
static void add_listed(struct walk *walk, const struct listing *listing, uint32_t asked,
                       uint64_t end)
{
    uint32_t count = listing->fiemap.fm_mapped_extents;

    for (uint32_t i = 0; i < count && walk->at < end; i++) {
        const struct fiemap_extent *found = &listing->extents[i];

        add(walk, min_u64(found->fe_logical, end), EXTENT_DEALLOCATED);
        add(walk, min_u64(end_of(found), end),
            is_unwritten(found) ? EXTENT_ANCHORED : EXTENT_MAPPED);
    }
    if (count < asked)
        add(walk, end, EXTENT_DEALLOCATED);
    walk->stop |= walk->at < end;
}

/* Adds the range up to end, of which the listing says that nothing in it is written. What cannot be
 * looked at again is taken to be mapped. */
static int add_without_data(struct walk *walk, uint64_t end)
{
    struct listing again;
    int error;

    end = min_u64(end, walk->limit);
    if (end <= walk->at || walk->stop)
        return 0;
    if (!write_out(walk->map, walk->at, end) ||
        !list_extents(walk->map, walk->at, end, LISTED_EXTENTS, &again)) {
        add(walk, end, EXTENT_MAPPED);
        return 0;
    }
    error = check_reaches(walk->map, end);
    if (!error)
        add_listed(walk, &again, LISTED_EXTENTS, end);
    return error;
}

/* Where the range without data that extent i begins ends: before the next written one, or where the
 * listing does. *ret_next: the first extent beyond it. */
static uint64_t end_without_data(const struct walk *walk, const struct listing *listing, uint32_t i,
                                 bool complete, uint32_t *ret_next)
{
    uint32_t count = listing->fiemap.fm_mapped_extents;

    while (i < count && is_unwritten(&listing->extents[i]))
        i++;
    *ret_next = i;
    if (i < count)
        return listing->extents[i].fe_logical;
    return complete ? walk->limit : end_of(&listing->extents[count - 1]);
}

static int walk_listing(struct walk *walk, const struct listing *listing, uint32_t asked)
{
    uint32_t count = listing->fiemap.fm_mapped_extents;
    bool complete = count < asked;
    int error = 0;

    for (uint32_t i = 0; i < count && !error && !walk->stop;) {
        const struct fiemap_extent *found = &listing->extents[i];

        if (end_of(found) <= walk->at) {
            i++;
        } else if (is_unwritten(found)) {
            error = add_without_data(walk, end_without_data(walk, listing, i, complete, &i));
        } else {
            error = add_hole_before_data(walk, found->fe_logical);
            if (!error)
                add(walk, end_of(found), EXTENT_MAPPED);
            i++;
        }
    }
    if (!error && complete)
        error = add_without_data(walk, walk->limit);
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
