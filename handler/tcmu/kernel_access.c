/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_access.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_ONLY   1 /* what a walk ends with when it has found a mapping that is */
#define TYPE_PREFIX "SPC-3 Reservation Type: "

static const struct {
    const char *text;
    enum lun_reservation means;
} types[] = {
    {"No SPC-3 Reservation holder", LUN_NOT_RESERVED},
    {TYPE_PREFIX "Write Exclusive Access", LUN_RESERVED_FOR_WRITING},
    {TYPE_PREFIX "Write Exclusive Access, Registrants Only", LUN_RESERVED_FOR_WRITING},
    {TYPE_PREFIX "Write Exclusive Access, All Registrants", LUN_RESERVED_FOR_WRITING},
    {TYPE_PREFIX "Exclusive Access", LUN_RESERVED},
    {TYPE_PREFIX "Exclusive Access, Registrants Only", LUN_RESERVED},
    {TYPE_PREFIX "Exclusive Access, All Registrants", LUN_RESERVED},
};

/* The last two: the kernel enforces nothing. */
static const char *const no_holders[] = {"No SPC-3 Reservation holder",
                                         "No SPC-2 Reservation holder", "SPC_RESERVATIONS_DISABLED",
                                         "Passthrough"};

static enum lun_reservation type_of(const char *text)
{
    for (size_t i = 0; text && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(text, types[i].text) == 0)
            return types[i].means;
    return LUN_RESERVATION_UNKNOWN;
}

enum lun_reservation kernel_reservation_parse(const char *type, const char *holder)
{
    enum lun_reservation reservation = type_of(type);

    if (!holder)
        return LUN_RESERVATION_UNKNOWN;
    if (reservation != LUN_NOT_RESERVED)
        return reservation;
    for (size_t i = 0; i < sizeof(no_holders) / sizeof(no_holders[0]); i++)
        if (strcmp(holder, no_holders[i]) == 0)
            return LUN_NOT_RESERVED;
    /* Made since the type was read, of what type is not known. */
    return strncmp(holder, "SPC-2 Reservation: ", 19) == 0 ? LUN_RESERVED : LUN_RESERVATION_UNKNOWN;
}

static enum lun_reservation look_at_reservation(const struct kernel_device *device)
{
    char type[KERNEL_TARGET_TEXT_BYTES], holder[KERNEL_TARGET_TEXT_BYTES];
    bool has_type = kernel_text(device->folder, "pr/res_pr_type", type) == 0;
    bool has_holder = kernel_text(device->folder, "pr/res_holder", holder) == 0;

    return kernel_reservation_parse(has_type ? type : NULL, has_holder ? holder : NULL);
}

/* A file that some fabrics don't have; what it says can be nothing but 0 then. */
static int optional_number(const char *folder, const char *name)
{
    int number = kernel_number(folder, name);

    return number == -ENOENT ? 0 : number;
}

/* 0 when the link does not lead to the port's LUN. */
static int check_link(void *context, const char *folder, const char *name)
{
    const struct kernel_port *port = context;
    char path[KERNEL_TARGET_PATH_BYTES], target[KERNEL_TARGET_PATH_BYTES];
    ssize_t length;
    const char *lun;

    if (kernel_path(path, folder, name))
        return -ENAMETOOLONG;
    length = readlink(path, target, sizeof(target) - 1);
    if (length < 0)
        return errno == EINVAL ? 0 : -errno; /* no link, one of the folder's files */
    target[length] = '\0';
    lun = strrchr(target, '/');
    return lun && strcmp(lun + 1, port->lun) == 0 ? READ_ONLY : 0;
}

/* One LUN as an ACL maps it. */
static int check_mapping(void *context, const char *folder, const char *name)
{
    char path[KERNEL_TARGET_PATH_BYTES];
    int number;

    if (kernel_path(path, folder, name))
        return -ENAMETOOLONG;
    number = kernel_number(path, "write_protect");
    return number <= 0 ? number : kernel_list(path, "", check_link, context);
}

static int check_acl(void *context, const char *folder, const char *name)
{
    char path[KERNEL_TARGET_PATH_BYTES];
    int result = kernel_path(path, folder, name);

    return result ? result : kernel_list(path, "lun_", check_mapping, context);
}

static int check_port(void *context, const struct kernel_port *port)
{
    struct kernel_port copy = *port;
    char path[KERNEL_TARGET_PATH_BYTES];
    int anyone = optional_number(port->folder, "attrib/generate_node_acls");
    int protected = optional_number(port->folder, "attrib/demo_mode_write_protect");
    int result = kernel_path(path, port->folder, "acls");

    (void)context;
    if (result || anyone < 0 || protected < 0)
        return -EINVAL;
    if (anyone > 0 && protected > 0)
        return READ_ONLY;
    if (access(path, F_OK) != 0 && errno == ENOENT) /* a fabric without ACLs */
        return 0;
    return kernel_list(path, "", check_acl, &copy);
}

void kernel_access_look(void *context, struct lun_access *ret)
{
    const struct kernel_device *device = context;

    *ret = (struct lun_access){
        .reservation = look_at_reservation(device),
        .read_only_for_some = kernel_ports(device, check_port, NULL) != 0,
    };
}
