/* SPDX-License-Identifier: Apache-2.0 */
#include "checker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "loop_device.h"
#include "session.h"

_Static_assert(CHECKER_REPORTS_MAX == ANALYSIS_FOUND_MAX, "a report for each file system found");

#define ARGUMENTS_MAX 4
#define SECTOR_BYTES  512

/* The checker of a format; the name of what is checked follows the arguments. */
static const struct checker {
    const char *format;
    const char *name; /* as it is told */
    const char *arguments[ARGUMENTS_MAX];
} checkers[] = {
    {"ext4", "e2fsck -fn", {"e2fsck", "-fn"}},
    {"XFS", "xfs_repair -n", {"xfs_repair", "-n"}},
    {"FAT", "fsck.fat -n", {"fsck.fat", "-n"}},
    {"exFAT", "fsck.exfat -n", {"fsck.exfat", "-n"}},
    {"NTFS", "ntfsfix -n", {"ntfsfix", "-n"}},
    {"btrfs", "btrfs check", {"btrfs", "check", "--readonly"}},
};

/* Where administrators' programs are, which need not be on a user's PATH. */
static const char *const folders[] = {"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"};

static const struct checker *find_checker(const char *format)
{
    for (size_t i = 0; i < sizeof(checkers) / sizeof(checkers[0]); i++)
        if (strcmp(checkers[i].format, format) == 0)
            return &checkers[i];
    return NULL;
}

static bool find_program(const char *name, char *ret, size_t size)
{
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(ret, size, "%s/%s", folders[i], name);
        if (access(ret, X_OK) == 0)
            return true;
    }
    return false;
}

/* What a file or device node of the secondary is called; NULL when it has none. */
static const char *secondary_path(const struct session *session)
{
    static const char thin[] = "thin:";
    const char *name = session->options->names[1], *kind = session->secondary->info.kind;

    if (strcmp(kind, "thin") == 0 && strncmp(name, thin, sizeof(thin) - 1) == 0)
        return name + sizeof(thin) - 1;
    if (strcmp(kind, "file") == 0 || strcmp(kind, "block") == 0 ||
        (strcmp(kind, "sg") == 0 && strncmp(name, "/dev/sg", strlen("/dev/sg")) != 0))
        return name;
    return NULL;
}

static int start(const char *program, const char *const *arguments, const char *path, int *ret_out,
                 pid_t *ret_child)
{
    static char locale[] = "LC_ALL=C", search[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    char *environment[] = {locale, search, NULL}, *argv[ARGUMENTS_MAX + 2] = {NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], r, count = 0;

    for (; count < ARGUMENTS_MAX && arguments[count]; count++)
        argv[count] = (char *)arguments[count]; /* exec does not write to them */
    argv[count] = (char *)path;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    r = posix_spawn(ret_child, program, &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (r != 0)
        close(ends[0]);
    *ret_out = ends[0];
    return -r;
}

/* The last line of a text that comes in pieces, of printable characters. */
struct last_line {
    char text[256];
    size_t length;
    bool ended;
};

static void add_text(struct last_line *line, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n' || text[i] == '\r') {
            line->ended = line->length > 0;
            continue;
        }
        if (line->ended) {
            line->length = 0;
            line->ended = false;
        }
        if (line->length < sizeof(line->text) - 1)
            line->text[line->length++] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    }
    line->text[line->length] = '\0';
}

/* Its exit status, -errno, or -EINTR when the user wants to end. */
static int wait_for(pid_t child, int out, const struct copy_control *control,
                    struct last_line *line)
{
    char text[4096];
    bool stopped = false;
    int status;

    for (;;) {
        ssize_t length = read(out, text, sizeof(text));

        if (length == 0 || (length < 0 && errno != EINTR))
            break;
        if (length > 0)
            add_text(line, text, (size_t)length);
        if (copy_stopped(control) && !stopped) {
            kill(child, SIGTERM);
            stopped = true;
        }
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (stopped || copy_stopped(control))
        return -EINTR;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run_over(struct session *session, const struct checker *checker, const char *program,
                    const char *path, struct checker_report *ret)
{
    const struct copy_control control = session_control(session);
    struct last_line line = {0};
    CLEANUP_CLOSE int out = -1;
    pid_t child;
    int r = start(program, checker->arguments, path, &out, &child);

    if (r < 0) {
        snprintf(ret->says, sizeof(ret->says), "%s", strerror(-r));
        return 0;
    }
    r = wait_for(child, out, &control, &line);
    if (r == -EINTR)
        return r;
    if (r < 0) {
        snprintf(ret->says, sizeof(ret->says), "%s", strerror(-r));
        return 0;
    }
    ret->result = r == 0 ? CHECKER_CLEAN : CHECKER_FAULTY;
    snprintf(ret->says, sizeof(ret->says), "%s", line.text);
    return 0;
}

/* Over a loop device; where there is none, over the path itself, if that is all of it. */
static int check_at(struct session *session, const struct analysis_found *found,
                    const struct checker *checker, const char *program, struct checker_report *ret)
{
    const struct endpoint_info *info = &session->secondary->info;
    const char *path = secondary_path(session);
    char loop[LOOP_DEVICE_PATH_BYTES];
    CLEANUP_CLOSE int fd = -1;
    int r =
        loop_device_open(path, found->start, found->bytes - found->bytes % SECTOR_BYTES, &fd, loop);

    if (r == 0)
        return run_over(session, checker, program, loop, ret);
    if (found->start == 0 && found->bytes == info->blocks * info->block_size)
        return run_over(session, checker, program, path, ret);
    snprintf(ret->says, sizeof(ret->says), "a loop device over it cannot be made: %s",
             strerror(-r));
    return 0;
}

static int check(struct session *session, const struct analysis_found *found,
                 const struct checker *checker, struct checker_report *ret)
{
    char program[64];

    *ret = (struct checker_report){.what = found->what,
                                   .checker = checker->name,
                                   .result = CHECKER_NOT_RUN};
    if (!secondary_path(session))
        snprintf(ret->says, sizeof(ret->says),
                 "it is no disk of this machine: attach it and run it there");
    else if (!found->one_piece)
        snprintf(ret->says, sizeof(ret->says), "it does not lie in one piece");
    else if (!find_program(checker->arguments[0], program, sizeof(program)))
        snprintf(ret->says, sizeof(ret->says), "%s is not installed", checker->arguments[0]);
    else
        return check_at(session, found, checker, program, ret);
    return 0;
}

static enum exit_status judge(struct session *session, const struct checker_report *report,
                              enum exit_status before)
{
    const char *name = session->secondary->info.name;

    if (report->result == CHECKER_NOT_RUN)
        message_note(&session->notes, "%s (%s): %s was not run: %s", name, report->what,
                     report->checker, report->says);
    if (report->result != CHECKER_FAULTY)
        return before;
    if (before == STATUS_DONE)
        errmsg_set(&session->error, 0,
                   "%s (%s): %s has found faults (%s); if it finds them on %s too, they were there "
                   "before",
                   name, report->what, report->checker, report->says, session->primary->info.name);
    return STATUS_DIFFERENT;
}

enum exit_status checker_run(struct session *session, struct checker_reports *ret)
{
    const struct analysis *analysis = &session->source.analysis;
    enum exit_status status = STATUS_DONE;

    ret->count = 0;
    for (size_t i = 0; i < analysis->found_count; i++) {
        const struct analysis_found *found = &analysis->found[i];
        const struct checker *checker = find_checker(found->format);
        struct checker_report *report = &ret->items[ret->count];

        if (!checker)
            continue;
        if (check(session, found, checker, report) == -EINTR) {
            errmsg_set(&session->error, 0, "interrupted: %s was not checked to the end",
                       session->secondary->info.name);
            return STATUS_INTERRUPTED;
        }
        ret->count++;
        status = judge(session, report, status);
    }
    return status;
}
