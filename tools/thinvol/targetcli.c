/* SPDX-License-Identifier: Apache-2.0 */
#include "targetcli.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "errmsg.h"
#include "thinvol.h"

/* Besides letters and digits, what configshell takes in a value, whether quoted or not; less what
 * separates the options of a cfgstring (;), what the kernel cuts at (,) and what rtslib does not
 * store (:). */
static const char taken[] = "?&*$!#=_\\+/.<>()~@-%[]";

/* "thin/" and the path are what the kernel keeps 255 bytes of. */
#define LONGEST_PATH (255 - 5)

const char *targetcli_objection(const char *path, char *text, size_t size)
{
    for (const char *at = path; *at; at++) {
        unsigned char c = (unsigned char)*at;

        if (c < 0x80 && (isalnum(c) || strchr(taken, c)))
            continue;
        if (c == ' ')
            return "a space";
        if (c >= 0x80)
            return "a character that is not ASCII";
        if (iscntrl(c))
            return "a control character";
        snprintf(text, size, "the character %c", c);
        return text;
    }
    return strlen(path) > LONGEST_PATH ? "more than 250 bytes" : NULL;
}

void targetcli_warn(const char *path, struct errmsg *note)
{
    CLEANUP_FREE char *real = realpath(path, NULL);
    const char *objection;
    struct errmsg line;
    char text[32];

    objection = real ? targetcli_objection(real, text, sizeof(text)) : NULL;
    if (!objection)
        return;
    errmsg_set(note, 0,
               "targetcli takes no path with %s in it, so it cannot make a LUN of %s; rename "
               "it together with its description, or name symbolic links to both, LINK and "
               "LINK.thin, in a folder that only root can write to: cfgstring=LINK",
               objection, real);
    errmsg_set(&line, 0, "note: %.1000s", note->text);
    say(line.text);
}
