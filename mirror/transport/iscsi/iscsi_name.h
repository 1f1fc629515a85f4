/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ISCSI_NAME_H
#define THINMIRROR_ISCSI_NAME_H

#include <stdbool.h>

/* An iSCSI name by RFC 7143 4.2.7: iqn.YYYY-MM. and a reversed domain name, eui. and 16 digits, or
 * naa. and 16 or 32; in whatever case, and with the underscores that targets take. */
bool iscsi_name_is_valid(const char *name);

#endif
