/*
 * fixed-ram: text that comes from a file and is shown to people
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_UTIL_TEXT_H
#define MIGRATION_FIXED_RAM_UTIL_TEXT_H

/**
 * fixed_ram_text_printable(): a copy of @text that a terminal shows as it is
 *
 * Bytes that are not UTF-8 become U+FFFD, characters that cannot be printed
 * become '?'.  So no text can move the cursor or change the terminal's title.
 *
 * The caller frees the copy by g_free().  Any thread.
 */
char *fixed_ram_text_printable(const char *text);

/**
 * fixed_ram_text_is_printable(): would fixed_ram_text_printable() keep @text?
 *
 * Any thread.
 */
bool fixed_ram_text_is_printable(const char *text);

#endif
