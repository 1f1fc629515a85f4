/* SPDX-License-Identifier: Apache-2.0 */
#include "primary_use.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "device.h"
#include "file_users.h"
#include "session.h"

static bool find_user_of_file(const char *name, char *user, size_t size)
{
    CLEANUP_CLOSE int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    return fd >= 0 && file_users_find(fd, user, size);
}

static bool find_user(const struct session *session, char *user, size_t size)
{
    const char *name = session->options->names[0];
    struct stat status;
    bool used = false;

    if (stat(name, &status) == 0 && S_ISBLK(status.st_mode))
        used = device_find_user(status.st_rdev, user, size);
    else if (stat(name, &status) == 0 && S_ISREG(status.st_mode))
        used = find_user_of_file(name, user, size);
    return used || endpoint_find_local_user(session->primary, user, size);
}

/* How a snapshot is made of what the primary is. */
static const char *way_to_snapshot(const struct session *session)
{
    const char *kind = session->primary->info.kind;

    if (strcmp(kind, "file") == 0)
        return "cp --reflink where the file system can";
    if (strcmp(kind, "block") == 0)
        return "lvcreate --snapshot of a logical volume";
    return "the storage system makes one, or lvcreate --snapshot of a logical volume on it";
}

void primary_use_note(struct session *session)
{
    char user[512];

    if (find_user(session, user, sizeof(user)))
        message_note(&session->notes,
                     "%s %s and may change meanwhile, so that some blocks are older than others: "
                     "only a snapshot is exact (%s), or a primary that is not in use",
                     session->options->names[0], user, way_to_snapshot(session));
}
