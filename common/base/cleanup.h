/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_CLEANUP_H
#define THINMIRROR_BASE_CLEANUP_H

/* Scope cleanup: the variable's resource is given back when the scope is left, by any way out.
 * A function that hands a resource on takes it out first: return TAKE_PTR(p). */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_fclose(FILE **file)
{
    if (*file)
        fclose(*file);
}

static inline void cleanup_unlock(pthread_mutex_t **mutex)
{
    if (*mutex)
        pthread_mutex_unlock(*mutex);
}

/* A variable that does nothing but this is used enough. */
#define CLEANUP(function) __attribute__((cleanup(function), unused))
#define CLEANUP_FREE      CLEANUP(cleanup_free)
#define CLEANUP_CLOSE     CLEANUP(cleanup_close)
#define CLEANUP_FCLOSE    CLEANUP(cleanup_fclose)

/* Holds the mutex until the end of the enclosing scope. */
#define SCOPED_LOCK(mutex)           SCOPED_LOCK_NAMED(mutex, __COUNTER__)
#define SCOPED_LOCK_NAMED(mutex, id) SCOPED_LOCK_PASTED(mutex, id)
#define SCOPED_LOCK_PASTED(mutex, id)                                    \
    CLEANUP(cleanup_unlock) pthread_mutex_t *scoped_lock_##id = (mutex); \
    pthread_mutex_lock(scoped_lock_##id)

#define TAKE_PTR(pointer)                       \
    ({                                          \
        __typeof__(pointer) taken_ = (pointer); \
        (pointer) = NULL;                       \
        taken_;                                 \
    })

#define TAKE_FD(fd)        \
    ({                     \
        int taken_ = (fd); \
        (fd) = -1;         \
        taken_;            \
    })

#endif
