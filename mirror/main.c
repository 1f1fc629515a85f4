/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>

#include "commands.h"
#include "options.h"
#include "progress.h"
#include "standard_files.h"

/* A result that nobody got is no result. */
static int finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    /* A signal ends a write, too; that the output is not complete was said. */
    if (status == STATUS_INTERRUPTED)
        return status;
    perror("thinmirror: cannot write to stdout");
    return status == STATUS_DONE ? STATUS_FAILED : status;
}

int main(int argc, char *argv[])
{
    struct options options;
    struct errmsg error;

    if (standard_files_reserve() < 0)
        return STATUS_FAILED; /* nobody to tell */
    /* A lost connection or reader is seen where it is written to. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error to report, not a reason to die */
    if (options_parse(argc, argv, &options, &error) < 0) {
        progress_say(NULL, "", error.text);
        return STATUS_USAGE;
    }
    if (options.version) {
        puts("thinmirror " THINMIRROR_VERSION);
        return finish(STATUS_DONE);
    }
    if (options.help) {
        fputs(options_help(options.command), stdout);
        return finish(STATUS_DONE);
    }
    switch (options.command) {
    case COMMAND_SYNC:
        return finish((int)command_sync(&options));
    case COMMAND_VERIFY:
        return finish((int)command_verify(&options));
    case COMMAND_MAP:
        return finish((int)command_map(&options));
    case COMMAND_PROBE:
        return finish((int)command_probe(&options));
    case COMMAND_NONE:
        break;
    }
    return STATUS_USAGE;
}
