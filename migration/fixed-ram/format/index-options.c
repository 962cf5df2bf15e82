/*
 * fixed-ram: the index's section about the machine's options
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "index-options.h"
#include "../util/bytes.h"

static void option_free(void *opaque)
{
    FixedRamIndexOption *option = opaque;

    g_free(option->name);
    g_free(option->argument);
    g_free(option);
}

FixedRamIndexOptions *fixed_ram_index_options_new(const char *program)
{
    FixedRamIndexOptions *options = g_new0(FixedRamIndexOptions, 1);

    options->program = g_strdup(program);
    options->list = g_ptr_array_new_with_free_func(option_free);
    return options;
}

void fixed_ram_index_options_free(FixedRamIndexOptions *options)
{
    if (options) {
        g_free(options->program);
        g_ptr_array_unref(options->list);
        g_free(options);
    }
}

static void append(FixedRamIndexOptions *options, const char *name,
                   const char *argument)
{
    FixedRamIndexOption *option = g_new0(FixedRamIndexOption, 1);

    option->name = g_strdup(name);
    option->argument = g_strdup(argument);
    g_ptr_array_add(options->list, option);
}

FixedRamIndexOptions *
fixed_ram_index_options_copy(const FixedRamIndexOptions *from)
{
    FixedRamIndexOptions *to;

    if (!from) {
        return NULL;
    }
    to = fixed_ram_index_options_new(from->program);
    to->changed = from->changed;
    to->left_out = from->left_out;
    for (size_t i = 0; i < from->list->len; i++) {
        const FixedRamIndexOption *option = fixed_ram_index_option(from, i);

        append(to, option->name, option->argument);
    }
    return to;
}

static bool fits(const char *text)
{
    return strlen(text) <= OPTION_STRING_MAX && g_utf8_validate(text, -1, NULL);
}

bool fixed_ram_index_options_add(FixedRamIndexOptions *options,
                                 const char *name, const char *argument)
{
    bool ok = fits(name) && (!argument || fits(argument)) &&
              options->list->len < OPTIONS_MAX;

    if (ok) {
        append(options, name, argument);
    }
    return ok;
}

static void put_text(GByteArray *out, const char *text)
{
    fixed_ram_bytes_put_le32(out, strlen(text));
    fixed_ram_bytes_put(out, text, strlen(text));
}

void fixed_ram_index_options_encode(const FixedRamIndexOptions *options,
                                    GByteArray *out)
{
    uint32_t flags = (options->changed ? OPTIONS_CHANGED : 0) |
                     (options->left_out ? OPTIONS_LEFT_OUT : 0);

    fixed_ram_bytes_put_le32(out, options->list->len);
    fixed_ram_bytes_put_le32(out, flags);
    put_text(out, options->program);
    for (size_t i = 0; i < options->list->len; i++) {
        const FixedRamIndexOption *option = fixed_ram_index_option(options, i);

        fixed_ram_bytes_put_le32(out, option->argument ? OPTION_ARGUMENT : 0);
        put_text(out, option->name);
        if (option->argument) {
            put_text(out, option->argument);
        }
    }
}

/* Never NULL. */
static char *read_text(FixedRamReader *r)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint32_t length = fixed_ram_reader_le32(r);
    g_autofree char *text = NULL;

    if (length > OPTION_STRING_MAX || length > fixed_ram_reader_left(r)) {
        fixed_ram_reader_fail(r, offset, "a text of the machine's options has "
                              "%" PRIu32 " bytes, expected at most %d, all in "
                              "the section", length, OPTION_STRING_MAX);
    }
    if (r->error) {
        return g_strdup("");
    }
    text = g_malloc0(length + 1);
    fixed_ram_reader_get(r, text, length);
    if (!g_utf8_validate(text, length, NULL)) {
        fixed_ram_reader_fail(r, offset, "a text of the machine's options is "
                              "not UTF-8 or has a zero byte in it");
        return g_strdup("");
    }
    return g_steal_pointer(&text);
}

static void read_option(FixedRamReader *r, FixedRamIndexOptions *options)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint32_t flags = fixed_ram_reader_le32(r);
    bool has_argument = flags & OPTION_ARGUMENT;
    g_autofree char *name = read_text(r);
    g_autofree char *argument = has_argument ? read_text(r) : NULL;

    if (flags & ~OPTION_ARGUMENT || (!*name && !argument)) {
        fixed_ram_reader_fail(r, offset, "found flags 0x%" PRIx32 " of the "
                              "machine's option '%s', expected 0, or 1 if an "
                              "argument follows", flags, name);
        return;
    }
    append(options, name, argument);
}

FixedRamIndexOptions *fixed_ram_index_options_read(FixedRamReader *r)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint32_t count = fixed_ram_reader_le32(r);
    uint32_t flags = fixed_ram_reader_le32(r);
    g_autofree char *program = read_text(r);
    g_autoptr(FixedRamIndexOptions) options =
        fixed_ram_index_options_new(program);

    if (count > OPTIONS_MAX || flags & ~(OPTIONS_CHANGED | OPTIONS_LEFT_OUT)) {
        fixed_ram_reader_fail(r, offset, "found %" PRIu32 " options of the "
                              "machine with flags 0x%" PRIx32 ", expected at "
                              "most %d, and flags up to %d", count, flags,
                              OPTIONS_MAX, OPTIONS_CHANGED | OPTIONS_LEFT_OUT);
    }
    options->changed = flags & OPTIONS_CHANGED;
    options->left_out = flags & OPTIONS_LEFT_OUT;
    while (count-- && !r->error) {
        read_option(r, options);
    }
    return g_steal_pointer(&options);
}
