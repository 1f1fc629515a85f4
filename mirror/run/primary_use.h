/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_PRIMARY_USE_H
#define THINMIRROR_PRIMARY_USE_H

struct session;

/* Notes that the primary is in use on this machine, by whatever name, so that it may change while
 * it is copied or compared, and the way to a snapshot of it. */
void primary_use_note(struct session *session);

#endif
