/* SPDX-License-Identifier: Apache-2.0 */
#include "lvm_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

#define NODES_MAX (1 << 18)
#define DEPTH_MAX 8

/* Every node but the root takes at least two characters of text, so they are all allotted at the
 * begin and never move. */
struct parser {
    struct lvm_text *result;
    size_t room;
    char *at;
    unsigned depth;
};

static void skip_space(struct parser *parser)
{
    for (;;) {
        while (isspace((unsigned char)*parser->at))
            parser->at++;
        if (*parser->at != '#')
            return;
        while (*parser->at && *parser->at != '\n')
            parser->at++;
    }
}

static struct lvm_node *new_node(struct parser *parser, const char *name)
{
    struct lvm_node *node;

    if (parser->result->count == parser->room)
        return NULL;
    node = &parser->result->nodes[parser->result->count++];
    *node = (struct lvm_node){.name = name, .string = ""};
    return node;
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("_.+-/", c));
}

static int parse_string(struct parser *parser, struct lvm_node *node)
{
    char *to = ++parser->at;

    node->kind = LVM_STRING;
    node->string = to;
    while (*parser->at && *parser->at != '"') {
        if (*parser->at == '\\' && parser->at[1])
            parser->at++;
        *to++ = *parser->at++;
    }
    if (*parser->at != '"')
        return -EINVAL;
    parser->at++;
    *to = '\0';
    return 0;
}

static int parse_number(struct parser *parser, struct lvm_node *node)
{
    node->kind = LVM_NUMBER;
    if (!isdigit((unsigned char)*parser->at))
        return -EINVAL;
    while (isdigit((unsigned char)*parser->at))
        if (mul_overflows(node->number, 10, &node->number) ||
            add_overflows(node->number, (uint64_t)(*parser->at++ - '0'), &node->number))
            return -EINVAL;
    return 0;
}

static int parse_value(struct parser *parser, struct lvm_node *node);

static int parse_list(struct parser *parser, struct lvm_node *node)
{
    const struct lvm_node **link = &node->first;

    node->kind = LVM_LIST;
    parser->at++;
    for (;;) {
        struct lvm_node *item;
        int r;

        skip_space(parser);
        if (*parser->at == ']') {
            parser->at++;
            return 0;
        }
        item = new_node(parser, "");
        if (!item)
            return -E2BIG;
        r = *parser->at == '[' ? -EINVAL : parse_value(parser, item);
        if (r < 0)
            return r;
        *link = item;
        link = &item->next;
        skip_space(parser);
        if (*parser->at == ',')
            parser->at++;
        else if (*parser->at != ']')
            return -EINVAL;
    }
}

static int parse_value(struct parser *parser, struct lvm_node *node)
{
    if (*parser->at == '"')
        return parse_string(parser, node);
    return *parser->at == '[' ? parse_list(parser, node) : parse_number(parser, node);
}

static int parse_members(struct parser *parser, struct lvm_node *section);

/* NAME { ... } or NAME = VALUE. */
static int parse_member(struct parser *parser, struct lvm_node **ret)
{
    char *name = parser->at, *end;
    char mark;
    int r;

    while (is_name(*parser->at))
        parser->at++;
    end = parser->at;
    skip_space(parser);
    mark = *parser->at;
    if (end == name || (mark != '{' && mark != '='))
        return -EINVAL;
    *ret = new_node(parser, name);
    if (!*ret)
        return -E2BIG;
    parser->at++;
    *end = '\0'; /* a space, or the mark, which has been read */
    if (mark == '{')
        return parse_members(parser, *ret);
    skip_space(parser);
    r = parse_value(parser, *ret);
    return r;
}

/* Up to the closing brace, or the end of the text for the outermost. */
static int parse_members(struct parser *parser, struct lvm_node *section)
{
    const struct lvm_node **link = &section->first;
    bool outermost = parser->depth == 0;

    section->kind = LVM_SECTION;
    if (++parser->depth > DEPTH_MAX)
        return -E2BIG;
    for (;;) {
        struct lvm_node *member;
        int r;

        skip_space(parser);
        if (*parser->at == '\0' || *parser->at == '}') {
            if ((*parser->at == '\0') != outermost)
                return -EINVAL;
            parser->at += !outermost;
            parser->depth--;
            return 0;
        }
        r = parse_member(parser, &member);
        if (r < 0)
            return r;
        *link = member;
        link = &member->next;
    }
}

int lvm_text_parse(const char *text, size_t length, struct lvm_text *ret)
{
    struct parser parser = {.result = ret, .room = min_u64(length / 2 + 1, NODES_MAX)};
    struct lvm_node *root;

    *ret = (struct lvm_text){0};
    ret->text = calloc(1, length + 1);
    ret->nodes = calloc(parser.room, sizeof(*ret->nodes));
    if (!ret->text || !ret->nodes)
        return -ENOMEM;
    memcpy(ret->text, text, length);
    parser.at = ret->text;
    root = new_node(&parser, "");
    ret->root = root;
    return parse_members(&parser, root);
}

void lvm_text_free(struct lvm_text *text)
{
    free(text->text);
    free(text->nodes);
    *text = (struct lvm_text){0};
}

const struct lvm_node *lvm_find(const struct lvm_node *section, const char *name,
                                enum lvm_kind kind)
{
    for (const struct lvm_node *node = section ? section->first : NULL; node; node = node->next)
        if (node->kind == kind && strcmp(node->name, name) == 0)
            return node;
    return NULL;
}

bool lvm_number(const struct lvm_node *section, const char *name, uint64_t *ret)
{
    const struct lvm_node *node = lvm_find(section, name, LVM_NUMBER);

    if (node)
        *ret = node->number;
    return node != NULL;
}

const char *lvm_string(const struct lvm_node *section, const char *name)
{
    const struct lvm_node *node = lvm_find(section, name, LVM_STRING);

    return node ? node->string : NULL;
}
