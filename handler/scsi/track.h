/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SCSI_TRACK_H
#define THINMIRROR_SCSI_TRACK_H

#include <stddef.h>
#include <stdint.h>

struct exec;
struct volume;

/* The most bytes of one reply about the change record. */
#define LUN_MAX_CHANGES_BYTES (UINT32_C(1) << 20)

/* Writes VPD page C1h, which announces the change record, and returns its length. */
size_t track_page_of(const struct volume *volume, uint8_t *to);
/* Serves a function of the change record (enum record_function). argument: the 8 bytes of BUFFER
 * OFFSET. The SCSI status. */
uint8_t track_report(struct exec *exec, uint8_t function, const uint8_t *argument,
                     size_t allocation_length);

#endif
