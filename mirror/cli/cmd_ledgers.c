/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <time.h>

#include "cleanup.h"
#include "commands.h"
#include "ledger_report.h"

static void show(const struct ledger_list *list, struct notes *notes)
{
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            putchar('\n');
        ledger_report_show(&list->items[i]);
    }
    if (list->count == 0)
        message_note(notes, "there are no ledgers in %s", list->folder);
}

enum exit_status command_ledgers(const struct options *options)
{
    CLEANUP(ledger_list_free) struct ledger_list list = {0};
    CLEANUP(notes_free) struct notes notes = {.quiet = options->quiet};
    struct errmsg error = {""};
    struct report report = {.options = options,
                            .notes = &notes,
                            .error = &error,
                            .started = time(NULL)};

    if (ledger_list_read(&list, &error) < 0) {
        report.status = STATUS_FAILED;
        message_error(&notes, error.text);
    }
    if (options->json)
        ledger_report_json(&report, &list, list.items, list.count, NULL, 0);
    else if (report.status == STATUS_DONE)
        show(&list, &notes);
    return report.status;
}
