/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LEDGER_REPORT_H
#define THINMIRROR_LEDGER_REPORT_H

/* Ledgers as they are shown. */

#include "ledger_list.h"
#include "report.h"

/* One ledger in some lines on stdout. */
void ledger_report_show(const struct ledger_item *item);

/* The JSON of ledgers and forget: the list's items from first on, count of them; what was removed,
 * or NULL where that is not the question. */
void ledger_report_json(const struct report *report, const struct ledger_list *list,
                        const struct ledger_item *items, size_t count,
                        const char (*removed)[PATH_MAX], size_t removed_count);

#endif
