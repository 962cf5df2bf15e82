/*
 * fixed-ram: guest memory that is mapped becomes what the file has
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_RESTORE_H
#define MIGRATION_FIXED_RAM_ENGINE_RESTORE_H

#include "mapping.h"

/*
 * Called with memory that has another content now: @length bytes at @offset of
 * block @name
 */
typedef void FixedRamMappingChanged(const char *name, uint64_t offset,
                                    uint64_t length);

/**
 * fixed_ram_mapping_restore(): have the memory hold what the file has again
 *
 * @changed: called for all memory that may have changed
 *
 * Drops the pages that were written to, and maps again what was discarded or
 * replaced.  No other thread may use the memory meanwhile.  If this fails, some
 * of it has been restored; it can be tried again.
 */
bool fixed_ram_mapping_restore(FixedRamMapping *mapping,
                               FixedRamMappingChanged *changed, Error **errp);

#endif
