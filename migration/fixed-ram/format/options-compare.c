/*
 * fixed-ram: how the options of two machines differ
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "options-compare.h"
#include "../util/text.h"

/* An error message must not fill the screen. */
#define DIFFERENCE_MAX  400

/* -M is short for -machine. */
static const char *long_name(const FixedRamIndexOption *option)
{
    return g_str_equal(option->name, "M") ? "machine" : option->name;
}

/* What a loaded machine may have otherwise without a difference in the file. */
static bool is_compared(const char *name)
{
    static const char *const others[] = {
        "name", "L", "accel", "enable-kvm", "action", "overcommit", "audiodev",
        "chardev", "snapshot", "no-reboot", "no-shutdown", "mem-prealloc",
        "display", "nographic",
    };

    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        if (g_str_equal(name, others[i])) {
            return false;
        }
    }
    return true;
}

static bool same(const FixedRamIndexOption *a, const FixedRamIndexOption *b)
{
    return g_str_equal(long_name(a), long_name(b)) &&
           g_strcmp0(a->argument, b->argument) == 0;
}

static unsigned count(const FixedRamIndexOptions *options, size_t end,
                      const FixedRamIndexOption *option)
{
    unsigned found = 0;

    for (size_t i = 0; i < end; i++) {
        found += same(fixed_ram_index_option(options, i), option);
    }
    return found;
}

/* Options called @name in @options of which @others has fewer; NULL: none. */
static char *surplus(const FixedRamIndexOptions *options,
                     const FixedRamIndexOptions *others, const char *name)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (size_t i = 0; i < options->list->len; i++) {
        const FixedRamIndexOption *option = fixed_ram_index_option(options, i);

        if (g_str_equal(long_name(option), name) &&
            count(options, i, option) >= count(others, others->list->len,
                                               option)) {
            g_string_append_printf(text, "%s%s%s%s%s", text->len ? " " : "",
                                   *name ? "-" : "", name,
                                   *name && option->argument ? " " : "",
                                   option->argument ?: "");
        }
    }
    return text->len ? fixed_ram_text_printable(text->str) : NULL;
}

static void add_difference(GString *out, const char *name,
                           const FixedRamIndexOptions *saved,
                           const FixedRamIndexOptions *own)
{
    g_autofree char *theirs = surplus(saved, own, name);
    g_autofree char *ours = surplus(own, saved, name);
    g_autofree char *what = *name ? g_strconcat("-", name, NULL)
                                  : g_strdup("disk image");

    if (theirs || ours) {
        g_string_append_printf(out, "%sit was saved with%s %s, this QEMU has%s "
                               "%s", out->len ? "; " : "", theirs ? "" : "out",
                               theirs ?: what, ours ? "" : " no",
                               ours ?: what);
    }
}

/* Add the names in @options that are not in @names yet. */
static void add_names(GPtrArray *names, const FixedRamIndexOptions *options)
{
    for (size_t i = 0; i < options->list->len; i++) {
        const char *name = long_name(fixed_ram_index_option(options, i));

        if (is_compared(name) &&
            !g_ptr_array_find_with_equal_func(names, name, g_str_equal,
                                              NULL)) {
            g_ptr_array_add(names, (char *)name);
        }
    }
}

/* Cut at a character. */
static void shorten(GString *text)
{
    if (text->len > DIFFERENCE_MAX) {
        const char *end = g_utf8_find_prev_char(text->str, text->str +
                                                           DIFFERENCE_MAX + 1);

        g_string_truncate(text, end - text->str);
        g_string_append(text, "...");
    }
}

char *fixed_ram_options_compare(const FixedRamIndexOptions *saved,
                                const FixedRamIndexOptions *own)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    GString *out = g_string_new(NULL);

    add_names(names, saved);
    add_names(names, own);
    for (size_t i = 0; i < names->len; i++) {
        add_difference(out, g_ptr_array_index(names, i), saved, own);
    }
    shorten(out);
    return g_string_free(out, !out->len);
}
