/* SPDX-License-Identifier: Apache-2.0 */

/* thindoctor: can this machine serve thin LUNs and mirror them, and if not, what mends it? */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "findings.h"
#include "json_out.h"
#include "port_groups_check.h"
#include "standard_files.h"

enum { EXIT_ALL_THERE = 0, EXIT_MISSING = 1, EXIT_USAGE = 2 };

static void print_usage(FILE *to)
{
    fputs("usage: thindoctor [--json] [PATH]\n"
          "\n"
          "Says whether this machine can serve thin LUNs (kernel target, tcmu-runner, our\n"
          "handler, targetcli) and mirror them (open-iscsi, SCSI disks), and for each missing\n"
          "thing the command that mends it. Also what the LUNs that there are take of memory,\n"
          "tasks, files and maps. With PATH also whether volumes can lie in that directory.\n"
          "Changes nothing.\n"
          "\n"
          "  --json      print one JSON object\n"
          "  -h, --help  print this\n"
          "  -V, --version\n"
          "              print which version this is\n"
          "\n"
          "Exit status: 0 all is there, 1 something is missing, 2 usage.\n",
          to);
}

/* One command often mends several things in a row, and then it is told once, behind the last. */
static bool same_mend_next(const struct findings *findings, size_t index)
{
    const struct finding *finding = &findings->items[index], *next = finding + 1;

    return index + 1 < findings->count && !next->ok && strcmp(next->mend, finding->mend) == 0;
}

static void print_lines(const struct findings *findings)
{
    size_t missing = 0;

    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];

        printf("%-9s %-18s %s\n",
               finding->ok                      ? "ok"
               : finding->need == NEED_OPTIONAL ? "optional"
                                                : "MISSING",
               finding->name, finding->state);
        if (finding->ok)
            continue;
        missing += finding->need != NEED_OPTIONAL;
        if (!same_mend_next(findings, i))
            printf("%-9s %-18s -> %s\n", "", "", finding->mend);
    }
    if (missing == 0)
        puts("This machine can serve thin LUNs and mirror them.");
    else
        printf("%zu missing. Serve thin LUNs: %s. Mirror attached disks: %s. (iscsi:// endpoints "
               "and tools/demo need none of these.)\n",
               missing, findings_allow(findings, NEED_SERVE) ? "yes" : "no",
               findings_allow(findings, NEED_MIRROR) ? "yes" : "no");
}

/* docs/json.md has every member. */
static void print_json(const struct findings *findings, const char *path, time_t started,
                       int status)
{
    struct json_object *root = json_new(), *checks;

    json_add_number(root, "schema", JSON_SCHEMA);
    json_add_text(root, "command", "thindoctor");
    json_add_known_text(root, "path", path);
    json_add_number(root, "started", (uint64_t)started);
    json_add_number(root, "ended", (uint64_t)time(NULL));
    json_add_text(root, "result", status == EXIT_ALL_THERE ? "done" : "missing");
    json_add_number(root, "exit_status", (uint64_t)status);
    json_add_known_text(root, "error", status == EXIT_ALL_THERE ? NULL : "something is missing");
    json_add_array(root, "notes");
    json_add_flag(root, "can_serve", findings_allow(findings, NEED_SERVE));
    json_add_flag(root, "can_mirror", findings_allow(findings, NEED_MIRROR));
    checks = json_add_array(root, "checks");
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];
        struct json_object *check = json_new();

        json_add_text(check, "name", finding->name);
        json_add_text(check, "for", need_name(finding->need));
        json_add_flag(check, "ok", finding->ok);
        json_add_text(check, "state", finding->state);
        json_add_known_text(check, "mend", finding->mend);
        json_append(checks, check);
    }
    json_print(root);
}

static int examine(const char *path, bool json)
{
    static struct findings findings;
    time_t started = time(NULL);
    int status;

    check_kernel(&findings);
    check_programs(&findings);
    check_room(&findings);
    check_target(&findings);
    check_port_groups(&findings, "/sys/kernel/config/target/core");
    if (path)
        check_path(&findings, path);
    status = findings_allow(&findings, NEED_SERVE) && findings_allow(&findings, NEED_MIRROR)
                 ? EXIT_ALL_THERE
                 : EXIT_MISSING;
    if (json)
        print_json(&findings, path, started, status);
    else
        print_lines(&findings);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {0}};
    bool json = false;

    for (int option; (option = getopt_long(argc, argv, "hV", options, NULL)) != -1;) {
        if (option == 'h') {
            print_usage(stdout);
            return EXIT_ALL_THERE;
        }
        if (option == 'V') {
            puts("thindoctor " THINMIRROR_VERSION);
            return EXIT_ALL_THERE;
        }
        if (option != 'j') {
            print_usage(stderr);
            return EXIT_USAGE;
        }
        json = true;
    }
    if (argc - optind > 1) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    return examine(optind < argc ? argv[optind] : NULL, json);
}

int main(int argc, char **argv)
{
    int status;

    if (standard_files_reserve() < 0)
        return EXIT_MISSING; /* there is nowhere to print it */
    status = run(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("thindoctor: cannot write to stdout");
    return status == EXIT_ALL_THERE ? EXIT_MISSING : status;
}
