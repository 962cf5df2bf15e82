/*
 * fixed-ram: a load that goes on in the background
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_BACKGROUND_H
#define MIGRATION_FIXED_RAM_BACKGROUND_H

#include "incoming-state.h"

/*
 * If the parameter fixed-ram-load-mode asks for a load on demand, and not the
 * capability postcopy-ram, then clients need not know of postcopy's states: the
 * incoming migration has completed when the guest may run.  The rest of the
 * load is a job.
 *
 * The functions do nothing with other loads.  Main thread, under the BQL.
 */

/**
 * fixed_ram_background_prepare(): create the job, before anything changes
 *
 * Returns false with an error if a client has a job of that name.
 */
bool fixed_ram_background_prepare(FixedRamIncoming *in, Error **errp);

/** fixed_ram_background_start(): the guest may run */
void fixed_ram_background_start(FixedRamIncoming *in);

/** fixed_ram_background_update(): the load's status may have changed */
void fixed_ram_background_update(FixedRamIncoming *in);

/**
 * fixed_ram_background_end(): the load has ended, also if it has failed
 *
 * @lost: bytes of RAM that were given up
 */
void fixed_ram_background_end(FixedRamIncoming *in, uint64_t lost);

#endif
