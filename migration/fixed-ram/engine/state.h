/*
 * fixed-ram: the state of a load: errors, stalls and notifications
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_STATE_H
#define MIGRATION_FIXED_RAM_ENGINE_STATE_H

#include "types.h"
#include "../format/source.h"

/*
 * For the engine's user, too.
 */

/** fixed_ram_load_state(): see FixedRamLoadState.  Any thread. */
FixedRamLoadState fixed_ram_load_state(FixedRamLoad *load);

/**
 * fixed_ram_load_error(): a copy of the error that stalled or failed the load
 *
 * Returns NULL if there is none.  The caller frees the copy.  Any thread.
 */
Error *fixed_ram_load_error(FixedRamLoad *load);

/**
 * fixed_ram_load_notify_below(): call notify() once when at most @left bytes
 * have not been received
 *
 * Any thread.
 */
void fixed_ram_load_notify_below(FixedRamLoad *load, uint64_t left);

/**
 * fixed_ram_load_guest_runs(): from now on errors stall the load, they do not
 * fail it
 *
 * Returns false if the load has failed before.  Any thread.
 */
bool fixed_ram_load_guest_runs(FixedRamLoad *load);

/**
 * fixed_ram_load_stall(): stop reading, as after an error
 *
 * @err: the reason; the load takes it
 *
 * Any thread.
 */
void fixed_ram_load_stall(FixedRamLoad *load, Error *err);

/**
 * fixed_ram_load_may_be_stuck(): may the load be unable to make progress now?
 *
 * Yes if it is stalled, or if a read is under way, since that may hang; and
 * before the guest runs, since the user's own reads may hang too.  Any thread.
 */
bool fixed_ram_load_may_be_stuck(FixedRamLoad *load);

/**
 * fixed_ram_load_hold(): have loaders wait before their next claim
 *
 * @hold: false: let them go on
 *
 * Faults are still served, so the load may complete all the same.  Any thread.
 */
void fixed_ram_load_hold(FixedRamLoad *load, bool hold);

/**
 * fixed_ram_load_quit(): tell loaders to end, without waiting for them
 *
 * Faults are still served.  Any thread.
 */
void fixed_ram_load_quit(FixedRamLoad *load);

/*
 * For the engine alone.  Any thread may call these functions.
 */

/** fixed_ram_state_notify(): have the engine's user look at the state. */
void fixed_ram_state_notify(FixedRamLoad *load);

/**
 * fixed_ram_state_source(): the source to read from
 *
 * @number: filled in: the source's number.  Addresses do not do, since a source
 *          may be closed and another one have its address.
 *
 * A worker may use the source between fixed_ram_worker_read_begin() and
 * fixed_ram_worker_read_end().
 */
FixedRamSource *fixed_ram_state_source(FixedRamLoad *load, unsigned *number);

/**
 * fixed_ram_state_read_valid(): may pages be placed that were read from source
 * number @number?
 *
 * No, if the load has stalled meanwhile: from then on an administrator may
 * mend the file or replace it, and a read may return anything.
 */
bool fixed_ram_state_read_valid(FixedRamLoad *load, unsigned number);

/**
 * fixed_ram_state_read_failed(): a claim could not be read, or not verified
 *
 * The caller has returned the claim.  If source number @number is still in use
 * the load stalls; if it has been replaced the loaders read the pages again.
 *
 * @err: the reason; the function takes it.  NULL: the read was not valid,
 *       see fixed_ram_state_read_valid().
 */
void fixed_ram_state_read_failed(FixedRamLoad *load, unsigned number,
                                 Error *err);

/**
 * fixed_ram_state_returned(): claims were returned, and that is no error
 *
 * Loaders look for them, and threads that wait for these pages fault again.
 */
void fixed_ram_state_returned(FixedRamLoad *load);

/**
 * fixed_ram_state_resume(): end a stall and read from @source
 *
 * All threads that wait for a page fault again.  Returns the source that was in
 * use before; it is the caller's.
 */
FixedRamSource *fixed_ram_state_resume(FixedRamLoad *load,
                                       FixedRamSource *source);

/**
 * fixed_ram_state_hold_loaders(): have loaders wait before their next claim, or
 * let them go on
 */
void fixed_ram_state_hold_loaders(FixedRamLoad *load, bool hold);

/**
 * fixed_ram_state_wait_for_work(): a loader waits until it may claim
 *
 * It waits while the load is stalled or loaders are held, or if @exhausted
 * until the map has been rewound.
 *
 * @exhausted: the caller found nothing more to claim
 * @rewinds: how many rewinds the caller knows of; updated
 *
 * Returns false if the loader has to end.
 */
bool fixed_ram_state_wait_for_work(FixedRamLoad *load, bool exhausted,
                                   unsigned *rewinds);

#endif
