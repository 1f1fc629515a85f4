/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RUNNER_LOG_H
#define THINMIRROR_RUNNER_LOG_H

#include "log.h"

struct tcmu_device;

/* Hands a message to tcmu-runner's log (/var/log/tcmu-runner.log and the journal), in pieces of
 * whole words, because the runner cuts at 255 bytes. dev adds the backstore's name; may be NULL. */
void runner_log(struct tcmu_device *dev, enum log_level level, const char *message);

#endif
