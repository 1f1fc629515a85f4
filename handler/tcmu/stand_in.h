/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCMU_STAND_IN_H
#define THINMIRROR_TCMU_STAND_IN_H

/* Takes a device's commands off the ring while the runner's thread, which does so otherwise, is
 * held up inside one: a write that memory was expected to take, and that waits because the file
 * system is frozen or has too much to write out. A thread that watches all devices finds that out
 * within STAND_IN_AFTER_MS to twice that time, and starts one for the device. */

struct tcmu_device;
struct tcmulib_cmd;
struct stand_in;

#define STAND_IN_AFTER_MS 50

/* serve(context, cmd) gets the commands in the order of the ring, on the thread that stands in, and
 * NULL when that begins; it does not wait for the disk. dev outlives it. 0 or -ENOMEM. */
int stand_in_create(struct tcmu_device *dev, void (*serve)(void *context, struct tcmulib_cmd *cmd),
                    void *context, struct stand_in **ret);

/* The runner's thread begins what may take long, and has ended it. It may not take anything off the
 * ring in between; stand_in_end returns when no one else does. */
void stand_in_begin(struct stand_in *stand_in);
void stand_in_end(struct stand_in *stand_in);

/* Not between stand_in_begin and stand_in_end. Takes NULL. */
void stand_in_free(struct stand_in *stand_in);

#endif
