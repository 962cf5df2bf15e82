/*
 * fixed-ram: what is opened and checked before a load changes anything
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_PREFLIGHT_H
#define MIGRATION_FIXED_RAM_PREFLIGHT_H

#include "incoming-state.h"

/**
 * fixed_ram_preflight_open(): open a snapshot and check it for this machine
 *
 * Returns a load whose file is open and locked; the caller frees it by
 * fixed_ram_incoming_free().  Returns NULL on failure, which leaves the machine
 * as it was, so that another file can be tried.  Main thread.
 */
FixedRamIncoming *fixed_ram_preflight_open(const FileMigrationArgs *args,
                                           Error **errp);

#endif
