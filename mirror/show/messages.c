/* SPDX-License-Identifier: Apache-2.0 */
#include "messages.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "progress.h"

void message_error(const struct notes *notes, const char *sentence)
{
    progress_say(notes->progress, "", sentence);
}

void message_note(struct notes *notes, const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    if (!text)
        return;
    if (!notes->quiet)
        progress_say(notes->progress, "note: ", text);
    if (notes->count < NOTES_MAX)
        notes->texts[notes->count++] = text;
    else
        free(text);
}

void notes_free(struct notes *notes)
{
    for (size_t i = 0; i < notes->count; i++)
        free(notes->texts[i]);
    notes->count = 0;
}
