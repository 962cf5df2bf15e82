/*
 * fixed-ram: save a delta while its base is still being loaded
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_OUTGOING_ABSENT_H
#define MIGRATION_FIXED_RAM_OUTGOING_ABSENT_H

#include "format/snapshot.h"
#include "incoming-state.h"

/*
 * A page that has not been loaded is what the base has, so a delta need not
 * wait for it.  The guest is stopped, so that only the load brings pages, and
 * these are what the base has, too.  A saver looks at clusters that are there
 * in part; if it touches a page that is absent the load brings it.
 */

/**
 * fixed_ram_outgoing_absent_allowed(): can a save begin before RAM is there?
 *
 * Yes if it is a delta of a stopped guest to the file that @in loads.  Main
 * thread.
 */
bool fixed_ram_outgoing_absent_allowed(const FixedRamIncoming *in);

/**
 * fixed_ram_outgoing_absent_in(): is RAM still being loaded from @base?
 *
 * If so, what is absent later is what @base has.  The migration thread.
 */
bool fixed_ram_outgoing_absent_in(const FixedRamSnapshot *base);

/**
 * fixed_ram_outgoing_absent(): which pages of @rb have not been loaded?
 *
 * Returns a bitmap, which the caller frees, or NULL if all pages are there.
 * The migration thread.
 */
unsigned long *fixed_ram_outgoing_absent(RAMBlock *rb);

#endif
