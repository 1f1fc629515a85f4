/* SPDX-License-Identifier: Apache-2.0 */
#include "zeros.h"

#include <isa-l.h>

bool bytes_are_zero(const void *bytes, size_t length)
{
    return length == 0 || isal_zero_detect((void *)bytes, length) == 0;
}
