/* SPDX-License-Identifier: Apache-2.0 */

/* Kernel modules, the netlink family of TCMU, configfs. */

#include <errno.h>
#include <libkmod.h>
#include <linux/magic.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "findings.h"

#ifndef CONFIGFS_MAGIC
#define CONFIGFS_MAGIC 0x62656570
#endif

#define CONFIGFS_PATH "/sys/kernel/config"
#define NEW_KERNEL    "apt-get install linux-image-amd64, then boot that kernel"

/* evidence: what exists when the module is in use, though it may be built in without a trace in
 * /sys/module and with no list of built-in modules installed. */
static const struct module_need {
    const char *name;
    enum need need;
    const char *evidence;
} modules[] = {
    {"target_core_user", NEED_SERVE, "/sys/module/target_core_user"},
    {"uio", NEED_SERVE, "/sys/class/uio"},
    {"iscsi_target_mod", NEED_SERVE, CONFIGFS_PATH "/target/iscsi"},
    {"tcm_loop", NEED_SERVE, "/sys/bus/tcm_loop_bus"},
    {"iscsi_tcp", NEED_MIRROR, "/sys/class/iscsi_transport/tcp"},
    {"sd_mod", NEED_MIRROR, "/sys/bus/scsi/drivers/sd"},
    {"sg", NEED_MIRROR, "/sys/class/scsi_generic"},
};

enum module_state { MODULE_MISSING, MODULE_LOADABLE, MODULE_LOADED, MODULE_BUILTIN };

static enum module_state state_of(struct kmod_module *module)
{
    switch (kmod_module_get_initstate(module)) {
    case KMOD_MODULE_BUILTIN:
        return MODULE_BUILTIN;
    case KMOD_MODULE_LIVE:
    case KMOD_MODULE_COMING:
        return MODULE_LOADED;
    default:
        return kmod_module_get_path(module) ? MODULE_LOADABLE : MODULE_MISSING;
    }
}

/* Of all modules that answer to the name the one that is closest to running. */
static enum module_state find_module(struct kmod_ctx *context, const struct module_need *wanted)
{
    enum module_state best = MODULE_MISSING;
    struct kmod_list *list = NULL, *item;

    if (context && kmod_module_new_from_lookup(context, wanted->name, &list) >= 0) {
        kmod_list_foreach(item, list)
        {
            struct kmod_module *module = kmod_module_get_module(item);
            enum module_state state = state_of(module);

            if (state > best)
                best = state;
            kmod_module_unref(module);
        }
        kmod_module_unref_list(list);
    }
    if (best == MODULE_MISSING && access(wanted->evidence, F_OK) == 0)
        best = MODULE_BUILTIN;
    return best;
}

static void check_modules(struct findings *findings, struct kmod_ctx *context)
{
    static const char *const states[] = {
        [MODULE_LOADABLE] = "loadable",
        [MODULE_LOADED] = "loaded",
        [MODULE_BUILTIN] = "built in",
    };
    struct utsname kernel = {0};
    char missing[sizeof(kernel.release) + 64];

    uname(&kernel);
    snprintf(missing, sizeof(missing), "not in this kernel (%s)", kernel.release);
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
        const struct module_need *wanted = &modules[i];
        enum module_state state = find_module(context, wanted);

        if (state == MODULE_MISSING)
            finding_missing(findings, wanted->need, wanted->name, missing, NEW_KERNEL);
        else
            finding_ok(findings, wanted->need, wanted->name, states[state]);
    }
}

/* The family's number, or -1. */
static int resolve_family(const char *name)
{
    struct nl_sock *socket = nl_socket_alloc();
    int family = -1;

    if (socket && genl_connect(socket) == 0)
        family = genl_ctrl_resolve(socket, name);
    nl_socket_free(socket);
    return family;
}

static void check_netlink(struct findings *findings)
{
    const char *name = "netlink TCM-USER";

    if (resolve_family("TCM-USER") >= 0)
        finding_ok(findings, NEED_SERVE, name, "answers");
    else if (strcmp(findings->items[0].name, "target_core_user") == 0 && findings->items[0].ok)
        finding_missing(findings, NEED_SERVE, name, "target_core_user is not loaded",
                        "modprobe target_core_user");
    else
        finding_missing(findings, NEED_SERVE, name, "comes with target_core_user", NEW_KERNEL);
}

static void check_configfs(struct findings *findings, struct kmod_ctx *context)
{
    static const struct module_need module = {"configfs", NEED_SERVE, CONFIGFS_PATH};
    struct statfs info;

    if (statfs(CONFIGFS_PATH, &info) == 0 && info.f_type == CONFIGFS_MAGIC)
        finding_ok(findings, NEED_SERVE, "configfs", "mounted on " CONFIGFS_PATH);
    else if (find_module(context, &module) == MODULE_MISSING)
        finding_missing(findings, NEED_SERVE, "configfs", "not in this kernel", NEW_KERNEL);
    else
        finding_missing(findings, NEED_SERVE, "configfs", "not mounted",
                        "modprobe configfs && mount -t configfs configfs " CONFIGFS_PATH);
}

void check_kernel(struct findings *findings)
{
    struct kmod_ctx *context = kmod_new(NULL, NULL);

    check_modules(findings, context);
    check_netlink(findings);
    check_configfs(findings, context);
    if (context)
        kmod_unref(context);
}
