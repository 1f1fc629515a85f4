/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TESTS_TGTD_H
#define THINMIRROR_TESTS_TGTD_H

/* A tgtd of the test's own on a free port of the loopback. It dies with the test program. */

#include <stdbool.h>

#define TGTD_IQN "iqn.2026-11.org.example:"

struct tgtd {
    int pid;
    unsigned port; /* of iSCSI */
    unsigned control;
    char directory[64];
};

/* True when tgtd is installed and may run here (it wants root). Otherwise says why not. */
bool tgtd_available(void);

/* Each aborts the test with a message when it fails. */
void tgtd_start(struct tgtd *tgtd);
/* Target tid, named TGTD_IQN name, open to all initiators, with a thin LUN 1 over a new sparse file
 * NAME.img in the directory. */
void tgtd_add_target(const struct tgtd *tgtd, unsigned tid, const char *name, const char *size,
                     unsigned block_size);
/* tgtadm with these arguments, separated by single spaces. */
void tgtd_admin(const struct tgtd *tgtd, const char *arguments);
/* iscsi://127.0.0.1:PORT/IQN/LUN, in to (256 bytes), which is returned. */
char *tgtd_url(const struct tgtd *tgtd, const char *name, unsigned lun, char *to);
void tgtd_signal(const struct tgtd *tgtd, int signal);
/* Kills it and removes its files. */
void tgtd_stop(struct tgtd *tgtd);

#endif
