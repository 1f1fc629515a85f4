/* SPDX-License-Identifier: Apache-2.0 */
#include "format_registry.h"

#include <stddef.h>

/* All of them are tried: a region in which two formats are seen belongs to neither, unless one of
 * them wraps. Where two wrap, the first one here decides. */
const struct format *const format_registry[] = {
    &format_foreign, &format_md,   &format_lvm,   &format_gpt,         &format_mbr,
    &format_ext,     &format_xfs,  &format_btrfs, &format_exfat,       &format_ntfs,
    &format_fat,     &format_swap, &format_dasd,  &format_dasd_blocks, NULL,
};
