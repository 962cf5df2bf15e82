/*
 * fixed-ram: the engine's threads: they start, are replaced, and end
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_THREADS_H
#define MIGRATION_FIXED_RAM_ENGINE_THREADS_H

#include "internal.h"

/*
 * One thread at a time may be in these functions: the engine's user sees to
 * that, see fixed_ram_load_recover().
 */

/** fixed_ram_threads_new(): set up the workers; no thread runs yet. */
bool fixed_ram_threads_new(FixedRamLoad *load, Error **errp);

/**
 * fixed_ram_threads_start(): start the threads that do not run
 *
 * The host may refuse some of them.  One fault thread is enough, if the load is
 * on demand, and one loader, if loaders are wanted: this fails if there is not
 * that much.  May be called again.
 */
bool fixed_ram_threads_start(FixedRamLoad *load, Error **errp);

/**
 * fixed_ram_threads_retire(): do not wait for reads that are under way
 *
 * The load is stalled, so no read begins, and what is read is not valid.  The
 * claims of these reads are missing again.  New threads take the place of those
 * that read.
 *
 * Fails if there is no memory or no thread for that; may be called again then.
 */
bool fixed_ram_threads_retire(FixedRamLoad *load, Error **errp);

/**
 * fixed_ram_threads_end(): end all threads and wait for that
 *
 * fixed_ram_load_quit() has been called.
 */
void fixed_ram_threads_end(FixedRamLoad *load);

/** fixed_ram_threads_free(): free the workers; their threads have ended. */
void fixed_ram_threads_free(FixedRamLoad *load);

#endif
