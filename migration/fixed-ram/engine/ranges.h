/*
 * fixed-ram: which memory is registered with userfaultfd
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_RANGES_H
#define MIGRATION_FIXED_RAM_ENGINE_RANGES_H

#include "map.h"
#include "uffd.h"

/**
 * fixed_ram_ranges_register(): register all memory for which there is data
 *
 * Long gaps between data are left to the kernel, which fills them with zeros,
 * by huge pages if it likes.
 */
bool fixed_ram_ranges_register(const FixedRamMap *map, FixedRamUffd *uffd,
                               Error **errp);

/** fixed_ram_ranges_unregister(): end the registration of all blocks. */
void fixed_ram_ranges_unregister(const FixedRamMap *map, FixedRamUffd *uffd);

#endif
