/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>

#include "cleanup.h"
#include "fuzz.h"
#include "target_url.h"

#define SECRET "Se3cret-Se3cret"

static void check_parts(const struct target_url *url)
{
    unsigned long port = strtoul(url->port, NULL, 10);

    FUZZ_CHECK(memchr(url->user, 0, sizeof(url->user)));
    FUZZ_CHECK(memchr(url->host, 0, sizeof(url->host)) && url->host[0]);
    FUZZ_CHECK(memchr(url->target, 0, sizeof(url->target)) && url->target[0]);
    FUZZ_CHECK(memchr(url->port, 0, sizeof(url->port)) && isdigit((unsigned char)url->port[0]));
    FUZZ_CHECK(port >= 1 && port <= 65535 && url->lun <= ISCSI_LUN_MAX);
    FUZZ_CHECK(!strpbrk(url->user, "%:") && !strchr(url->target, '/'));
}

/* The same parts put together again mean the same. */
static void check_again(const struct target_url *url)
{
    CLEANUP_FREE char *text = NULL;
    struct target_url again;
    const char *open = strchr(url->host, ':') || url->host[0] == '[' ? "[" : "";

    FUZZ_CHECK(asprintf(&text, "iscsi://%s%s%s%s%s:%s/%s/%u", url->user, url->user[0] ? "@" : "",
                        open, url->host, *open ? "]" : "", url->port, url->target, url->lun) > 0);
    FUZZ_CHECK(target_url_parse(text, &again, NULL) == 0);
    FUZZ_CHECK(strcmp(again.user, url->user) == 0 && strcmp(again.host, url->host) == 0);
    FUZZ_CHECK(strcmp(again.port, url->port) == 0 && strcmp(again.target, url->target) == 0);
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
    check_secret(text);
    return 0;
}
