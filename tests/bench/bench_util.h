/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BENCH_UTIL_H
#define THINMIRROR_BENCH_UTIL_H

/* What the programs that measure share. */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Ends the program. */
static inline _Noreturn void give_up(const char *why)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, why);
    exit(1);
}

/* The same with errno's words. */
static inline _Noreturn void give_up_errno(const char *what)
{
    perror(what);
    exit(1);
}

static inline uint64_t now_ns(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

#endif
