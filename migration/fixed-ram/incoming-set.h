/*
 * fixed-ram: which pages a load brings first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_INCOMING_SET_H
#define MIGRATION_FIXED_RAM_INCOMING_SET_H

#include "incoming-state.h"

/**
 * fixed_ram_incoming_read_set(): find the working set of the load
 *
 * Sets @in->set.  Of a delta without a set the delta's own pages come first on
 * demand, since the guest wrote them last.  Then comes the set of the nearest
 * layer that has one.  A set that is damaged costs the load nothing but its
 * advantage.
 *
 * Main thread; the bitmaps have been read.
 */
void fixed_ram_incoming_read_set(FixedRamIncoming *in);

#endif
