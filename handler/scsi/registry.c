/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "lun_internal.h"

/* lock guards first, and open_next, users and copy_group of every LUN in the list. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t released;
    struct lun *first;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER, .released = PTHREAD_COND_INITIALIZER};

void registry_add(struct lun *lun)
{
    SCOPED_LOCK(&registry.lock);

    lun->open_next = registry.first;
    registry.first = lun;
}

void registry_remove(struct lun *lun)
{
    SCOPED_LOCK(&registry.lock);

    for (struct lun **at = &registry.first; *at; at = &(*at)->open_next) {
        if (*at == lun) {
            *at = lun->open_next;
            break;
        }
    }
    while (lun->users > 0)
        pthread_cond_wait(&registry.released, &registry.lock);
}

void registry_set_group(struct lun *lun, const char *group)
{
    SCOPED_LOCK(&registry.lock);

    snprintf(lun->copy_group, sizeof(lun->copy_group), "%s", group);
}

static bool same_group(const struct lun *a, const struct lun *b)
{
    return a->copy_group[0] && strcmp(a->copy_group, b->copy_group) == 0;
}

/* The same volume may be open for reading more than once, and then under one name. */
struct lun *registry_find(struct lun *asker, const uint8_t naa[static 16])
{
    SCOPED_LOCK(&registry.lock);
    struct lun *found = NULL;

    if (memcmp(asker->naa, naa, sizeof(asker->naa)) == 0) {
        asker->users++;
        return asker;
    }
    for (struct lun *lun = registry.first; lun; lun = lun->open_next) {
        if (memcmp(lun->naa, naa, sizeof(lun->naa)) != 0 || !same_group(asker, lun))
            continue;
        if (found)
            return NULL;
        found = lun;
    }
    if (found)
        found->users++;
    return found;
}

void registry_release(struct lun *lun)
{
    SCOPED_LOCK(&registry.lock);

    if (--lun->users == 0)
        pthread_cond_broadcast(&registry.released);
}
