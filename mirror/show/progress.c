/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "utf8.h"

#define DEFAULT_COLUMNS 80
#define SHORTEST_BAR    5
#define LONGEST_BAR     40
#define RATE_MEMORY     3.0 /* seconds */

/* A line that stays is as long as this where it goes to no terminal. */
#define LINE_COLUMNS          120
#define SHORTEST_LINE_COLUMNS 40

static const char *const phase_words[] = {[PHASE_TABLES] = "reading tables",
                                          [PHASE_LOOK] = "looking",
                                          [PHASE_PLAN] = "planning",
                                          [PHASE_SYNC] = "copying",
                                          [PHASE_VERIFY] = "verifying"};
static const char *const phase_names[] = {[PHASE_TABLES] = "tables",
                                          [PHASE_LOOK] = "look",
                                          [PHASE_PLAN] = "plan",
                                          [PHASE_SYNC] = "sync",
                                          [PHASE_VERIFY] = "verify"};
static const char line_prefix[] = "thinmirror: ";

/* Guards the terminal and every struct progress: the threads of sessions have messages, too. The
 * last of all locks to be taken. */
static pthread_mutex_t terminal_lock = PTHREAD_MUTEX_INITIALIZER;

void progress_init(struct progress *progress, enum progress_mode wanted)
{
    if (wanted == PROGRESS_AUTO)
        wanted = isatty(STDERR_FILENO) ? PROGRESS_BAR : PROGRESS_NONE;
    *progress = (struct progress){.mode = wanted};
}

uint64_t progress_expected_bytes(const struct copy_status *status)
{
    double rest;

    if (status->phase == PHASE_PLAN)
        return status->lun_bytes;
    if (status->scanned_bytes == 0)
        return status->lun_bytes;
    rest = (double)(status->lun_bytes - status->scanned_bytes) / (double)status->scanned_bytes;
    return status->todo_bytes + (uint64_t)((double)status->todo_bytes * rest);
}

/* Of what is expected; a plan is made when all maps have been read. */
static uint64_t done_bytes(const struct copy_status *status)
{
    return status->phase == PHASE_PLAN ? status->scanned_bytes : status->done_bytes;
}

static bool is_finished(const struct copy_status *status)
{
    return status->scanned_bytes == status->lun_bytes &&
           (status->phase == PHASE_PLAN || status->done_bytes == status->todo_bytes);
}

/* 0 to 1, and 1 only at the very end. */
static double share_of(const struct copy_status *status)
{
    uint64_t expected = progress_expected_bytes(status);

    if (is_finished(status))
        return 1;
    if (expected == 0)
        return 0;
    return fmin((double)done_bytes(status) / (double)expected, 0.99);
}

/* A moving average, which in its first seconds is the plain average: the slow start of a copy must
 * not count for more than its share. */
static void measure_rate(struct progress *progress, const struct copy_status *status)
{
    double elapsed = status->seconds - progress->rate_seconds;
    double now, weight;

    if (elapsed < 0.05)
        return;
    now = (double)(done_bytes(status) - progress->rate_bytes) / elapsed;
    weight = fmax(1 - exp(-elapsed / RATE_MEMORY), elapsed / status->seconds);
    progress->rate += (now - progress->rate) * weight;
    progress->rate_seconds = status->seconds;
    progress->rate_bytes = done_bytes(status);
}

static double seconds_left(const struct progress *progress, const struct copy_status *status)
{
    uint64_t expected = progress_expected_bytes(status);

    if (is_finished(status))
        return 0;
    if (progress->rate < 1 || status->scanned_bytes == 0)
        return -1;
    return expected > done_bytes(status) ? (double)(expected - done_bytes(status)) / progress->rate
                                         : 0;
}

void progress_time(double seconds, char to[static PROGRESS_TIME_BYTES])
{
    unsigned long whole = seconds < 8e6 ? (unsigned long)(seconds + 0.5) : 8000000;

    if (seconds < 0)
        strcpy(to, "-:--");
    else if (whole < 3600)
        snprintf(to, PROGRESS_TIME_BYTES, "%lu:%02lu", whole / 60, whole % 60);
    else if (whole < 100 * 3600)
        snprintf(to, PROGRESS_TIME_BYTES, "%luh%02lum", whole / 3600, whole / 60 % 60);
    else
        snprintf(to, PROGRESS_TIME_BYTES, "%lud%02luh", whole / 86400, whole / 3600 % 24);
}

/* Always nine characters, so that the line does not jump about: " 12.5 MiB". */
static void format_size(double bytes, char to[static 32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;

    while (bytes >= 999.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(to, 32, "%7.0f B", bytes);
    else
        snprintf(to, 32, "%5.1f %s", bytes, units[unit]);
}

/* Always four characters: "381M", "9.5G", "  0B". */
static void format_size_briefly(double bytes, char to[static 32])
{
    static const char units[] = "BKMGTPE";
    unsigned unit = 0;

    while (bytes >= 999.5 && unit + 2 < sizeof(units)) {
        bytes /= 1024;
        unit++;
    }
    snprintf(to, 32, unit > 0 && bytes < 9.95 ? "%3.1f%c" : "%3.0f%c", bytes, units[unit]);
}

/* What a line is made of, besides the percentage. */
enum {
    WITH_WORD = 1,
    WITH_BAR = 2,
    WITH_SIZES = 4,
    WITH_RATE = 8, /* and the time that is left */
    WITH_MAPPED = 16,
    SPACIOUS = 32, /* two spaces between figures */
    BRIEF = 64,    /* 381M/s for 381.5 MiB/s */
    BRIEFEST = 128 /* and "map" for "mapped" */
};

/* From the widest line to the narrowest: the bar and what is only there to be read easily go before
 * the figures do. */
static const unsigned layouts[] = {
    WITH_WORD | WITH_BAR | WITH_RATE | WITH_MAPPED | SPACIOUS | WITH_SIZES,
    WITH_WORD | WITH_BAR | WITH_RATE | WITH_MAPPED | SPACIOUS,
    WITH_WORD | WITH_BAR | WITH_RATE | WITH_MAPPED,
    WITH_WORD | WITH_BAR | WITH_RATE | WITH_MAPPED | BRIEF,
    WITH_WORD | WITH_RATE | WITH_MAPPED | BRIEF,
    WITH_WORD | WITH_RATE | WITH_MAPPED | BRIEF | BRIEFEST,
    WITH_RATE | WITH_MAPPED | BRIEF | BRIEFEST,
    WITH_RATE | BRIEF,
    0,
};

/* What a line tells. */
struct figures {
    const char *word;
    double share, mapped, rate, left, done, expected;
};

/* Appends; text has PROGRESS_LINE_BYTES. */
static void __attribute__((format(printf, 2, 3))) put(char *text, const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + used, PROGRESS_LINE_BYTES - used, format, args);
    va_end(args);
}

/* What stands behind the bar. Its length does not depend on the numbers, so the bar's end stays
 * where it is. */
static void put_figures(const struct figures *figures, unsigned layout, char *to)
{
    const char *gap = layout & SPACIOUS ? "  " : " ";
    char done[32], all[32], speed[32], time[PROGRESS_TIME_BYTES];

    format_size(figures->done, done);
    format_size(figures->expected, all);
    (layout & BRIEF ? format_size_briefly : format_size)(figures->rate, speed);
    progress_time(figures->left, time);
    put(to, "%3d%%", (int)(figures->share * 100));
    if (layout & WITH_SIZES)
        put(to, "%s%s of %s", gap, done, all);
    if (layout & WITH_RATE)
        put(to, "%s%s/s%s%s%-6s", gap, speed, gap, layout & SPACIOUS ? "ETA " : "", time);
    if (layout & WITH_MAPPED)
        put(to, "%s%s %3.0f%%", gap, layout & BRIEFEST ? "map" : "mapped", figures->mapped);
}

/* Into columns, if it fits; the bar gets what the figures leave. */
static bool lay_out(const struct figures *figures, unsigned layout, size_t columns, char *to)
{
    char tail[PROGRESS_LINE_BYTES] = "", bar[LONGEST_BAR + 1];
    size_t beside, width, filled;

    put_figures(figures, layout, tail);
    to[0] = '\0';
    if (layout & WITH_WORD)
        put(to, "%s ", figures->word);
    if (layout & WITH_BAR) {
        beside = strlen(to) + strlen("[] ") + strlen(tail);
        width = columns > beside ? columns - beside : 0;
        width = width > LONGEST_BAR ? LONGEST_BAR : width;
        if (width < SHORTEST_BAR)
            return false;
        filled = (size_t)((double)width * figures->share);
        memset(bar, '.', width);
        memset(bar, '#', filled);
        bar[width] = '\0';
        put(to, "[%s] ", bar);
    }
    put(to, "%s", tail);
    return strlen(to) <= columns;
}

/* As much as fits. */
static void lay_out_widest(const struct figures *figures, size_t columns, char *to)
{
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
        if (lay_out(figures, layouts[i], columns, to))
            return;
}

/* Nothing is known of what they will come to. */
static void tables_line(const struct copy_status *status, double rate, char *to)
{
    char done[32], speed[32];

    format_size((double)status->done_bytes, done);
    format_size(rate, speed);
    to[0] = '\0';
    put(to, "%s  %s  %s/s", phase_words[PHASE_TABLES], done, speed);
}

void progress_line(const struct copy_status *status, double share, double rate, double left,
                   size_t columns, char to[static PROGRESS_LINE_BYTES])
{
    const struct figures figures = {
        .word = phase_words[status->phase],
        .share = share,
        .mapped = status->scanned_bytes > 0
                      ? 100 * (double)status->mapped_bytes / (double)status->scanned_bytes
                      : 0,
        .rate = rate,
        .left = left,
        .done = (double)done_bytes(status),
        .expected = (double)progress_expected_bytes(status),
    };

    /* One column stays free: some terminals wrap when the last one is written. */
    columns = columns > PROGRESS_LINE_BYTES ? PROGRESS_LINE_BYTES - 1 : columns;
    columns = columns > 0 ? columns - 1 : 0;
    if (status->phase == PHASE_TABLES)
        tables_line(status, rate, to);
    else
        lay_out_widest(&figures, columns, to);
    if (strlen(to) > columns)
        to[columns] = '\0'; /* narrower than anything worth showing */
}

size_t terminal_columns(int fd)
{
    struct winsize size;

    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : DEFAULT_COLUMNS;
}

/* Once a second, when it is asked for, and when all is done: what comes then (a flush) may last. */
static void show_json(struct progress *progress, const struct copy_status *status, double left,
                      bool wanted)
{
    bool ended = is_finished(status) && !progress->printed_end;

    if (!wanted && !ended && status->seconds - progress->printed_seconds < 1)
        return;
    progress->printed_seconds = status->seconds;
    progress->printed_end = is_finished(status);
    fprintf(stderr,
            "{\"schema\": 1, \"phase\": \"%s\", \"lun_bytes\": %" PRIu64
            ", \"scanned_bytes\": %" PRIu64 ", \"mapped_bytes\": %" PRIu64
            ", \"todo_bytes\": %" PRIu64 ", \"done_bytes\": %" PRIu64
            ", \"bytes_per_second\": %.0f, \"seconds\": %.3f",
            phase_names[status->phase], status->lun_bytes, status->scanned_bytes,
            status->mapped_bytes, status->todo_bytes, status->done_bytes, progress->rate,
            status->seconds);
    if (left >= 0)
        fprintf(stderr, ", \"seconds_left\": %.0f}\n", left);
    else
        fputs(", \"seconds_left\": null}\n", stderr);
}

static size_t line_columns(void)
{
    size_t columns = isatty(STDERR_FILENO) ? terminal_columns(STDERR_FILENO) : LINE_COLUMNS;
    const size_t prefix = strlen(line_prefix);

    return columns < SHORTEST_LINE_COLUMNS + prefix ? SHORTEST_LINE_COLUMNS : columns - prefix;
}

/* Wipes the bar off. */
static void wipe(struct progress *progress)
{
    if (!progress->drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    progress->drawn = false;
}

/* A line of its own that stays, for the sender of the signal. */
static void show_line(struct progress *progress, const struct copy_status *status, double left)
{
    char line[PROGRESS_LINE_BYTES];

    *progress->line_wanted = false;
    if (progress->mode == PROGRESS_JSON) {
        show_json(progress, status, left, true);
        return;
    }
    wipe(progress);
    progress_line(status, share_of(status), progress->rate, left, line_columns(), line);
    fprintf(stderr, "%s%s\n", line_prefix, line);
}

void progress_show(void *opaque, const struct copy_status *status)
{
    struct progress *progress = opaque;
    char line[PROGRESS_LINE_BYTES];
    double left;

    SCOPED_LOCK(&terminal_lock);
    if (status->phase != progress->phase || status->seconds < progress->rate_seconds)
        *progress = (struct progress){.mode = progress->mode,
                                      .drawn = progress->drawn,
                                      .line_wanted = progress->line_wanted,
                                      .phase = status->phase};
    measure_rate(progress, status);
    left = seconds_left(progress, status);
    if (progress->line_wanted && *progress->line_wanted)
        show_line(progress, status, left);
    if (progress->mode == PROGRESS_NONE)
        return;
    if (progress->mode == PROGRESS_JSON) {
        show_json(progress, status, left, false);
        return;
    }
    progress->share = fmax(progress->share, share_of(status));
    progress_line(status, progress->share, progress->rate, left, terminal_columns(STDERR_FILENO),
                  line);
    /* In one write, and only the rest of the line is wiped: no flicker. */
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    progress->drawn = true;
}

void progress_clear(struct progress *progress)
{
    SCOPED_LOCK(&terminal_lock);
    wipe(progress);
}

void progress_say(struct progress *progress, const char *kind, const char *sentence)
{
    CLEANUP_FREE char *shown = NULL;

    SCOPED_LOCK(&terminal_lock);
    if (progress)
        wipe(progress);
    shown = utf8_printable(sentence);
    fprintf(stderr, "%s%s%s\n", line_prefix, kind, shown ? shown : "out of memory");
}
