/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FORMAT_REGISTRY_H
#define THINMIRROR_FORMAT_REGISTRY_H

/* The one ordered list of formats. A format is one file that defines a struct format, which is
 * declared here and stands in format_registry.c. */

#include "region.h"

extern const struct format format_foreign;
extern const struct format format_md;
extern const struct format format_lvm;
extern const struct format format_gpt;
extern const struct format format_mbr;
extern const struct format format_ext;
extern const struct format format_xfs;
extern const struct format format_btrfs;
extern const struct format format_swap;
extern const struct format format_exfat;
extern const struct format format_ntfs;
extern const struct format format_fat;
extern const struct format format_dasd;
extern const struct format format_dasd_blocks;

/* Ends with NULL. */
extern const struct format *const format_registry[];

#endif
