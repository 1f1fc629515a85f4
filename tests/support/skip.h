/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TESTS_SKIP_H
#define THINMIRROR_TESTS_SKIP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Ends the test, skipped, and tells why, as printf would: cmocka has no place for it, so
 * tap_reasons.awk puts the two together. A skip without a reason is a failure there. */
#define skip_because(...)             \
    do {                              \
        print_message("# skipped: "); \
        print_message(__VA_ARGS__);   \
        print_message("\n");          \
        skip();                       \
    } while (0)

#endif
