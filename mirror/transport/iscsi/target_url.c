/* SPDX-License-Identifier: Apache-2.0 */
#include "target_url.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT "3260"

/* Copies [from, end) as a string; false when it is empty or does not fit. */
static bool copy_part(char *to, size_t size, const char *from, const char *end)
{
    size_t length = (size_t)(end - from);

    if (length == 0 || length >= size)
        return false;
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

static bool all_digits(const char *from, const char *end)
{
    return from < end && strspn(from, "0123456789") >= (size_t)(end - from);
}

void target_url_without_secret(const char *text, char *to, size_t size)
{
    const char *at = strrchr(text, '@'), *user = text + strlen(TARGET_URL_SCHEME);

    if (!target_url_is(text) || !at) {
        snprintf(to, size, "%s", text);
        return;
    }
    user += strspn(user, "/");
    snprintf(to, size, "%.*s%s", (int)(user - text) + (int)strcspn(user, "%:@"), text, at);
}

static int parse_port(const char *from, const char *end, struct target_portal *ret)
{
    long port;

    if (!all_digits(from, end) || !copy_part(ret->port, sizeof(ret->port), from, end))
        return -EINVAL;
    port = strtol(ret->port, NULL, 10);
    return port >= 1 && port <= 65535 ? 0 : -EINVAL;
}

static int parse_portal(const char *from, const char *end, struct target_portal *ret)
{
    const char *colon, *host = from, *host_end = end;

    strcpy(ret->port, DEFAULT_PORT);
    if (*from == '[') {
        host = from + 1;
        host_end = memchr(from, ']', (size_t)(end - from));
        if (!host_end)
            return -EINVAL;
        colon = host_end + 1;
        if (colon != end && *colon != ':')
            return -EINVAL;
    } else {
        colon = memchr(from, ':', (size_t)(end - from));
        if (!colon)
            colon = end;
        host_end = colon;
    }
    if (!copy_part(ret->host, sizeof(ret->host), host, host_end))
        return -EINVAL;
    return colon == end ? 0 : parse_port(colon + 1, end, ret);
}

/* "10.0.0.1:3260,1" is how iscsiadm writes a portal and the tag of its group (-1: not known). */
static bool is_group_tag(const char *from, const char *end)
{
    return all_digits(from, end) || (end - from == 2 && memcmp(from, "-1", 2) == 0);
}

static int parse_portals(const char *from, const char *end, struct target_url *ret)
{
    for (bool tag = false;; tag = true) {
        const char *comma = memchr(from, ',', (size_t)(end - from));
        const char *stop = comma ? comma : end;

        if (!tag || !is_group_tag(from, stop)) {
            if (ret->portal_count == TARGET_PORTALS_MAX || stop == from ||
                parse_portal(from, stop, &ret->portals[ret->portal_count]) < 0)
                return -EINVAL;
            ret->portal_count++;
        }
        if (!comma)
            return 0;
        from = comma + 1;
    }
}

static int parse_lun(const char *from, struct target_url *ret)
{
    const char *end = from + strlen(from);
    unsigned long lun;

    if (!all_digits(from, end) || end - from > 5)
        return -EINVAL;
    lun = strtoul(from, NULL, 10);
    ret->lun = (unsigned)lun;
    return lun <= ISCSI_LUN_MAX ? 0 : -EINVAL;
}

/* What is wrong, or NULL. */
static const char *parse(const char *text, struct target_url *ret)
{
    const char *at, *slash, *second;

    if (strncasecmp(text, TARGET_URL_PREFIX, strlen(TARGET_URL_PREFIX)) != 0)
        return "it must be iscsi://[user@]host[:port][,host[:port]].../target-iqn/lun";
    text += strlen(TARGET_URL_PREFIX);
    at = strrchr(text, '@'); /* the last: a secret may hold one, host and target cannot */
    if (at) {
        if (memchr(text, '%', (size_t)(at - text)) || memchr(text, ':', (size_t)(at - text)))
            return "a secret in a URL can be seen by every user of this machine (ps): put user and "
                   "secret in a file (--auth-file) or in THINMIRROR_CHAP_USER and "
                   "THINMIRROR_CHAP_SECRET";
        if (!copy_part(ret->user, sizeof(ret->user), text, at))
            return "the user name is empty or too long";
        text = at + 1;
    }
    slash = strchr(text, '/');
    second = slash ? strchr(slash + 1, '/') : NULL;
    if (!second)
        return "it must be iscsi://[user@]host[:port][,host[:port]].../target-iqn/lun";
    if (slash == text || parse_portals(text, slash, ret) < 0)
        return "host or port are wrong";
    if (!copy_part(ret->target, sizeof(ret->target), slash + 1, second))
        return "the target's name is empty or longer than 223 bytes";
    if (parse_lun(second + 1, ret) < 0)
        return "the LUN must be a number from 0 to 16383";
    return NULL;
}

/* "10.0.0.1:3260,1 iqn.2003-01.org:x" as iscsiadm lists it, or "host/iqn.2003-01.org:x/0". */
static bool has_target_name(const char *text)
{
    static const char *const types[] = {"iqn.", "eui.", "naa."};

    for (const char *at = text; *at; at++)
        for (size_t i = 0; (at == text || at[-1] == ' ' || at[-1] == '/') && i < 3; i++)
            if (strncasecmp(at, types[i], 4) == 0)
                return true;
    return false;
}

const char *target_url_advice(const char *name)
{
    size_t scheme =
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

    if (target_url_is(name) || name[0] == '.' || (name[0] == '/' && name[1] != '/'))
        return NULL;
    if (scheme > 0 && strncmp(name + scheme, "://", 3) == 0)
        return "no such file; of URLs there is iscsi://host[:port]/target-iqn/lun only (other "
               "disks are named by their device node, /dev/..., once this machine has them)";
    if (has_target_name(name))
        return "no such file; a LUN of an iSCSI target is iscsi://host[:port]/target-iqn/lun";
    return NULL;
}

int target_url_parse(const char *text, struct target_url *ret, struct errmsg *err)
{
    char shown[512];
    const char *wrong;

    memset(ret, 0, sizeof(*ret));
    wrong = parse(text, ret);
    if (!wrong)
        return 0;
    target_url_without_secret(text, shown, sizeof(shown));
    return errmsg_set(err, -EINVAL, "%s: %s", shown, wrong);
}
