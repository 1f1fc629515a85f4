/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"
#include "report.h"
#include "session.h"

enum exit_status command_probe(const struct options *options)
{
    struct session session;
    enum exit_status status = session_open(&session, options, false);

    if (status == STATUS_DONE)
        report_probe(session.primary, options->json);
    else
        message_error(&session.notes, session.error.text);
    if (status != STATUS_DONE && options->json)
        report_no_probe(options->names[0], session.error.text);
    session_close(&session);
    return status;
}
