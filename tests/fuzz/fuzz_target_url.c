/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>

#include "cleanup.h"
#include "fuzz.h"
#include "target_url.h"

#define SECRET "Se3cret-Se3cret"

static void check_parts(const struct target_url *url)
{
    FUZZ_CHECK(memchr(url->user, 0, sizeof(url->user)));
    FUZZ_CHECK(memchr(url->target, 0, sizeof(url->target)) && url->target[0]);
    FUZZ_CHECK(url->lun <= ISCSI_LUN_MAX);
    FUZZ_CHECK(url->portal_count >= 1 && url->portal_count <= TARGET_PORTALS_MAX);
    for (unsigned i = 0; i < url->portal_count; i++) {
        const struct target_portal *portal = &url->portals[i];
        unsigned long port = strtoul(portal->port, NULL, 10);

        FUZZ_CHECK(memchr(portal->host, 0, sizeof(portal->host)) && portal->host[0]);
        FUZZ_CHECK(memchr(portal->port, 0, sizeof(portal->port)));
        FUZZ_CHECK(isdigit((unsigned char)portal->port[0]) && port >= 1 && port <= 65535);
    }
    FUZZ_CHECK(!strpbrk(url->user, "%:") && !strchr(url->target, '/'));
}

/* The same parts put together again mean the same. */
static void check_again(const struct target_url *url)
{
    char text[8192];
    struct target_url again;
    size_t used =
        (size_t)snprintf(text, sizeof(text), "iscsi://%s%s", url->user, url->user[0] ? "@" : "");

    for (unsigned i = 0; i < url->portal_count; i++) {
        const struct target_portal *portal = &url->portals[i];
        const char *open = strchr(portal->host, ':') || portal->host[0] == '[' ? "[" : "";

        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s%s%s:%s", i ? "," : "",
                                 open, portal->host, *open ? "]" : "", portal->port);
    }
    snprintf(text + used, sizeof(text) - used, "/%s/%u", url->target, url->lun);
    FUZZ_CHECK(target_url_parse(text, &again, NULL) == 0);
    FUZZ_CHECK(strcmp(again.user, url->user) == 0 && strcmp(again.target, url->target) == 0);
    FUZZ_CHECK(again.portal_count == url->portal_count);
    FUZZ_CHECK(memcmp(again.portals, url->portals, sizeof(again.portals)) == 0);
    FUZZ_CHECK(again.lun == url->lun);
}

/* Whatever stands around it, a secret is refused and not repeated. */
static void check_secret(char *text)
{
    CLEANUP_FREE char *url_text = NULL;
    struct errmsg err = {""};
    struct target_url url;
    char shown[2048];
    size_t half = strlen(text) / 2;
    char mark = strlen(text) % 2 ? '%' : ':';

    if (strstr(text, SECRET)) /* then it may well be shown */
        return;
    for (char *at = text; *at && at < text + half; at++)
        if (strchr("%:@", *at))
            *at = 'u';
    FUZZ_CHECK(asprintf(&url_text, "iscsi://%.*s%c%s%s@host/iqn.2020-01.com.example:a/0", (int)half,
                        text, mark, SECRET, text + half) > 0);
    FUZZ_CHECK(target_url_parse(url_text, &url, &err) != 0);
    FUZZ_CHECK(err.text[0] && !strstr(err.text, SECRET));
    target_url_without_secret(url_text, shown, sizeof(shown));
    FUZZ_CHECK(!strstr(shown, SECRET));
}

/* A URL is never taken for a file that is missing, nor is a path that begins as one does. */
static void check_advice(const char *text)
{
    const char *advice = target_url_advice(text);

    FUZZ_CHECK(!advice || (strncmp(advice, "no such file", 12) == 0 && text[0] != '.'));
    FUZZ_CHECK(!advice || !target_url_is(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = fuzz_text(data, size);
    struct errmsg err = {""};
    struct target_url url;
    char shown[16];

    if (target_url_parse(text, &url, &err)) {
        FUZZ_CHECK(err.text[0] != 0);
    } else {
        FUZZ_CHECK(err.text[0] == 0);
        check_parts(&url);
        check_again(&url);
    }
    target_url_without_secret(text, shown, sizeof(shown));
    FUZZ_CHECK(strlen(shown) < sizeof(shown));
    check_advice(text);
    check_secret(text);
    return 0;
}
