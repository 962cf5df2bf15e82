/*
 * fixed-ram: end a process that waits for a snapshot that cannot be read
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_WATCHDOG_H
#define MIGRATION_FIXED_RAM_WATCHDOG_H

#include "engine/load.h"

/*
 * SIGTERM, SIGINT and "quit" are served by the main loop.  During a load the
 * main thread may wait for the snapshot: for a read of its own, for a page of
 * guest memory, or for a lock or a vCPU that waits for such a page.  If the
 * file cannot be read, that wait has no end.  So a thread of its own watches
 * the load, and ends the process when the process has been asked to end and
 * the load makes no progress.
 */

typedef struct FixedRamWatchdog FixedRamWatchdog;

/**
 * fixed_ram_watchdog_new(): start to watch a main thread that reads a snapshot
 *
 * Returns NULL if the host refuses another thread: the load goes on without a
 * watchdog then, and all functions below accept NULL.  Main thread.
 */
FixedRamWatchdog *fixed_ram_watchdog_new(void);

/**
 * fixed_ram_watchdog_attach(): from now on, watch the progress of @load
 *
 * @load: not freed before the watchdog is
 * @map: the map that @load fills
 *
 * Main thread.
 */
void fixed_ram_watchdog_attach(FixedRamWatchdog *watchdog, FixedRamLoad *load,
                               const FixedRamMap *map);

/**
 * fixed_ram_watchdog_shutdown(): QEMU is shutting down
 *
 * From now on the process ends if the load makes no progress, whatever the
 * reason for the shutdown is.  Any thread.
 */
void fixed_ram_watchdog_shutdown(FixedRamWatchdog *watchdog);

/** fixed_ram_watchdog_free(): stop watching.  Main thread. */
void fixed_ram_watchdog_free(FixedRamWatchdog *watchdog);

#endif
