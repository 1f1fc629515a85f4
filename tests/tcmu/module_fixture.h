/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_MODULE_FIXTURE_H
#define THINMIRROR_MODULE_FIXTURE_H

/* What the tests of the handler module share: a volume of its own for each test, and the module
 * under test. Failures end the running cmocka test. */

#include <stddef.h>
#include <stdint.h>

#include "runner_host.h"

#define VOLUME_BYTES (UINT64_C(64) << 20)

extern struct tcmur_handler *handler;
extern char folder[];
extern char volume_path[64];
extern char cfgstring[128];

/* What the kernel shows of every device: the text of its pr/res_pr_type. At first NO_RESERVATION.
 */
#define NO_RESERVATION "No SPC-3 Reservation holder\n"
void say_reservation(const char *type);

/* A fresh volume at volume_path; cfgstring names it. */
void make_volume(uint32_t block_size);

/* Opens a device of VOLUME_BYTES, which must work. */
struct host_device *serve(const char *config, uint32_t block_size);

void read_blocks(struct host_device *device, uint64_t lba, void *to, uint32_t blocks,
                 uint32_t block_size);
void write_blocks(struct host_device *device, uint64_t lba, void *from, uint32_t blocks,
                  uint32_t block_size);

/* cmocka's set-up of one test and of the group, and its tear-down. */
int fresh_volume(void **state);
int set_up(void **state);
int tear_down(void **state);

/* Runs the group over the module that the command line names. */
#define RUN_MODULE_TESTS(argc, argv, tests)                                                     \
    ((argc) == 2                                                                                \
         ? (handler = host_load((argv)[1]), cmocka_run_group_tests((tests), set_up, tear_down)) \
         : (fprintf(stderr, "usage: %s MODULE\n", (argv)[0]), 2))

#define MODULE_TEST(name) cmocka_unit_test_setup(name, fresh_volume)

#endif
