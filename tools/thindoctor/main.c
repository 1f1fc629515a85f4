/* SPDX-License-Identifier: Apache-2.0 */

/* thindoctor: can this machine serve thin LUNs and mirror them, and if not, what mends it? */

#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "findings.h"
#include "standard_files.h"
#include "utf8.h"

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

static void add_string(struct json_object *object, const char *name, const char *value)
{
    char *text = utf8_copy(value);

    json_object_object_add(object, name, text ? json_object_new_string(text) : NULL);
    free(text);
}

static void print_json(const struct findings *findings)
{
    struct json_object *root = json_object_new_object(), *checks = json_object_new_array();

    json_object_object_add(root, "can_serve",
                           json_object_new_boolean(findings_allow(findings, NEED_SERVE)));
    json_object_object_add(root, "can_mirror",
                           json_object_new_boolean(findings_allow(findings, NEED_MIRROR)));
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];
        struct json_object *check = json_object_new_object();

        add_string(check, "name", finding->name);
        add_string(check, "for", need_name(finding->need));
        json_object_object_add(check, "ok", json_object_new_boolean(finding->ok));
        add_string(check, "state", finding->state);
        if (!finding->ok)
            add_string(check, "mend", finding->mend);
        json_object_array_add(checks, check);
    }
    json_object_object_add(root, "checks", checks);
    puts(json_object_to_json_string_ext(root,
                                        JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(root);
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {0}};
    static struct findings findings;
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
    check_kernel(&findings);
    check_programs(&findings);
    check_room(&findings);
    check_target(&findings);
    if (optind < argc)
        check_path(&findings, argv[optind]);
    if (json)
        print_json(&findings);
    else
        print_lines(&findings);
    return findings_allow(&findings, NEED_SERVE) && findings_allow(&findings, NEED_MIRROR)
               ? EXIT_ALL_THERE
               : EXIT_MISSING;
}

int main(int argc, char **argv)
{
    int status;

    if (standard_files_reserve() < 0)
        return EXIT_MISSING; /* nobody to tell */
    status = run(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("thindoctor: cannot write to stdout");
    return status == EXIT_ALL_THERE ? EXIT_MISSING : status;
}
