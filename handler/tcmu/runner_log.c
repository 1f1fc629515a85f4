/* SPDX-License-Identifier: Apache-2.0 */
#include "runner_log.h"

#include <string.h>

#include "tcmur_abi.h"

/* What is left of 255 bytes behind "function:line: ", or behind "function:line subtype/backstore: "
 * where a backstore's name can take 127. */
#define PIECE_BYTES        200
#define DEVICE_PIECE_BYTES 100

/* Bytes of text to print next: all of it, or up to the last blank within limit. */
static size_t piece_length(const char *text, size_t limit)
{
    size_t length = strlen(text);

    if (length <= limit)
        return length;
    for (size_t at = limit; at > 0; at--)
        if (text[at] == ' ')
            return at;
    return limit;
}

void runner_log(struct tcmu_device *dev, enum log_level level, const char *message)
{
    static tcmu_log_function *const functions[] = {
        [LOG_LEVEL_ERROR] = tcmu_err_message,
        [LOG_LEVEL_WARNING] = tcmu_warn_message,
        [LOG_LEVEL_INFO] = tcmu_info_message,
        [LOG_LEVEL_DEBUG] = tcmu_dbg_message,
    };

    do {
        size_t length = piece_length(message, dev ? DEVICE_PIECE_BYTES : PIECE_BYTES);

        functions[level](dev, "thin", __LINE__, "%.*s\n", (int)length, message);
        message += length;
        message += strspn(message, " ");
    } while (*message);
}
