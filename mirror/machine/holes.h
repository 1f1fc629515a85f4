/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_HOLES_H
#define THINMIRROR_HOLES_H

#include <stdbool.h>
#include <sys/statfs.h>

/* Whether a hole (lseek(2), SEEK_HOLE) of a file there is certain to read as zeros: with the file
 * systems that this machine's kernel keeps by itself. Elsewhere (NFS, CIFS, FUSE) it is the word of
 * a server or of a program. */
bool holes_are_certain(const struct statfs *status);

#endif
