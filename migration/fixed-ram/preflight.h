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

/**
 * fixed_ram_preflight_open_file(): open a snapshot and read its metadata
 *
 * @params: whether pages are read by direct-io
 *
 * An incomplete snapshot is refused.  Returns NULL on failure; then the file is
 * not locked any more.  The caller frees the snapshot.  Any thread.
 */
FixedRamSnapshot *
fixed_ram_preflight_open_file(const FileMigrationArgs *args,
                              const MigrationParameters *params, Error **errp);

/**
 * fixed_ram_preflight_verify(): verify all but the pages, if the user wants it
 *
 * Reads bitmaps and the devices' state: the caller checks before that blocks
 * have lengths that make sense.  Any thread.
 */
bool fixed_ram_preflight_verify(const FixedRamSnapshot *snapshot,
                                const MigrationParameters *params,
                                Error **errp);

#endif
