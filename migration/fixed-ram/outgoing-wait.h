/*
 * fixed-ram: a migration that waits for RAM that is loaded in the background
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * include/migration/fixed-ram.h declares what the rest of QEMU calls.
 */

#ifndef MIGRATION_FIXED_RAM_OUTGOING_WAIT_H
#define MIGRATION_FIXED_RAM_OUTGOING_WAIT_H

/*
 * The functions do nothing if no migration waits.  Main thread, under the BQL.
 */

/** fixed_ram_outgoing_wait_over(): RAM is there, the migration may start */
void fixed_ram_outgoing_wait_over(void);

/**
 * fixed_ram_outgoing_wait_fail(): the migration has failed
 *
 * @reason: what query-migrate tells; remains the caller's
 */
void fixed_ram_outgoing_wait_fail(const Error *reason);

#endif
