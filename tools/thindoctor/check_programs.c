/* SPDX-License-Identifier: Apache-2.0 */

/* Programs and services: tcmu-runner with our handler, targetcli, open-iscsi, tgt. */

#include <dbus/dbus.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "findings.h"

#define RUNNER_BUS_NAME "org.kernel.TCMUService1"
#define RUNNER_PATH     "/org/kernel/TCMUService1"
#define HANDLER_FILE    THINMIRROR_HANDLER_DIR "/handler_thin.so"
#define CALL_TIMEOUT_MS 5000

/* Administrators' programs are often not on a user's PATH. */
static bool program_exists(const char *name)
{
    static const char *const folders[] = {"/usr/bin", "/usr/sbin",      "/bin",
                                          "/sbin",    "/usr/local/bin", "/usr/local/sbin"};
    char path[256];

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folders[i], name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static DBusConnection *connect_to_bus(void)
{
    DBusConnection *bus = dbus_bus_get_private(DBUS_BUS_SYSTEM, NULL);

    if (bus)
        dbus_connection_set_exit_on_disconnect(bus, FALSE);
    return bus;
}

/* tcmu-runner publishes one object for each handler it has loaded. */
static bool handler_is_registered(DBusConnection *bus)
{
    const char *interface = RUNNER_BUS_NAME, *property = "ConfigDesc";
    DBusMessage *reply = NULL,
                *call = dbus_message_new_method_call(RUNNER_BUS_NAME, RUNNER_PATH "/thin",
                                                     DBUS_INTERFACE_PROPERTIES, "Get");
    bool registered;

    if (!call)
        return false;
    dbus_message_set_auto_start(call, FALSE);
    if (dbus_message_append_args(call, DBUS_TYPE_STRING, &interface, DBUS_TYPE_STRING, &property,
                                 DBUS_TYPE_INVALID))
        reply = dbus_connection_send_with_reply_and_block(bus, call, CALL_TIMEOUT_MS, NULL);
    registered = reply != NULL;
    if (reply)
        dbus_message_unref(reply);
    dbus_message_unref(call);
    return registered;
}

/* How a service is started or restarted here. */
static const char *service_command(const char *with_systemd, const char *without)
{
    return access("/run/systemd/system", F_OK) == 0 ? with_systemd : without;
}

/* True when it runs. */
static bool check_runner(struct findings *findings, DBusConnection *bus)
{
    if (!program_exists("tcmu-runner"))
        finding_missing(findings, NEED_SERVE, "tcmu-runner", "not installed",
                        "apt-get install tcmu-runner");
    else if (!bus)
        finding_missing(findings, NEED_SERVE, "tcmu-runner", "there is no D-Bus system bus",
                        service_command("apt-get install dbus && systemctl start dbus",
                                        "apt-get install dbus && dbus-daemon --system --fork"));
    else if (!dbus_bus_name_has_owner(bus, RUNNER_BUS_NAME, NULL))
        finding_missing(findings, NEED_SERVE, "tcmu-runner", "not running",
                        service_command("systemctl start tcmu-runner", "tcmu-runner &"));
    else {
        finding_ok(findings, NEED_SERVE, "tcmu-runner", "running");
        return true;
    }
    return false;
}

static void check_handler(struct findings *findings, DBusConnection *bus, bool runner_runs)
{
    const char *name = "handler user:thin";

    if (runner_runs && handler_is_registered(bus))
        finding_ok(findings, NEED_SERVE, name, "registered with tcmu-runner");
    else if (access(HANDLER_FILE, R_OK) != 0)
        finding_missing(findings, NEED_SERVE, name, "not in " THINMIRROR_HANDLER_DIR,
                        "cmake --install build");
    else if (runner_runs)
        finding_missing(findings, NEED_SERVE, name, "installed, but not loaded by tcmu-runner",
                        service_command("systemctl restart tcmu-runner",
                                        "stop tcmu-runner and start it again"));
    else
        finding_ok(findings, NEED_SERVE, name, "installed");
}

static void check_program(struct findings *findings, enum need need, const char *name,
                          const char *program, const char *mend)
{
    if (program_exists(program))
        finding_ok(findings, need, name, "installed");
    else
        finding_missing(findings, need, name, "not installed", mend);
}

void check_programs(struct findings *findings)
{
    DBusConnection *bus = connect_to_bus();
    bool runner_runs = check_runner(findings, bus);

    check_handler(findings, bus, runner_runs);
    if (bus) {
        dbus_connection_close(bus);
        dbus_connection_unref(bus);
    }
    check_program(findings, NEED_SERVE, "targetcli", "targetcli", "apt-get install targetcli-fb");
    check_program(findings, NEED_MIRROR, "open-iscsi", "iscsiadm", "apt-get install open-iscsi");
    check_program(findings, NEED_OPTIONAL, "tgt", "tgtd", "apt-get install tgt");
}
