/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_COMMANDS_H
#define THINMIRROR_COMMANDS_H

#include "exit_status.h"
#include "options.h"

/* Each opens what the options name, does it, reports on stdout and says errors on stderr. */
enum exit_status command_sync(const struct options *options);
enum exit_status command_verify(const struct options *options);
enum exit_status command_map(const struct options *options);
enum exit_status command_probe(const struct options *options);

/* These open no LUN. */
enum exit_status command_ledgers(const struct options *options);
enum exit_status command_forget(const struct options *options);

#endif
