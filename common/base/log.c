/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static void log_to_stderr(enum log_level level, const char *message)
{
    fprintf(stderr, "%s: %s\n", level_names[level], message);
}

static log_sink *current_sink = log_to_stderr;
static _Atomic int current_level = LOG_LEVEL_WARNING;

void log_set_sink(log_sink *sink)
{
    current_sink = sink ? sink : log_to_stderr;
}

void log_set_level(enum log_level level)
{
    atomic_store(&current_level, (int)level);
}

void log_message(enum log_level level, const char *format, ...)
{
    char message[1024];
    va_list args;

    if ((int)level > atomic_load(&current_level))
        return;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    current_sink(level, message);
}
