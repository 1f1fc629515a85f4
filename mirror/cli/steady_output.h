/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_STEADY_OUTPUT_H
#define THINMIRROR_STEADY_OUTPUT_H

/* Makes stdout a stream that loses nothing when a signal interrupts its write(2), which stdio would
 * drop: it goes on, unless the reader takes nothing for STEADY_OUTPUT_MS. Then, and after any other
 * error, the stream has its error and writes no more, so that what was written is a beginning of
 * the whole. To be called once, before anything is printed. When there is no memory for it stdout
 * stays as it is. */
#define STEADY_OUTPUT_MS 2000

void steady_output_begin(void);

#endif
