/* SPDX-License-Identifier: Apache-2.0 */

/* Files whose attributes do not fit one record of the master file table: the first record has a
 * list of all of them, sorted by type, name and where in the attribute a piece begins, and each
 * entry names the record that has it. Those records name the first one in turn. The list of the
 * table itself leads to records that lie in the part of the table which is already known. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "ntfs.h"

#define LIST_BYTES_MAX     ((size_t)256 * 1024)
#define ENTRY_BYTES        26
#define RECORD_NUMBER_MASK UINT64_C(0xFFFFFFFFFFFF)
#define RECORD_SEQUENCE    16 /* in a record: how often it was used */
#define RECORD_BASE        32 /* and which file it is a part of */

struct entry {
    const uint8_t *bytes;
    size_t length;
};

void ntfs_close(struct ntfs_file *file)
{
    free(file->record);
    free(file->other);
    free(file->list);
    *file = (struct ntfs_file){0};
}

/* The list may lie elsewhere; it never has a list of its own. */
static int read_list(struct ntfs *ntfs, struct ntfs_file *file)
{
    struct byte_ranges places = {0};
    struct ntfs_attribute list;
    uint64_t clusters = 0;
    int r = ntfs_find_in_record(ntfs, file->record, NTFS_ATTRIBUTE_LIST, "", NULL, &list);

    if (r <= 0)
        return r;
    if (list.bytes > LIST_BYTES_MAX || list.initialised_bytes < list.bytes)
        return region_refuse(ntfs->region, "a list of attributes is damaged");
    file->list = malloc(LIST_BYTES_MAX);
    if (!file->list)
        return -ENOMEM;
    file->list_bytes = (size_t)list.bytes;
    if (list.resident) {
        memcpy(file->list, list.value, file->list_bytes);
        return 0;
    }
    r = ntfs_add_piece(ntfs, &list, &places, &clusters);
    if (r == 0)
        r = ntfs_read_places(ntfs, &places, 0, file->list, file->list_bytes);
    byte_ranges_free(&places);
    return r == -ERANGE ? region_refuse(ntfs->region, "a list of attributes is damaged") : r;
}

int ntfs_open(struct ntfs *ntfs, uint64_t number, struct ntfs_file *file)
{
    int r;

    ntfs_close(file);
    file->number = number;
    file->record = malloc(NTFS_RECORD_BYTES_MAX);
    file->other = malloc(NTFS_RECORD_BYTES_MAX);
    if (!file->record || !file->other)
        return -ENOMEM;
    r = ntfs_read_record(ntfs, number, file->record);
    if (r == 0 && get_le64(file->record + RECORD_BASE) != 0)
        r = region_refuse(ntfs->region, "a record of its file table is not what it should be");
    return r == 0 ? read_list(ntfs, file) : r;
}

/* The entry at *at, and on to the next one. 1: here it is. 0: that was all. */
static int next_entry(const struct ntfs *ntfs, const struct ntfs_file *file, size_t *at,
                      struct entry *ret)
{
    const uint8_t *bytes = file->list + *at;

    if (*at == file->list_bytes)
        return 0;
    if (!range_within(*at, ENTRY_BYTES, file->list_bytes) || get_le16(bytes + 4) < ENTRY_BYTES ||
        !range_within(*at, get_le16(bytes + 4), file->list_bytes))
        return region_refuse(ntfs->region, "a list of attributes is damaged");
    *ret = (struct entry){bytes, get_le16(bytes + 4)};
    *at += ret->length;
    return 1;
}

/* The record that an entry names: the file's own, or another one that is a part of it. */
static int open_entry(struct ntfs *ntfs, struct ntfs_file *file, const struct entry *entry,
                      const uint8_t **ret)
{
    uint64_t reference = get_le64(entry->bytes + 16), number = reference & RECORD_NUMBER_MASK;
    uint64_t base = file->number | (uint64_t)get_le16(file->record + RECORD_SEQUENCE) << 48;
    int r;

    *ret = file->record;
    if (number != file->number) {
        *ret = file->other;
        r = ntfs_read_record(ntfs, number, file->other);
        if (r < 0)
            return r;
        if (get_le64(file->other + RECORD_BASE) != base)
            return region_refuse(ntfs->region, "a list of attributes leads to another file");
    }
    if (get_le16(*ret + RECORD_SEQUENCE) != reference >> 48)
        return region_refuse(ntfs->region, "a list of attributes is older than what it leads to");
    return 0;
}

/* The piece that begins with cluster first, according to the entries from *at on. */
static int find_listed(struct ntfs *ntfs, struct ntfs_file *file, uint32_t type, const char *name,
                       uint64_t first, size_t *at, struct ntfs_attribute *ret)
{
    const uint8_t *record;
    struct entry entry = {0};
    int r;

    while ((r = next_entry(ntfs, file, at, &entry)) > 0)
        if (get_le32(entry.bytes) == type && get_le64(entry.bytes + 8) == first &&
            ntfs_is_name(entry.bytes, entry.length, entry.bytes[7], entry.bytes[6], name))
            break;
    if (r <= 0)
        return r;
    r = open_entry(ntfs, file, &entry, &record);
    if (r == 0)
        r = ntfs_find_in_record(ntfs, record, type, name, &first, ret);
    if (r == 0)
        r = region_refuse(ntfs->region, "a list of attributes names one that is not there");
    return r;
}

int ntfs_find_attribute(struct ntfs *ntfs, struct ntfs_file *file, uint32_t type, const char *name,
                        struct ntfs_attribute *ret)
{
    size_t at = 0;

    if (!file->list)
        return ntfs_find_in_record(ntfs, file->record, type, name, NULL, ret);
    return find_listed(ntfs, file, type, name, 0, &at, ret);
}

int ntfs_places(struct ntfs *ntfs, struct ntfs_file *file, const struct ntfs_attribute *attribute,
                struct byte_ranges *ret)
{
    const uint64_t bytes = attribute->bytes;
    const uint32_t type = attribute->type;
    const char *name = attribute->name;
    struct ntfs_attribute piece;
    uint64_t clusters = 0;
    size_t at = 0;
    int r = file->list ? find_listed(ntfs, file, type, name, 0, &at, &piece)
                       : ntfs_find_in_record(ntfs, file->record, type, name, NULL, &piece);

    while (r > 0) {
        r = ntfs_add_piece(ntfs, &piece, ret, &clusters);
        if (r == 0 && file->list)
            r = find_listed(ntfs, file, type, name, clusters, &at, &piece);
    }
    if (r == 0 && bytes > clusters * ntfs->cluster_bytes)
        r = region_refuse(ntfs->region, "a list of clusters is not as long as its file");
    return r;
}

int ntfs_read_attribute(struct ntfs *ntfs, struct ntfs_file *file,
                        const struct ntfs_attribute *attribute, void *to, size_t length)
{
    struct byte_ranges places = {0};
    int r;

    if (attribute->bytes < length)
        return -ERANGE;
    if (attribute->resident) {
        memcpy(to, attribute->value, length);
        return 0;
    }
    r = ntfs_places(ntfs, file, attribute, &places);
    if (r == 0)
        r = ntfs_read_places(ntfs, &places, 0, to, length);
    byte_ranges_free(&places);
    return r;
}
