/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TRACK_VIEW_H
#define THINMIRROR_TRACK_VIEW_H

/* An endpoint that reads as another one, but a free track of a DASD reads as an empty one there:
 * its home address and its record zero, followed by the end mark. A free track may still hold the
 * records of a data set that was deleted; cut off behind its begin, which is all that is copied of
 * it, it would be one without an end, and that is not a track. */

#include "endpoint.h"
#include "extent_runs.h"

/* The piece of a track that is made one of an empty track, bytes. */
#define TRACK_HEAD_BYTES 512

/* heads: pieces of TRACK_HEAD_BYTES from the LUN's begin on; EXTENT_MAPPED begins a free track. It
 * may change between requests. Both stay the caller's, and below may go on being used beside it;
 * the view's counters stay at 0. Given back with endpoint_close. -ENOMEM. */
int track_view_create(struct endpoint *below, const struct extent_runs *heads,
                      struct endpoint **ret);

/* Makes the begin of a track that of an empty one. What has no sound home address and record zero
 * of the usual form (no key, 8 bytes of data) is left as it is. */
void track_view_empty(uint8_t head[TRACK_HEAD_BYTES]);

#endif
