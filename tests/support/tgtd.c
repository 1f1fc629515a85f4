/* SPDX-License-Identifier: Apache-2.0 */
#include "tgtd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TGTD            "/usr/sbin/tgtd"
#define TGTADM          "/usr/sbin/tgtadm"
#define MAX_ARGUMENTS   40
#define CONTROL_NUMBERS 12000 /* tgtd takes up to 32767 */
#define START_ATTEMPTS  8
#define ANSWER_ATTEMPTS 200
#define ANSWER_PAUSE_MS 50

static void die(const char *what)
{
    fprintf(stderr, "tgtd for a test: %s: %s\n", what, strerror(errno));
    abort();
}

bool tgtd_available(void)
{
    const char *why = NULL;

    if (access(TGTD, X_OK) < 0 || access(TGTADM, X_OK) < 0)
        why = "tgt is not installed (apt-get install tgt)";
    else if (geteuid() != 0)
        why = "tgtd wants root";
    if (why)
        printf("# not run: %s\n", why);
    return !why;
}

static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        die("no free port");
    close(fd);
    return ntohs(address.sin_port);
}

/* Starts a program with its output in log; its process ID. */
static int spawn(char *const arguments[], const char *log, bool stays)
{
    int pid = fork();

    if (pid < 0)
        die("fork");
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        if (stays)
            prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fd >= 0) {
            dup2(fd, STDOUT_FILENO);
            dup2(fd, STDERR_FILENO);
        }
        execv(arguments[0], arguments);
        _exit(127);
    }
    return pid;
}

static int exit_status(int pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            die("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int admin(const struct tgtd *tgtd, const char *text)
{
    char *arguments[MAX_ARGUMENTS] = {TGTADM}, copy[512], control[16], log[80], *rest = NULL;
    int count = 1;

    snprintf(copy, sizeof(copy), "%s", text);
    snprintf(control, sizeof(control), "%u", tgtd->control);
    snprintf(log, sizeof(log), "%s/log", tgtd->directory);
    arguments[count++] = "-C";
    arguments[count++] = control;
    for (char *word = strtok_r(copy, " ", &rest); word && count < MAX_ARGUMENTS - 1;
         word = strtok_r(NULL, " ", &rest))
        arguments[count++] = word;
    return exit_status(spawn(arguments, log, false));
}

void tgtd_admin(const struct tgtd *tgtd, const char *arguments)
{
    if (admin(tgtd, arguments) == 0)
        return;
    fprintf(stderr, "tgtadm %s failed; see %s/log\n", arguments, tgtd->directory);
    abort();
}

/* False when it ends at once: another one has the port or the control number. */
static bool try_start(struct tgtd *tgtd)
{
    char control[16], portal[64], log[80];
    char *arguments[] = {TGTD, "-f", "-C", control, "--iscsi", portal, NULL};

    tgtd->port = free_port();
    tgtd->control = tgtd->port % CONTROL_NUMBERS;
    snprintf(control, sizeof(control), "%u", tgtd->control);
    snprintf(portal, sizeof(portal), "portal=127.0.0.1:%u", tgtd->port);
    snprintf(log, sizeof(log), "%s/log", tgtd->directory);
    tgtd->pid = spawn(arguments, log, true);
    for (int i = 0; i < ANSWER_ATTEMPTS; i++) {
        bool answers = admin(tgtd, "--op show --mode sys") == 0;

        if (waitpid(tgtd->pid, NULL, WNOHANG) == tgtd->pid)
            return false;
        if (answers)
            return true;
        poll(NULL, 0, ANSWER_PAUSE_MS);
    }
    errno = ETIMEDOUT;
    die("it does not answer");
    return false;
}

void tgtd_start(struct tgtd *tgtd)
{
    strcpy(tgtd->directory, "/tmp/tgtd.XXXXXX");
    if (!mkdtemp(tgtd->directory))
        die("mkdtemp");
    for (int i = 0; i < START_ATTEMPTS; i++)
        if (try_start(tgtd))
            return;
    errno = EBUSY;
    die("it does not start");
}

void tgtd_add_target(const struct tgtd *tgtd, unsigned tid, const char *name, const char *size,
                     unsigned block_size)
{
    char text[512], path[128];
    char *truncate_arguments[] = {"/usr/bin/truncate", "-s", (char *)size, path, NULL};

    snprintf(path, sizeof(path), "%s/%s.img", tgtd->directory, name);
    if (exit_status(spawn(truncate_arguments, "/dev/null", false)) != 0)
        die(path);
    snprintf(text, sizeof(text), "--lld iscsi --op new --mode target --tid %u -T " TGTD_IQN "%s",
             tid, name);
    tgtd_admin(tgtd, text);
    snprintf(text, sizeof(text),
             "--lld iscsi --op new --mode logicalunit --tid %u --lun 1 -b %s --blocksize=%u", tid,
             path, block_size);
    tgtd_admin(tgtd, text);
    snprintf(text, sizeof(text),
             "--lld iscsi --op update --mode logicalunit --tid %u --lun 1 --params "
             "thin_provisioning=1",
             tid);
    tgtd_admin(tgtd, text);
    snprintf(text, sizeof(text), "--lld iscsi --op bind --mode target --tid %u -I ALL", tid);
    tgtd_admin(tgtd, text);
}

char *tgtd_url(const struct tgtd *tgtd, const char *name, unsigned lun, char *to)
{
    snprintf(to, 256, "iscsi://127.0.0.1:%u/" TGTD_IQN "%s/%u", tgtd->port, name, lun);
    return to;
}

void tgtd_signal(const struct tgtd *tgtd, int signal)
{
    if (kill(tgtd->pid, signal) < 0)
        die("kill");
}

void tgtd_stop(struct tgtd *tgtd)
{
    char path[128];
    char *remove_arguments[] = {"/usr/bin/rm", "-rf", tgtd->directory, NULL};

    if (tgtd->pid <= 0)
        return;
    kill(tgtd->pid, SIGKILL);
    exit_status(tgtd->pid);
    tgtd->pid = 0;
    for (int lock = 0; lock < 2; lock++) {
        snprintf(path, sizeof(path), "/var/run/tgtd/socket.%u%s", tgtd->control,
                 lock ? ".lock" : "");
        unlink(path);
    }
    exit_status(spawn(remove_arguments, "/dev/null", false));
}
