/* SPDX-License-Identifier: Apache-2.0 */

/* Whether two endpoints are, or lie on, one LUN, and who else has it on this machine. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "endpoint.h"
#include "local_disks.h"
#include "sg_device.h"

/* Up to a way that one of them does not know: see scsi_identity.c. */
bool endpoint_may_be_one(const char *x, const char *y)
{
    const char *x_way = strrchr(x, '@'), *y_way = strrchr(y, '@');

    if (strcmp(x, y) == 0)
        return true;
    if (!x_way || !y_way || (strcmp(x_way, "@?") != 0 && strcmp(y_way, "@?") != 0))
        return false;
    return x_way - x == y_way - y && strncmp(x, y, (size_t)(x_way - x)) == 0;
}

static bool is_kind(const struct endpoint_info *info, const char *kind)
{
    return info->kind && strcmp(info->kind, kind) == 0;
}

/* The block device that the name stands for, unless it is a SCSI disk; false: none. */
static bool local_node(const struct endpoint_info *info, struct stat *ret)
{
    return is_kind(info, "block") && stat(info->name, ret) == 0;
}

/* Whether a block device lies on a disk that is or may be the other side's LUN, or both lie on such
 * disks. Two that have a disk in common are told apart by how they lie on it, which is seen
 * elsewhere (device_lies_on). */
static bool share_a_disk(const struct local_disks *below_x, const struct local_disks *below_y,
                         const struct endpoint_info *x, const struct endpoint_info *y,
                         const struct local_disk **ret)
{
    for (size_t i = 0; i < below_x->count; i++)
        for (size_t k = 0; k < below_y->count; k++)
            if (below_x->items[i].device == below_y->items[k].device)
                return false;
    for (size_t i = 0; i < below_x->count; i++) {
        *ret = &below_x->items[i];
        if (y->identity[0] && endpoint_may_be_one((*ret)->identity, y->identity))
            return true;
        for (size_t k = 0; k < below_y->count; k++)
            if (endpoint_may_be_one((*ret)->identity, below_y->items[k].identity))
                return true;
    }
    for (size_t k = 0; k < below_y->count; k++) {
        *ret = &below_y->items[k];
        if (x->identity[0] && endpoint_may_be_one((*ret)->identity, x->identity))
            return true;
    }
    return false;
}

static int check_disks(const struct endpoint_info *x, const struct endpoint_info *y,
                       struct errmsg *err)
{
    struct local_disks *below = calloc(2, sizeof(*below));
    const struct local_disk *disk;
    struct stat node;
    int r = 0;

    if (!below)
        return errmsg_set(err, -ENOMEM, "%s: out of memory", x->name);
    if (local_node(x, &node) && S_ISBLK(node.st_mode))
        local_disks_below("/sys", node.st_rdev, &below[0]);
    if (local_node(y, &node) && S_ISBLK(node.st_mode))
        local_disks_below("/sys", node.st_rdev, &below[1]);
    if (share_a_disk(&below[0], &below[1], x, y, &disk))
        r = errmsg_set(err, -ENOTUNIQ,
                       "%s and %s lie on the same LUN, which is /dev/%s here (%s): name another "
                       "secondary",
                       x->name, y->name, disk->name, disk->identity);
    free(below);
    return r;
}

int endpoint_check_distinct(const struct endpoint *a, const struct endpoint *b, struct errmsg *err)
{
    const struct endpoint_info *x = &a->info, *y = &b->info;

    if (!endpoint_may_be_one(x->identity, y->identity))
        return check_disks(x, y, err);
    if (x->identity[0])
        return errmsg_set(err, -ENOTUNIQ,
                          "%s and %s are the same (%s); if they are not, give one of the LUNs a "
                          "designator and a serial number of its own (tgt: scsi_id and scsi_sn)",
                          x->name, y->name, x->identity);
    if (x->blocks * x->block_size != y->blocks * y->block_size)
        return 0;
    return errmsg_set(err, -ENOTUNIQ,
                      "%s and %s have the same size and neither says who it is, so they may be the "
                      "same; give one of the LUNs a designator or serial number",
                      x->name, y->name);
}

bool endpoint_find_local_user(const struct endpoint *endpoint, char *text, size_t size)
{
    const struct endpoint_info *info = &endpoint->info;
    bool node = is_kind(info, "sg"), found;
    struct local_disks *disks;
    struct sg_device own = {0};

    text[0] = '\0';
    if (!node && !is_kind(info, "iscsi"))
        return false; /* who uses a block device or a file was seen when it was opened */
    disks = calloc(1, sizeof(*disks));
    if (!disks)
        return false;
    if (node)
        sg_device_look_up("/sys", info->name, &own);
    local_disks_of("/sys", info->identity, disks);
    found = local_disks_find_user(disks, own.disk, text, size);
    free(disks);
    return found;
}
