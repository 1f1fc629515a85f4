/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "device.h"
#include "endpoint_opening.h"
#include "log.h"
#include "monotonic.h"
#include "size.h"
#include "target_url.h"

_Static_assert(OPTION_QUEUE_DEPTH_MAX == COPY_QUEUE_DEPTH_MAX, "what --queue-depth may be");
_Static_assert(OPTION_SESSIONS_MAX == ENDPOINT_SESSIONS_MAX, "what --sessions may be");

#define RATE_READ_SECONDS 0.5
#define RATE_LOST_TOLD    4 /* times in a row */

static atomic_bool stop_requested;
static atomic_bool line_requested;
static atomic_bool opening;

/* One wish may come as two signals: timeout(1) sends its own to the process and to its group, and a
 * terminal that goes lets the kernel and the shell send SIGHUP. */
#define SAME_WISH_MS 250

/* While the LUNs are opened nothing has been done that had to be ended, and a target may take its
 * time. Otherwise only the next SIGINT or SIGTERM, whichever it is, ends the program at once. */
static void request_stop(int signal_number)
{
    static const char text[] = "thinmirror: interrupted before anything was done\n";
    static volatile uint64_t first_ms; /* written before stop_requested, by this handler only */
    struct sigaction action = {.sa_handler = SIG_DFL};
    int error = errno;

    if (opening) {
        ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

        (void)ignored;
        _exit(STATUS_INTERRUPTED);
    }
    if (!stop_requested) {
        first_ms = monotonic_ms();
        stop_requested = true;
    } else if (signal_number != SIGHUP && monotonic_ms() - first_ms > SAME_WISH_MS) {
        sigaction(signal_number, &action, NULL);
        raise(signal_number); /* delivered when this handler ends */
    }
    errno = error;
}

static void request_line(int signal_number)
{
    (void)signal_number;
    line_requested = true;
}

static void catch_signals(void)
{
    struct sigaction show = {.sa_handler = request_line, .sa_flags = SA_RESTART};
    /* No SA_RESTART: the wait for the LUNs has to end. */
    struct sigaction action = {.sa_handler = request_stop}, before;

    /* None of them comes while another one is handled. */
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaddset(&action.sa_mask, SIGHUP);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    /* The terminal may go and the copy stay: nohup. */
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
    sigemptyset(&show.sa_mask);
    sigaction(SIGUSR1, &show, NULL);
}

void session_note_doubt(struct session *session, const struct errmsg *primary,
                        const struct errmsg *secondary)
{
    if (primary->text[0])
        message_note(&session->notes, "%s; what it does not tell soundly is taken as mapped",
                     primary->text);
    if (secondary->text[0])
        message_note(&session->notes, "%s; what it does not tell soundly is taken as mapped",
                     secondary->text);
}

void session_note_tail(struct session *session, const char *what)
{
    const struct endpoint_info *from = &session->primary->info, *to = &session->secondary->info;
    char text[SIZE_TEXT_BYTES];

    if (to->blocks > from->blocks)
        message_note(&session->notes, "%s is larger than %s; its last %s %s", to->name, from->name,
                     size_text((to->blocks - from->blocks) * to->block_size, text, sizeof(text)),
                     what);
}

bool session_gave_up(int error)
{
    return stop_requested && (error == -ENOTCONN || error == -ETIMEDOUT);
}

enum exit_status session_status(int error)
{
    if (session_gave_up(error) || error == -EINTR)
        return STATUS_INTERRUPTED;
    return error == -EBADE || error == -EROFS ? STATUS_REFUSED : STATUS_FAILED;
}

/* Something that holds or protects the LUN, a target that may be another one, and a file that is
 * no raw one are refusals; a URL that can't be read is wrong usage. */
static enum exit_status open_status(const char *name, int r)
{
    if (r == -EBUSY || r == -EROFS || r == -EBADE || r == -EKEYREJECTED || r == -EMEDIUMTYPE)
        return STATUS_REFUSED;
    if (r == -EINVAL && (target_url_is(name) || target_url_advice(name)))
        return STATUS_USAGE;
    return STATUS_FAILED;
}

/* Of auth_table_load. */
static enum exit_status auth_status(int r)
{
    if (r == -EPERM)
        return STATUS_REFUSED;
    return r == -EIO || r == -ENOMEM ? STATUS_FAILED : STATUS_USAGE;
}

static const char *path_of(const char *name)
{
    return strncmp(name, "thin:", strlen("thin:")) == 0 ? name + strlen("thin:") : name;
}

/* Two names of one file or device node, or one lies on the other. */
static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;

    if (stat(path_of(a), &x) < 0 || stat(path_of(b), &y) < 0)
        return false;
    return device_lies_on(&x, &y) || device_lies_on(&y, &x);
}

/* The messages of what is below: they get a line of their own, and say whose they are. */
static struct progress *_Atomic shown_progress;

static void log_line(enum log_level level, const char *message)
{
    progress_say(shown_progress, level <= LOG_LEVEL_WARNING ? "warning: " : "", message);
}

/* Both at a time when both are far away; what is here is opened in turn, as it is locked by that.
 */
static enum exit_status open_sides(struct session *session, struct endpoint_opening sides[2],
                                   size_t count)
{
    size_t together =
        count == 2 && target_url_is(sides[0].name) && target_url_is(sides[1].name) ? 2 : 1;

    for (size_t i = 0; i < count; i += together)
        if (endpoint_open_together(sides + i, together) < 0)
            break;
    session->primary = sides[0].endpoint;
    session->secondary = sides[1].endpoint;
    for (size_t i = 0; i < count; i++) {
        if (sides[i].result < 0) {
            session->error = sides[i].error;
            return open_status(sides[i].name, sides[i].result);
        }
    }
    return STATUS_DONE;
}

static void tell_side(struct session *session, const char *which, const struct endpoint *endpoint)
{
    const struct endpoint_info *info = &endpoint->info;
    char size[SIZE_TEXT_BYTES], text[1024];

    snprintf(text, sizeof(text), "%s: %s, %s in blocks of %u bytes, %s, %s, %s", which, info->name,
             size_text(info->blocks * info->block_size, size, sizeof(size)), info->block_size,
             info->thin ? "thin" : "not thin",
             info->can_map ? "tells which are in use" : "does not tell which are in use",
             info->identity[0] ? info->identity : "without an identity");
    progress_say(&session->progress, "", text);
}

static void tell_sides(struct session *session)
{
    tell_side(session, session->secondary ? "primary" : "LUN", session->primary);
    if (session->secondary)
        tell_side(session, "secondary", session->secondary);
}

static enum exit_status open_session(struct session *session, const struct options *options,
                                     bool secondary_writable)
{
    /* What runs for long, and unattended, doesn't fail for a target that is just restarted. */
    unsigned patience = options->command == COMMAND_SYNC || options->command == COMMAND_VERIFY
                            ? ENDPOINT_PATIENT
                            : 0;
    struct endpoint_opening sides[2] = {0};
    enum exit_status status;
    int r;

    progress_init(&session->progress, options->quiet ? PROGRESS_NONE : options->progress);
    session->notes.quiet = options->quiet;
    if (options->quiet || options->verbose)
        log_set_level(options->quiet ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO);
    session->progress.line_wanted = &line_requested;
    session->notes.progress = &session->progress;
    shown_progress = &session->progress;
    log_set_sink(log_line);
    r = auth_table_load(options->auth_file, &session->auth, &session->error);
    if (r < 0)
        return auth_status(r);
    if (options->chap_optional)
        auth_table_make_optional(session->auth);
    for (size_t i = 0; i < options->name_count && i < 2; i++)
        sides[i] = (struct endpoint_opening){
            .name = options->names[i],
            .flags = (i == 1 && secondary_writable ? ENDPOINT_WRITABLE : 0) | patience |
                     (options->raw ? ENDPOINT_RAW : 0),
            .auth = session->auth,
            .sessions = options->sessions ? options->sessions : 1,
        };
    if (options->reserve)
        sides[1].sessions = 1; /* a reservation is one session's */
    if (options->name_count == 2 && is_same_file(options->names[0], options->names[1])) {
        errmsg_set(&session->error, 0,
                   "%s and %s are the same, or one lies on the other: name another secondary",
                   options->names[0], options->names[1]);
        return STATUS_REFUSED;
    }
    status = open_sides(session, sides, options->name_count);
    if (status == STATUS_DONE && options->verbose)
        tell_sides(session);
    if (session->primary)
        endpoint_stop_by(session->primary, &stop_requested);
    if (session->secondary)
        endpoint_stop_by(session->secondary, &stop_requested);
    return status;
}

enum exit_status session_open(struct session *session, const struct options *options,
                              bool secondary_writable)
{
    enum exit_status status;

    *session = (struct session){.options = options, .started = time(NULL), .sole_writer = -1};
    opening = true;
    catch_signals();
    status = open_session(session, options, secondary_writable);
    opening = false;
    return status;
}

void session_close(struct session *session)
{
    progress_clear(&session->progress);
    source_map_free(&session->source);
    endpoint_close(session->secondary);
    endpoint_close(session->primary);
    if (session->sole_writer >= 0)
        close(session->sole_writer);
    shown_progress = NULL;
    auth_table_free(session->auth);
    notes_free(&session->notes);
}

/* What cannot be read now, as when an editor is just writing it, leaves the rate as it is. */
static void read_rate(struct session *session)
{
    uint64_t rate;
    int r = options_read_rate(session->options->rate_file, &rate);

    session->rate_read = copy_now();
    if (r == 0) {
        session->rate_bytes = rate;
        session->rate_lost = 0;
    } else if (++session->rate_lost == RATE_LOST_TOLD) {
        message_note(&session->notes, "%s: %s; the rate stays as it is",
                     session->options->rate_file,
                     r == -EINVAL ? "it does not begin with a number" : strerror(-r));
    }
}

static void show_progress(void *opaque, const struct copy_status *status)
{
    struct session *session = opaque;

    if (session->options->rate_file && copy_now() - session->rate_read >= RATE_READ_SECONDS)
        read_rate(session);
    progress_show(&session->progress, status);
}

struct copy_control session_control(struct session *session)
{
    const char *file = session->options->rate_file;

    if (file)
        read_rate(session);
    return (struct copy_control){.rate_now = file ? &session->rate_bytes : NULL,
                                 .queue_depth = session->options->queue_depth,
                                 .rate_bytes = session->options->rate_bytes,
                                 .skip_bad = session->options->skip_bad,
                                 .detect_zeroes = session->options->detect_zeroes,
                                 .stop = &stop_requested,
                                 .progress = show_progress,
                                 .opaque = session};
}

void session_fill_report(const struct session *session, struct report *report)
{
    report->primary = session->primary;
    report->started = session->started;
    report->secondary = session->secondary;
    report->notes = &session->notes;
    report->error = &session->error;
    report->reserved = session->reserved;
}
