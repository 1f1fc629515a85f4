/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "commands.h"
#include "iscsi_name.h"
#include "options.h"
#include "patience.h"
#include "progress.h"
#include "standard_files.h"
#include "steady_output.h"

/* The reader of a listing may have seen enough: that is no error. */
static bool is_reader_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};

    return poll(&out, 1, 0) == 1 && out.revents & (POLLERR | POLLHUP);
}

/* A result that could not be printed is no result. */
static int finish(enum command command, int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    /* That the output is not complete was said; after a signal a reader may not take it in time. */
    if (status == STATUS_INTERRUPTED)
        return status;
    if (command != COMMAND_MAP || !is_reader_gone())
        perror("thinmirror: cannot write to stdout");
    return status == STATUS_DONE ? STATUS_FAILED : status;
}

/* What would be found out too late, or not at all, where it is used. */
static int check_environment(struct errmsg *err)
{
    const char *seconds = getenv("THINMIRROR_RECONNECT_SECONDS");
    const char *initiator = getenv("THINMIRROR_INITIATOR");

    if (!patience_is_valid())
        return errmsg_set(err, -EINVAL,
                          "THINMIRROR_RECONNECT_SECONDS is a number of seconds from 0 to %d, not "
                          "'%s'",
                          RECONNECT_SECONDS_MAX, seconds);
    if (initiator && initiator[0] && !iscsi_name_is_valid(initiator))
        return errmsg_set(err, -EINVAL,
                          "THINMIRROR_INITIATOR is an iSCSI name like "
                          "iqn.2024-01.org.example:host, not '%s'",
                          initiator);
    return 0;
}

/* A core dump would hold the CHAP secrets, and a tracer of this process could read them. */
static void keep_secrets(void)
{
    const struct rlimit none = {0, 0};

    prctl(PR_SET_DUMPABLE, 0);
    setrlimit(RLIMIT_CORE, &none);
}

int main(int argc, char *argv[])
{
    struct options options;
    struct errmsg error;

    if (standard_files_reserve() < 0)
        return STATUS_FAILED; /* there is nowhere to print it */
    steady_output_begin();
    keep_secrets();
    /* A lost connection or reader is seen where it is written to. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error to report, not a reason to die */
    if (options_parse(argc, argv, &options, &error) < 0) {
        progress_say(NULL, "", error.text);
        return STATUS_USAGE;
    }
    if (options.version) {
        puts("thinmirror " THINMIRROR_VERSION);
        return finish(COMMAND_NONE, STATUS_DONE);
    }
    if (options.help) {
        fputs(options_help(options.command), stdout);
        return finish(COMMAND_NONE, STATUS_DONE);
    }
    if (check_environment(&error) < 0) {
        progress_say(NULL, "", error.text);
        return STATUS_USAGE;
    }
    switch (options.command) {
    case COMMAND_SYNC:
        return finish(options.command, (int)command_sync(&options));
    case COMMAND_VERIFY:
        return finish(options.command, (int)command_verify(&options));
    case COMMAND_MAP:
        return finish(options.command, (int)command_map(&options));
    case COMMAND_PROBE:
        return finish(options.command, (int)command_probe(&options));
    case COMMAND_LEDGERS:
        return finish(options.command, (int)command_ledgers(&options));
    case COMMAND_FORGET:
        return finish(options.command, (int)command_forget(&options));
    case COMMAND_NONE:
        break;
    }
    return STATUS_USAGE;
}
