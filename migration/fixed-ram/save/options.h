/*
 * fixed-ram: which options of the command line a snapshot holds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_OPTIONS_H
#define MIGRATION_FIXED_RAM_SAVE_OPTIONS_H

#include "../format/index-options.h"

/**
 * fixed_ram_options_describe(): add an option, without what is not the machine
 *
 * @name: without the dash; empty for a disk image
 * @argument: NULL: it has none
 *
 * Secrets, monitors, displays and places on the host where character devices
 * lead are left out; docs/system/fixed-ram.rst has the list.  @to->left_out
 * becomes true if the machine may need what is missing.  Any thread.
 */
void fixed_ram_options_describe(FixedRamIndexOptions *to, const char *name,
                                const char *argument);

/**
 * fixed_ram_options_id(): the "id" in @argument, in either form; NULL: none
 *
 * The caller frees it.
 */
char *fixed_ram_options_id(const char *argument);

#endif
