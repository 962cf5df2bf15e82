/*
 * fixed-ram: ending the process while somebody waits for a page
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_WATCHDOG_H
#define MIGRATION_FIXED_RAM_WATCHDOG_H

#include "engine/load.h"

/*
 * SIGTERM and "quit" are the main loop's.  While RAM is loaded on demand it
 * may be waiting for a page itself, or for a lock or a thread whose owner
 * is, and if the page cannot be had it waits for ever.  In pre-flight it waits
 * for the file.  So a thread looks after it: once the process is to end and
 * there is no getting on, it ends the process.
 */

typedef struct FixedRamExit FixedRamExit;

/**
 * fixed_ram_exit_watch(): begin to look after @load, which uses @map
 *
 * NULL, both of them: the main loop itself is busy with a file.
 *
 * End it with fixed_ram_exit_unwatch(), when @load has ended its threads and
 * before it is freed.
 */
FixedRamExit *fixed_ram_exit_watch(FixedRamLoad *load, const FixedRamMap *map);

/** fixed_ram_exit_unwatch(): no more; NULL is fine. */
void fixed_ram_exit_unwatch(FixedRamExit *watch);

/**
 * fixed_ram_exit_begin(): the main loop is on its way out
 *
 * It may not get there.
 */
void fixed_ram_exit_begin(FixedRamExit *watch);

#endif
