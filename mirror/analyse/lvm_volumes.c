/* SPDX-License-Identifier: Apache-2.0 */

/* The logical volumes of an LVM2 volume group, as far as they concern one physical volume. A plain
 * one, linear or striped, that lies here whole is looked into. Everything else that uses extents
 * here (images of mirrors and RAIDs, snapshots and their origins, pools) is allocated whole: what
 * it says by itself is not all that is read of it. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "checked.h"
#include "cleanup.h"
#include "lvm.h"

#define SECTOR       512
#define EXTENTS_MAX  ((uint64_t)1 << 28)
#define SEGMENTS_MAX 4096

struct group {
    struct region *region;
    const struct lvm_node *volumes; /* logical */
    const char *name;
    const char *here;      /* this physical volume's name in the text */
    uint64_t extent_bytes; /* of one extent */
    uint64_t start;        /* bytes, of extent 0 */
    uint64_t extents;      /* here */
    struct bitmap used;    /* a bit an extent here */
};

/* Types whose areas are pairs of a volume and an extent, each as long as the segment; those that
 * name only logical volumes have none. */
static const char *const known_types[] = {"mirror",   "raid0",     "raid0_meta", "raid1",
                                          "raid10",   "raid4",     "raid5",      "raid5_la",
                                          "raid5_ls", "raid5_ra",  "raid5_rs",   "raid6",
                                          "raid6_zr", "raid6_nr",  "raid6_nc",   "snapshot",
                                          "thin",     "thin-pool", "cache",      "cache-pool",
                                          "error",    "zero",      "writecache", "vdo",
                                          "vdo-pool", "integrity"};

static bool is_known(const char *type)
{
    for (size_t i = 0; i < sizeof(known_types) / sizeof(known_types[0]); i++)
        if (strcmp(type, known_types[i]) == 0)
            return true;
    return false;
}

static bool same_id(const char *text, const char id[LVM_ID_BYTES])
{
    size_t count = 0;

    for (; *text; text++) {
        if (*text == '-')
            continue;
        if (count == LVM_ID_BYTES || *text != id[count])
            return false;
        count++;
    }
    return count == LVM_ID_BYTES;
}

static bool list_has(const struct lvm_node *list, const char *word)
{
    for (const struct lvm_node *item = list ? list->first : NULL; item; item = item->next)
        if (item->kind == LVM_STRING && strcmp(item->string, word) == 0)
            return true;
    return false;
}

static int use(struct group *group, uint64_t from, uint64_t count)
{
    if (!range_within(from, count, group->extents))
        return region_refuse(group->region, "a logical volume lies beyond its end");
    if (count == 0)
        return 0;
    if (bitmap_test(&group->used, from) || bitmap_run_end(&group->used, from) < from + count)
        return region_refuse(group->region, "two logical volumes use the same extent");
    bitmap_set(&group->used, from, count);
    return 0;
}

/* Every ("volume", extent) pair in a list of a segment that names this physical volume. */
static int use_pairs(struct group *group, const struct lvm_node *segment, uint64_t count)
{
    for (const struct lvm_node *list = segment->first; list; list = list->next) {
        if (list->kind != LVM_LIST)
            continue;
        for (const struct lvm_node *item = list->first; item; item = item->next) {
            int r;

            if (item->kind != LVM_STRING || strcmp(item->string, group->here) != 0)
                continue;
            if (!item->next || item->next->kind != LVM_NUMBER)
                return region_refuse(group->region, "its metadata make no sense");
            r = use(group, item->next->number, count);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int use_segment(struct group *group, const struct lvm_node *segment)
{
    const char *type = lvm_string(segment, "type");
    uint64_t count, stripes;

    if (!type || !lvm_number(segment, "extent_count", &count))
        return region_refuse(group->region, "its metadata make no sense");
    if (strcmp(type, "striped") != 0)
        return is_known(type) ? use_pairs(group, segment, count)
                              : region_refuse(group->region,
                                              "it has a segment of a type that is not known here");
    if (!lvm_number(segment, "stripe_count", &stripes) || stripes == 0 || count % stripes != 0)
        return region_refuse(group->region, "its metadata make no sense");
    return use_pairs(group, segment, count / stripes);
}

static bool is_segment(const struct lvm_node *node)
{
    return node->kind == LVM_SECTION && strncmp(node->name, "segment", strlen("segment")) == 0;
}

static int use_volume(struct group *group, const struct lvm_node *volume)
{
    uint64_t expected, found = 0;
    int r = 0;

    for (const struct lvm_node *node = volume->first; r == 0 && node; node = node->next) {
        if (!is_segment(node))
            continue;
        found++;
        r = use_segment(group, node);
    }
    if (r == 0 && (!lvm_number(volume, "segment_count", &expected) || expected != found))
        return region_refuse(group->region, "its metadata make no sense");
    return r;
}

/* Whether any segment of any volume has this name in it, alone or in a list. */
static bool is_referred_to(const struct group *group, const char *name)
{
    for (const struct lvm_node *volume = group->volumes->first; volume; volume = volume->next)
        for (const struct lvm_node *node = volume->first; node; node = node->next) {
            if (!is_segment(node))
                continue;
            for (const struct lvm_node *item = node->first; item; item = item->next)
                if ((item->kind == LVM_STRING && strcmp(item->string, name) == 0) ||
                    (item->kind == LVM_LIST && list_has(item, name)))
                    return true;
        }
    return false;
}

/* A striped or linear segment that lies here whole. False: it is something else. */
static bool place_segment(const struct group *group, const struct lvm_node *segment, uint64_t start,
                          struct region_segment *ret)
{
    const struct lvm_node *stripes = lvm_find(segment, "stripes", LVM_LIST);
    const struct lvm_node *item = stripes ? stripes->first : NULL;
    const char *type = lvm_string(segment, "type");
    uint64_t first, count, stripe_count, stripe_sectors = 0;

    if (!type || strcmp(type, "striped") != 0 || !lvm_number(segment, "start_extent", &first) ||
        !lvm_number(segment, "extent_count", &count) || first != start || count == 0 ||
        !lvm_number(segment, "stripe_count", &stripe_count) || stripe_count == 0 ||
        stripe_count > REGION_STRIPES_MAX || count > group->extents)
        return false;
    if (stripe_count > 1 && (!lvm_number(segment, "stripe_size", &stripe_sectors) ||
                             stripe_sectors == 0 || stripe_sectors > group->extent_bytes / SECTOR))
        return false;
    *ret = (struct region_segment){.start = start * group->extent_bytes,
                                   .length = count * group->extent_bytes,
                                   .stripes = (unsigned)stripe_count,
                                   .stripe_bytes = stripe_sectors * SECTOR};
    for (unsigned i = 0; i < stripe_count; i++) {
        if (!item || item->kind != LVM_STRING || strcmp(item->string, group->here) != 0 ||
            !item->next || item->next->kind != LVM_NUMBER || item->next->number >= group->extents)
            return false;
        ret->origins[i] = group->start + item->next->number * group->extent_bytes;
        item = item->next->next;
    }
    return !item;
}

/* Segments in order; 0 when they are not all plain and here. */
static size_t place_volume(const struct group *group, const struct lvm_node *volume,
                           struct region_segment *segments)
{
    size_t count = 0;
    uint64_t start = 0, expected;

    if (!lvm_number(volume, "segment_count", &expected) || expected > SEGMENTS_MAX)
        return 0;
    while (count < expected) {
        char name[32];
        const struct lvm_node *segment;

        snprintf(name, sizeof(name), "segment%zu", count + 1);
        segment = lvm_find(volume, name, LVM_SECTION);
        if (!segment || !place_segment(group, segment, start, &segments[count]))
            return 0;
        start += segments[count].length / group->extent_bytes;
        count++;
    }
    return count;
}

static int look_into(struct group *group, const struct lvm_node *volume)
{
    CLEANUP_FREE struct region_segment *segments = calloc(SEGMENTS_MAX, sizeof(*segments));
    char label[160];
    size_t count;
    int r;

    if (!segments)
        return -ENOMEM;
    if (!list_has(lvm_find(volume, "status", LVM_LIST), "VISIBLE") ||
        is_referred_to(group, volume->name))
        return 0;
    count = place_volume(group, volume, segments);
    if (count == 0)
        return 0;
    snprintf(label, sizeof(label), "LV %s/%s", group->name, volume->name);
    r = region_descend_mapped(group->region, segments, count, label);
    return r == -EINVAL ? 0 : r; /* a stripe that does not fit: allocated whole */
}

static int claim_unused(struct group *group)
{
    int r = 0;

    for (uint64_t at = 0, end; r == 0 && at < group->extents; at = end) {
        uint64_t from = group->start + at * group->extent_bytes;

        end = bitmap_run_end(&group->used, at);
        if (bitmap_test(&group->used, at))
            continue;
        r = region_claim_free(group->region, from, (end - at) * group->extent_bytes);
    }
    return r;
}

/* This physical volume, and the size of an extent. */
static int find_here(struct group *group, const struct lvm_node *root, const char id[LVM_ID_BYTES])
{
    const struct lvm_node *volumes = lvm_find(root, "physical_volumes", LVM_SECTION);
    const struct lvm_node *found = NULL;
    uint64_t extent_sectors, start_sectors, bytes;

    for (const struct lvm_node *node = volumes ? volumes->first : NULL; node; node = node->next) {
        const char *text = lvm_string(node, "id");

        if (text && same_id(text, id))
            found = node;
    }
    if (!found || !lvm_number(root, "extent_size", &extent_sectors) ||
        !lvm_number(found, "pe_start", &start_sectors) ||
        !lvm_number(found, "pe_count", &group->extents))
        return region_refuse(group->region, "its metadata do not mention it");
    if (extent_sectors == 0 || extent_sectors > UINT32_MAX || start_sectors > UINT64_MAX / SECTOR ||
        group->extents > EXTENTS_MAX)
        return region_refuse(group->region, "its metadata make no sense");
    group->here = found->name;
    group->extent_bytes = extent_sectors * SECTOR;
    group->start = start_sectors * SECTOR;
    if (mul_overflows(group->extents, group->extent_bytes, &bytes) ||
        !range_within(group->start, bytes, region_bytes(group->region)))
        return region_refuse(group->region, "it is larger than the place it lies in");
    return bitmap_init(&group->used, group->extents);
}

int lvm_take_volumes(struct region *region, const struct lvm_text *text,
                     const char id[LVM_ID_BYTES])
{
    CLEANUP_FREE struct group *group = calloc(1, sizeof(*group));
    const struct lvm_node *root = text->root->first;
    const struct lvm_node none = {.kind = LVM_SECTION, .name = ""};
    int r;

    if (!group)
        return -ENOMEM;
    while (root && root->kind != LVM_SECTION)
        root = root->next;
    if (!root)
        return region_refuse(region, "its metadata do not mention it");
    group->region = region;
    group->name = root->name;
    group->volumes = lvm_find(root, "logical_volumes", LVM_SECTION);
    group->volumes = group->volumes ? group->volumes : &none;
    r = find_here(group, root, id);
    for (const struct lvm_node *node = group->volumes->first; r == 0 && node; node = node->next)
        r = use_volume(group, node);
    if (r == 0)
        r = claim_unused(group);
    for (const struct lvm_node *node = group->volumes->first; r == 0 && node; node = node->next)
        r = look_into(group, node);
    bitmap_free(&group->used);
    return r;
}
