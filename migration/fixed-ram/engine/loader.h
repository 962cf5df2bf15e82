/*
 * fixed-ram: loaders
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_LOADER_H
#define MIGRATION_FIXED_RAM_ENGINE_LOADER_H

/**
 * fixed_ram_loader_thread(): load missing pages until told to quit
 *
 * @opaque: the FixedRamWorker
 */
void *fixed_ram_loader_thread(void *opaque);

#endif
