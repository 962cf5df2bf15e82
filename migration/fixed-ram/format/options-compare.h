/*
 * fixed-ram: how the options of two machines differ
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_OPTIONS_COMPARE_H
#define MIGRATION_FIXED_RAM_FORMAT_OPTIONS_COMPARE_H

#include "index-options.h"

/**
 * fixed_ram_options_compare(): say what differs, for people
 *
 * @saved: the options in a snapshot
 * @own: those of the machine that loads it
 *
 * Options that no section of the stream depends on are not compared.  The text
 * can be shown on a terminal: "it was saved with -smp 2, this QEMU has -smp 1".
 * Returns NULL if nothing differs; the caller frees the text.  Any thread.
 */
char *fixed_ram_options_compare(const FixedRamIndexOptions *saved,
                                const FixedRamIndexOptions *own);

#endif
