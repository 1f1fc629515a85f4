/* SPDX-License-Identifier: Apache-2.0 */

/* Whether an NTFS was left in a state in which its bitmap tells all: the volume's flags and the
 * restart pages of the log file. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "ntfs.h"

#define VOLUME_INFORMATION_BYTES 12
#define VERSION_MAJOR            3
#define VERSION_MINOR_MAX        1
/* Flags of the volume: in use, its log or version is to be changed, its change journal is being
 * deleted, or it is being checked. */
#define VOLUME_NOT_CLEAN       0x4017

#define RESTART_PAGE_BYTES_MAX 65536
#define RESTART_HEADER         30
#define RESTART_AREA_BYTES     16
#define LOG_BYTES_MIN          2048
#define LOG_VERSION_MAJOR      1
#define LOG_VERSION_MINOR      1
#define LOG_NO_CLIENT          0xFFFF
#define LOG_VOLUME_IS_CLEAN    0x0002

/* What a page at the begin of the log says. */
struct restart {
    bool valid;
    uint64_t sequence; /* of the two pages the one with the higher is the latest */
    bool clean;
    bool known_version;
    uint32_t page_bytes;
};

static int check_volume(struct ntfs *ntfs, struct ntfs_file *file)
{
    struct ntfs_attribute information;
    int r = ntfs_open(ntfs, NTFS_FILE_VOLUME, file);

    if (r == 0)
        r = ntfs_find_attribute(ntfs, file, NTFS_VOLUME_INFORMATION, "", &information);
    if (r < 0)
        return r;
    if (r == 0 || !information.resident || information.value_bytes < VOLUME_INFORMATION_BYTES)
        return region_refuse(ntfs->region, "it does not say which version it has");
    if (information.value[8] != VERSION_MAJOR || information.value[9] > VERSION_MINOR_MAX)
        return region_refuse(ntfs->region, "its version is not known here");
    if (get_le16(information.value + 10) & VOLUME_NOT_CLEAN)
        return region_refuse(ntfs->region, "it was not unmounted cleanly or is to be checked");
    return 0;
}

/* A page that is damaged is as good as none: the other one counts then. */
static bool has_whole_sectors(const uint8_t *page, uint32_t bytes)
{
    size_t offset = get_le16(page + 4), count = get_le16(page + 6);

    if (offset < RESTART_HEADER || count != bytes / 512 + 1 || offset + count * 2 > 510)
        return false;
    for (size_t i = 1; i < count; i++)
        if (memcmp(page + i * 512 - 2, page + offset, 2) != 0)
            return false;
    return true;
}

static struct restart restart_of(const uint8_t *page, uint64_t bytes)
{
    uint32_t page_bytes = get_le32(page + 16), area = get_le16(page + 24);
    struct restart none = {.valid = false};

    if (memcmp(page, "RSTR", 4) != 0 || !is_power_of_two(page_bytes) || page_bytes < 512 ||
        page_bytes > bytes || !has_whole_sectors(page, page_bytes) || area < RESTART_HEADER ||
        area % 8 != 0 || area + RESTART_AREA_BYTES > 510)
        return none;
    return (struct restart){
        .valid = true,
        .sequence = get_le64(page + area),
        .clean = get_le16(page + area + 12) == LOG_NO_CLIENT ||
                 get_le16(page + area + 14) & LOG_VOLUME_IS_CLEAN,
        .known_version =
            get_le16(page + 28) == LOG_VERSION_MAJOR && get_le16(page + 26) == LOG_VERSION_MINOR,
        .page_bytes = page_bytes,
    };
}

static bool is_all(const uint8_t *bytes, size_t length, uint8_t value)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

/* The second page lies behind the first; when that is damaged, at one of the usual places. */
static struct restart second_restart(const uint8_t *pages, uint64_t bytes,
                                     const struct restart *first)
{
    struct restart none = {.valid = false};

    for (uint64_t at = 512; at <= bytes / 2; at *= 2) {
        struct restart second;

        if (first->valid && at != first->page_bytes)
            continue;
        second = restart_of(pages + at, bytes - at);
        if (second.valid && second.page_bytes == at)
            return second;
    }
    return none;
}

static int judge_log(const struct ntfs *ntfs, const uint8_t *pages, uint64_t bytes)
{
    struct restart first = restart_of(pages, bytes), second = second_restart(pages, bytes, &first);
    struct restart latest = first;

    if (second.valid && (!first.valid || second.sequence > first.sequence))
        latest = second;
    /* mkntfs and ntfsfix leave the whole log filled with ones. */
    if (!latest.valid && is_all(pages, bytes, 0xFF))
        return 0;
    if (!latest.valid)
        return region_refuse(ntfs->region, "its log is damaged");
    if (!latest.known_version)
        return region_refuse(ntfs->region, "its log has a version that is not known here, or "
                                           "Windows did not shut down but means to go on");
    if (!latest.clean)
        return region_refuse(ntfs->region, "its log is not empty: it was not unmounted cleanly");
    return 0;
}

static int check_log(struct ntfs *ntfs, struct ntfs_file *file)
{
    CLEANUP_FREE uint8_t *pages = malloc(2 * RESTART_PAGE_BYTES_MAX);
    struct ntfs_attribute data;
    uint64_t bytes;
    int r;

    if (!pages)
        return -ENOMEM;
    r = ntfs_open(ntfs, NTFS_FILE_LOG, file);
    if (r == 0)
        r = ntfs_find_attribute(ntfs, file, NTFS_DATA, "", &data);
    if (r < 0)
        return r;
    if (r == 0 || data.bytes < LOG_BYTES_MIN)
        return region_refuse(ntfs->region, "its log is missing");
    bytes = min_u64(data.bytes, 2 * RESTART_PAGE_BYTES_MAX);
    r = ntfs_read_attribute(ntfs, file, &data, pages, bytes);
    return r == 0 ? judge_log(ntfs, pages, bytes) : r;
}

int ntfs_check_clean(struct ntfs *ntfs)
{
    CLEANUP(ntfs_close) struct ntfs_file file = {0};
    int r = check_volume(ntfs, &file);

    if (r == 0)
        r = check_log(ntfs, &file);
    return r == 0 ? ntfs_check_hibernation(ntfs) : r;
}
