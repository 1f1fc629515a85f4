/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"
#include "report.h"
#include "session.h"

enum exit_status command_probe(const struct options *options)
{
    struct session session;
    struct report report = {.options = options};

    report.status = session_open(&session, options, false);
    if (report.status != STATUS_DONE)
        message_error(&session.notes, session.error.text);
    session_fill_report(&session, &report);
    report_probe(&report);
    session_close(&session);
    return report.status;
}
