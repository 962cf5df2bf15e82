/*
 * fixed-ram: the options that this machine was started with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_MACHINE_OPTIONS_H
#define MIGRATION_FIXED_RAM_MACHINE_OPTIONS_H

#include "format/index-options.h"

/**
 * fixed_ram_machine_options(): what a snapshot of this machine says of them
 *
 * Devices that were unplugged are not in it.  The caller frees the result.
 * Main thread, under the BQL.
 */
FixedRamIndexOptions *fixed_ram_machine_options(void);

/**
 * fixed_ram_machine_options_explain(): add to *@errp how a snapshot's differ
 *
 * @saved: the snapshot's options; NULL: not known, and *@errp stays
 * @errp: an error that may have its cause in the difference
 *
 * Main thread, under the BQL.
 */
void fixed_ram_machine_options_explain(const FixedRamIndexOptions *saved,
                                       Error **errp);

#endif
