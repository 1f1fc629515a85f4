/* SPDX-License-Identifier: Apache-2.0 */

/* Whether two endpoints are, or lie on, one LUN, and who else has it on this machine. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "endpoint.h"
#include "local_disks.h"
#include "sg_device.h"
#include "unit_identity.h"

static bool is_kind(const struct endpoint_info *info, const char *kind)
{
    return info->kind && strcmp(info->kind, kind) == 0;
}

/* The disks below a block device or a file. Below what is a SCSI unit itself there are none. */
static void look_below(const struct endpoint_info *info, struct local_disks *ret)
{
    const char *path = info->name;
    struct stat st;

    ret->count = 0;
    if (is_kind(info, "thin"))
        path += strlen("thin:");
    else if (!is_kind(info, "block") && !is_kind(info, "file"))
        return;
    if (stat(path, &st) < 0)
        return;
    if (S_ISBLK(st.st_mode))
        local_disks_below("/sys", st.st_rdev, ret);
    else
        local_disks_below_file("/sys", path, ret);
}

/* Whether one of the disks is or may be the unit itself. */
static bool lie_on(const struct local_disks *disks, const char *identity,
                   const struct local_disk **ret)
{
    for (size_t i = 0; i < disks->count && identity[0]; i++) {
        *ret = &disks->items[i];
        if (unit_identity_may_be_one((*ret)->identity, identity))
            return true;
    }
    return false;
}

static int check_disks(const struct endpoint_info *x, const struct endpoint_info *y,
                       struct errmsg *err)
{
    struct local_disks *below = calloc(2, sizeof(*below));
    const struct local_disk *disk;
    int r = 0;

    if (!below)
        return errmsg_set(err, -ENOMEM, "%s: out of memory", x->name);
    look_below(x, &below[0]);
    look_below(y, &below[1]);
    if (lie_on(&below[0], y->identity, &disk) || lie_on(&below[1], x->identity, &disk) ||
        local_disks_share(&below[0], &below[1], &disk))
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

    if (!unit_identity_may_be_one(x->identity, y->identity))
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

/* The names by which the endpoint has its disks itself: who uses those was seen when it was opened.
 */
static void look_at_own(const struct endpoint_info *info, struct local_disks *ret)
{
    struct sg_device device;

    ret->count = 0;
    if (is_kind(info, "block"))
        look_below(info, ret);
    if (!is_kind(info, "sg"))
        return;
    sg_device_look_up("/sys", info->name, &device);
    if (device.disk[0] && strlen(device.disk) < sizeof(ret->items[0].name))
        strcpy(ret->items[ret->count++].name, device.disk);
}

/* Who uses the LUN, or a part of it, by a name that is not among its own. */
static bool find_other_user(const char *identity, const struct local_disk *part,
                            const struct local_disks *own, struct local_disks *names, char *text,
                            size_t size)
{
    local_disks_of("/sys", identity, names);
    for (size_t i = 0; i < names->count; i++) {
        struct local_disk *disk = &names->items[i];
        bool is_own = false;

        for (size_t k = 0; k < own->count && !is_own; k++)
            is_own = strcmp(own->items[k].name, disk->name) == 0;
        if (part) {
            disk->start = part->start;
            disk->sectors = part->sectors;
        }
        if (!is_own && local_disk_find_user("/sys", disk, text, size))
            return true;
    }
    return false;
}

bool endpoint_find_local_user(const struct endpoint *endpoint, char *text, size_t size)
{
    const struct endpoint_info *info = &endpoint->info;
    struct local_disks *own = calloc(2, sizeof(*own));
    bool found = false;

    text[0] = '\0';
    if (!own)
        return false;
    look_at_own(info, own);
    if (is_kind(info, "iscsi") || is_kind(info, "sg"))
        found = find_other_user(info->identity, NULL, own, own + 1, text, size);
    for (size_t i = 0; is_kind(info, "block") && i < own->count && !found; i++)
        found = find_other_user(own->items[i].identity, &own->items[i], own, own + 1, text, size);
    free(own);
    return found;
}
