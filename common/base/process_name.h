/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_PROCESS_NAME_H
#define THINMIRROR_BASE_PROCESS_NAME_H

#include <stddef.h>
#include <sys/types.h>

/* A process as people look for it: "process 123 (tcmu-runner)", or "process 123" when its name
 * cannot be read. proc: where procfs is, "/proc" but for tests. Written to text. */
void process_name(const char *proc, pid_t pid, char *text, size_t size);

#define PROCESS_NAME_BYTES 80

#endif
