/* SPDX-License-Identifier: Apache-2.0 */
#include "served.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "shell_word.h"

/* lock guards the list and next of each member. */
static struct {
    pthread_mutex_t lock;
    struct served *first;
} list = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_one_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* With the lock. */
static int check(const struct volume *volume, const char *path, struct errmsg *err)
{
    const struct volume_meta *meta = volume_get_meta(volume);
    char uuid[UUID_STR_LEN], word[SHELL_WORD_BYTES];

    for (const struct served *other = list.first; other; other = other->next) {
        if (uuid_compare(other->uuid, meta->uuid) != 0 || is_one_file(other->path, path))
            continue;
        uuid_unparse_lower(meta->uuid, uuid);
        return errmsg_set(err, -EEXIST,
                          "%s has the same UUID, %s, as %s, which is served already: initiators "
                          "would take both for one disk; if it is a copy, give it a UUID of its "
                          "own with: thinvol new-id %s",
                          path, uuid, other->path, shell_word(path, word, sizeof(word)));
    }
    return 0;
}

int served_check(const struct volume *volume, const char *path, struct errmsg *err)
{
    SCOPED_LOCK(&list.lock);

    return check(volume, path, err);
}

int served_add(struct served *served, const struct volume *volume, const char *path,
               struct errmsg *err)
{
    SCOPED_LOCK(&list.lock);
    int error = check(volume, path, err);

    if (error)
        return error;
    served->path = path;
    uuid_copy(served->uuid, volume_get_meta(volume)->uuid);
    served->next = list.first;
    list.first = served;
    return 0;
}

void served_remove(struct served *served)
{
    SCOPED_LOCK(&list.lock);

    for (struct served **at = &list.first; *at; at = &(*at)->next)
        if (*at == served) {
            *at = served->next;
            break;
        }
}
