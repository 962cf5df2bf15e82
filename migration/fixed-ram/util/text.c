/*
 * fixed-ram: text that comes from a file and is shown to people
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "text.h"

char *fixed_ram_text_printable(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *out = g_string_sized_new(strlen(valid));

    for (const char *c = valid; *c; c = g_utf8_next_char(c)) {
        gunichar u = g_utf8_get_char(c);

        g_string_append_unichar(out, g_unichar_isprint(u) ? u : '?');
    }
    return g_string_free(out, false);
}

bool fixed_ram_text_is_printable(const char *text)
{
    g_autofree char *printable = fixed_ram_text_printable(text);

    return !strcmp(text, printable);
}
