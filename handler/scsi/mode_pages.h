/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_MODE_PAGES_H
#define THINMIRROR_MODE_PAGES_H

/* The mode pages of a logical unit and their four kinds of values (SPC-4 7.5). */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct volume;

/* All pages, one behind the other, as MODE SENSE returns them. */
#define MODE_PAGES_BYTES          (12 + 20 + 12 + 12 + 40)

#define MODE_PAGE_PROVISIONING    0x1C
#define MODE_SUBPAGE_PROVISIONING 0x02

/* The PAGE CONTROL field. */
enum mode_values { MODE_CURRENT = 0, MODE_CHANGEABLE = 1, MODE_DEFAULT = 2, MODE_SAVED = 3 };

/* Where a page lies among them. */
struct mode_page {
    uint8_t code;
    uint8_t subpage;
    uint8_t at;
    uint8_t length; /* with its header */
};

/* Thresholds, in the order of their descriptors in the Logical Block Provisioning page (SBC-4
 * 6.5.9): available and used LBA mapping resources of the logical unit in threshold sets, and
 * available resources in percent. */
enum { THRESHOLD_AVAILABLE, THRESHOLD_USED, THRESHOLD_PERCENT, THRESHOLDS };

struct mode_threshold {
    bool enabled; /* LBPERE counted in */
    uint32_t count;
    uint8_t offset; /* of its descriptor in the mode page */
};

struct mode_state {
    /* Guards the values. Held over the flush and the saving that a MODE SELECT entails, so that two
     * of them take effect, and are saved, in one order. */
    pthread_mutex_t lock;
    uint8_t current[MODE_PAGES_BYTES];
    uint8_t defaults[MODE_PAGES_BYTES];
    uint8_t saved[MODE_PAGES_BYTES];
    /* What the current values say, for commands that only look. */
    atomic_bool write_through;    /* WCE is 0: a write is durable before its status */
    atomic_bool write_protected;  /* SWP */
    atomic_bool descriptor_sense; /* D_SENSE */
    atomic_bool false_exception;  /* TEST: REQUEST SENSE tells of an exception that there is not */
};

/* As after a power on: saved values where the volume has some, defaults where not. */
void mode_init(struct mode_state *mode, const struct volume *volume);
void mode_destroy(struct mode_state *mode);

/* By rising page code and subpage code. */
const struct mode_page *mode_pages(size_t *ret_count);
/* The bits of each byte that MODE SELECT may change. */
const uint8_t *mode_changeable(void);

/* A copy of all values of one kind. PS is not set. */
void mode_get(struct mode_state *mode, enum mode_values kind, uint8_t to[static MODE_PAGES_BYTES]);
/* The values, which may be mode->current itself, become the current ones. The caller holds the
 * lock.
 */
void mode_set_current(struct mode_state *mode, const uint8_t values[static MODE_PAGES_BYTES]);
/* The default and the current value of the threshold in percent: notifies when no more than count
 * percent of the resources are available. */
void mode_set_percent_threshold(struct mode_state *mode, uint32_t count);

/* What of the values given has an effect beyond MODE SENSE. */
bool mode_says_write_through(const uint8_t values[static MODE_PAGES_BYTES]);
bool mode_says_write_protected(const uint8_t values[static MODE_PAGES_BYTES]);

void mode_get_thresholds(struct mode_state *mode, struct mode_threshold ret[static THRESHOLDS]);

#endif
