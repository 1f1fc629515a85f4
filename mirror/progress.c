/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"

#define DEFAULT_COLUMNS 80
#define SHORTEST_BAR    5
#define LONGEST_BAR     40
#define RATE_MEMORY     3.0 /* seconds */

/* A line that stays is as long as this where it goes to no terminal. */
#define LINE_COLUMNS          120
#define SHORTEST_LINE_COLUMNS 40

static const char *const phase_words[] = {[PHASE_LOOK] = "looking",
                                          [PHASE_PLAN] = "planning",
                                          [PHASE_SYNC] = "copying",
                                          [PHASE_VERIFY] = "verifying"};
static const char *const phase_names[] = {
    [PHASE_LOOK] = "look", [PHASE_PLAN] = "plan", [PHASE_SYNC] = "sync", [PHASE_VERIFY] = "verify"};
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

/* The text behind the bar, the longest of four that leaves room for a bar. Its length does not
 * depend on the numbers, so the bar's end stays where it is. */
static void choose_tail(const struct copy_status *status, double share, double rate, double left,
                        size_t room, char to[static PROGRESS_LINE_BYTES])
{
    char done[32], all[32], speed[32], time[PROGRESS_TIME_BYTES];
    double mapped = status->scanned_bytes > 0
                        ? 100 * (double)status->todo_bytes / (double)status->scanned_bytes
                        : 0;
    int percent = (int)(share * 100);

    format_size((double)done_bytes(status), done);
    format_size((double)progress_expected_bytes(status), all);
    format_size(rate, speed);
    progress_time(left, time);
    for (int length = 0; length < 4; length++) {
        switch (length) {
        case 0:
            snprintf(to, PROGRESS_LINE_BYTES, "%3d%%  %s of %s  %s/s  ETA %-6s  mapped %3.0f%%",
                     percent, done, all, speed, time, mapped);
            break;
        case 1:
            snprintf(to, PROGRESS_LINE_BYTES, "%3d%%  %s/s  ETA %-6s  mapped %3.0f%%", percent,
                     speed, time, mapped);
            break;
        case 2:
            snprintf(to, PROGRESS_LINE_BYTES, "%3d%% %s/s %-6s", percent, speed, time);
            break;
        default:
            snprintf(to, PROGRESS_LINE_BYTES, "%3d%%", percent);
        }
        if (strlen(to) + SHORTEST_BAR + 3 <= room)
            return;
    }
}

void progress_line(const struct copy_status *status, double share, double rate, double left,
                   size_t columns, char to[static PROGRESS_LINE_BYTES])
{
    const char *word = phase_words[status->phase];
    char tail[PROGRESS_LINE_BYTES], bar[LONGEST_BAR + 1];
    size_t room, width, filled;

    if (columns > PROGRESS_LINE_BYTES)
        columns = PROGRESS_LINE_BYTES;
    /* One column stays free: some terminals wrap when the last one is written. */
    room = columns > strlen(word) + 2 ? columns - strlen(word) - 2 : 0;
    choose_tail(status, share, rate, left, room, tail);
    width = room > strlen(tail) + 3 ? room - strlen(tail) - 3 : 0;
    width = width > LONGEST_BAR ? LONGEST_BAR : width;
    filled = (size_t)((double)width * share);
    memset(bar, '.', width);
    memset(bar, '#', filled);
    bar[width] = '\0';
    if (snprintf(to, columns > 0 ? columns : 1, "%s [%s] %s", word, bar, tail) >= (int)columns)
        to[columns > 0 ? columns - 1 : 0] = '\0'; /* cut: narrower than anything worth showing */
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
            "{\"phase\": \"%s\", \"lun_bytes\": %" PRIu64 ", \"scanned_bytes\": %" PRIu64
            ", \"todo_bytes\": %" PRIu64 ", \"done_bytes\": %" PRIu64
            ", \"bytes_per_second\": %.0f, \"seconds\": %.3f",
            phase_names[status->phase], status->lun_bytes, status->scanned_bytes,
            status->todo_bytes, status->done_bytes, progress->rate, status->seconds);
    if (left >= 0)
        fprintf(stderr, ", \"seconds_left\": %.0f", left);
    fputs("}\n", stderr);
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

/* A line of its own that stays, for whoever sent the signal. */
static void show_line(struct progress *progress, const struct copy_status *status, double left)
{
    char line[PROGRESS_LINE_BYTES];

    *progress->line_wanted = 0;
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
    SCOPED_LOCK(&terminal_lock);
    if (progress)
        wipe(progress);
    fprintf(stderr, "thinmirror: %s%s\n", kind, sentence);
}
