/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TABLES_WATCH_H
#define THINMIRROR_TABLES_WATCH_H

/* What goes on while tables of contents are read: the other side's connection is kept alive, and
 * how far it is can be seen and asked for (SIGUSR1). */

#include "analyse.h"
#include "control.h"

struct session;

struct tables_watch {
    struct session *session;
    struct copy_control control;
    double started, shown, served; /* seconds of copy_now */
};

/* For one reading of the primary's tables, as the user has chosen; watch must stay until its end.
 */
struct analyse_params tables_watch_begin(struct tables_watch *watch, struct session *session);

#endif
