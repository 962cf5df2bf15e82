/*
 * fixed-ram: save a guest that runs on, as it was at one moment
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_OUTGOING_LIVE_H
#define MIGRATION_FIXED_RAM_OUTGOING_LIVE_H

#include "save/live.h"

/** fixed_ram_outgoing_live_wanted(): do the capabilities ask for it? */
bool fixed_ram_outgoing_live_wanted(void);

/**
 * fixed_ram_outgoing_live_check(): can this guest be saved live?
 *
 * Errors name what stands against it.  Nothing has changed.  Main thread, which
 * holds the big lock.
 */
bool fixed_ram_outgoing_live_check(Error **errp);

/**
 * fixed_ram_outgoing_live_begin(): protect the RAM, before the guest stops
 *
 * The migration thread, without the big lock.
 */
bool fixed_ram_outgoing_live_begin(Error **errp);

/**
 * fixed_ram_outgoing_live_get(): the frozen memory of the save under way
 *
 * NULL: there is none.  Its blocks are in the order of
 * foreach_not_ignored_block().  The migration thread.
 */
FixedRamLive *fixed_ram_outgoing_live_get(void);

/**
 * fixed_ram_outgoing_live_keep(): the main thread is about to discard memory
 *
 * Returns when it is no longer needed.  With the big lock.
 */
void fixed_ram_outgoing_live_keep(const void *host, size_t length);

/**
 * fixed_ram_outgoing_live_free(): the migration has ended
 *
 * Main thread, which holds the big lock.
 */
void fixed_ram_outgoing_live_free(void);

#endif
