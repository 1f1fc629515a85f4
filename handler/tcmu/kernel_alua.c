/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_alua.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct walk {
    struct lun_ports *ports;
    char group[64];
};

static int add_port(void *context, const struct kernel_port *port)
{
    struct walk *walk = context;
    char name[96];
    int id;

    snprintf(name, sizeof(name), "lun/%s/statistics/scsi_port/indx", port->lun);
    id = kernel_number(port->folder, name);
    if (id <= 0 || id > UINT16_MAX || walk->ports->count == LUN_PORTS_MAX)
        return -ERANGE;
    if (walk->group[0] && strcmp(walk->group, port->group) != 0)
        return -EXDEV;
    snprintf(walk->group, sizeof(walk->group), "%s", port->group);
    walk->ports->ids[walk->ports->count++] = (uint16_t)id;
    return 0;
}

/* Which states the group can have (SPC-4 table 231, byte 1). */
static const struct {
    const char *name;
    uint8_t bit;
} supports[] = {
    {"alua_support_transitioning", 0x80},    {"alua_support_offline", 0x40},
    {"alua_support_lba_dependent", 0x10},    {"alua_support_unavailable", 0x08},
    {"alua_support_standby", 0x04},          {"alua_support_active_nonoptimized", 0x02},
    {"alua_support_active_optimized", 0x01},
};

/* STATUS CODE (SPC-4 table 233), as the kernel words it. */
static const char *const statuses[] = {"None", "Altered by Explicit STPG",
                                       "Altered by Implicit ALUA"};

static int read_status(const char *folder, uint8_t *ret)
{
    char text[KERNEL_TARGET_TEXT_BYTES];
    int error = kernel_text(folder, "alua_access_status", text);

    for (uint8_t i = 0; !error && i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (strcmp(text, statuses[i]) == 0) {
            *ret = i;
            return 0;
        }
    }
    return error ? error : -EINVAL;
}

static int read_group(const char *folder, struct lun_ports *ret)
{
    char type[KERNEL_TARGET_TEXT_BYTES];
    int error = kernel_text(folder, "alua_access_type", type);
    int id = kernel_number(folder, "tg_pt_gp_id");
    int state = kernel_number(folder, "alua_access_state");
    int preferred = kernel_number(folder, "preferred");
    int seconds = kernel_number(folder, "implicit_trans_secs");

    if (error || strncmp(type, "Implicit", 8) != 0)
        return -ENOTSUP;
    if (id < 0 || id > UINT16_MAX || state < 0 || state > 0x0F || preferred < 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(supports) / sizeof(supports[0]); i++)
        if (kernel_number(folder, supports[i].name) == 1)
            ret->supported |= supports[i].bit;
    ret->group = (uint16_t)id;
    ret->state = (uint8_t)state;
    ret->preferred = preferred > 0;
    ret->transition_seconds = (uint8_t)(seconds > 0 && seconds < 256 ? seconds : 0);
    return read_status(folder, &ret->status);
}

void kernel_ports_look(void *context, struct lun_ports *ret)
{
    const struct kernel_device *device = context;
    struct walk walk = {.ports = ret};
    char folder[KERNEL_TARGET_PATH_BYTES], name[80];

    *ret = (struct lun_ports){
        .reservations = kernel_number(device->folder, "attrib/emulate_pr") == 1 &&
                        kernel_number(device->folder, "attrib/pgr_support") != 0,
    };
    if (kernel_number(device->folder, "attrib/alua_support") == 0 ||
        kernel_ports(device, add_port, &walk))
        return;
    snprintf(name, sizeof(name), "alua/%s", walk.group);
    ret->alua = kernel_path(folder, device->folder, name) == 0 && read_group(folder, ret) == 0;
}
