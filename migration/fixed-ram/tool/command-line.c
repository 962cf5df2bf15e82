/*
 * qemu-snapshot info: the command that loads a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-types-fixed-ram.h"
#include "qapi/util.h"
#include "qemu/error-report.h"
#include "../format/index-options.h"
#include "../util/text.h"
#include "command-line.h"

static void add_word(strList ***tail, const char *prefix, const char *text)
{
    QAPI_LIST_APPEND(*tail, g_strconcat(prefix, text, NULL));
}

static void add_options(strList ***tail, const FixedRamIndexOptions *options)
{
    for (size_t i = 0; i < options->list->len; i++) {
        const FixedRamIndexOption *option = fixed_ram_index_option(options, i);

        if (*option->name) {
            add_word(tail, "-", option->name);
        }
        if (option->argument) {
            add_word(tail, "", option->argument);
        }
    }
}

/* "pc" may stand for another machine in another version of QEMU. */
static void add_machine(strList ***tail, const FixedRamIndex *index)
{
    if (index->has_machine && *index->machine.type) {
        add_word(tail, "-machine", "");
        add_word(tail, "type=", index->machine.type);
    }
}

static void add_incoming(strList ***tail, const FixedRamSnapshot *s)
{
    g_autofree char *offset =
        s->start ? g_strdup_printf(",offset=%" PRIu64, s->start) : g_strdup("");
    g_autofree char *uri = g_strconcat("file:", s->source->name, offset, NULL);

    add_word(tail, "-global", "");
    add_word(tail, "migration.fixed-ram=on", "");
    add_word(tail, "-incoming", "");
    add_word(tail, "", uri);
}

strList *tool_command_line(const ToolFile *file)
{
    const FixedRamIndex *index = file->snapshot->index;
    strList *words = NULL, **tail = &words;

    if (!index || !index->options) {
        return NULL;
    }
    add_word(&tail, index->options->program, "");
    add_options(&tail, index->options);
    add_machine(&tail, index);
    add_incoming(&tail, file->snapshot);
    return words;
}

/* Control characters would act on the terminal: bash writes them as $'\x1b'. */
static char *escape(const char *word)
{
    GString *out = g_string_new("$'");

    for (const unsigned char *c = (const unsigned char *)word; *c; c++) {
        if (*c < ' ' || *c >= 0x7f || *c == '\'' || *c == '\\') {
            g_string_append_printf(out, "\\x%02x", *c);
        } else {
            g_string_append_c(out, *c);
        }
    }
    g_string_append_c(out, '\'');
    return g_string_free(out, false);
}

static bool is_plain(const char *word)
{
    return *word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyz"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789_-+=.,:/@%")];
}

static char *quote(const char *word)
{
    if (is_plain(word)) {
        return g_strdup(word);
    }
    return fixed_ram_text_is_printable(word) ? g_shell_quote(word)
                                             : escape(word);
}

static void print_notes(const FixedRamIndexOptions *options)
{
    if (options->changed) {
        warn_report("devices were added or removed after QEMU was started, "
                    "and the command does not have those that were added");
    }
    if (options->left_out) {
        warn_report("secrets, and where character devices lead to, are not in "
                    "the snapshot: the command may need them");
    }
}

bool tool_command_line_print(const ToolFile *file, Error **errp)
{
    strList *words = tool_command_line(file);

    if (!words) {
        error_setg(errp, "snapshot '%s' does not say how its machine was "
                   "started", file->snapshot->source->name);
        return false;
    }
    for (const strList *word = words; word; word = word->next) {
        g_autofree char *quoted = quote(word->value);

        printf("%s%s", quoted, word->next ? " " : "\n");
    }
    qapi_free_strList(words);
    print_notes(file->snapshot->index->options);
    return true;
}
