/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_LOG_H
#define THINMIRROR_BASE_LOG_H

/* Messages about what happens while things run. One sink per process: stderr until log_set_sink
 * names another (the TCMU adapter hands messages to the runner's log). */

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Receives one message without a newline. Called from any thread. */
typedef void log_sink(enum log_level level, const char *message);

/* Call before threads start. NULL: back to stderr. */
void log_set_sink(log_sink *sink);

/* Messages above this level are dropped; the default is LOG_LEVEL_WARNING. */
void log_set_level(enum log_level level);

void log_message(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
