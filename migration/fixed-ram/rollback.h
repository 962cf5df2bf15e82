/*
 * fixed-ram: back to the snapshot that is mapped
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ROLLBACK_H
#define MIGRATION_FIXED_RAM_ROLLBACK_H

#include "format/snapshot.h"

/**
 * fixed_ram_rollback_keep(): keep what a rollback will need
 *
 * @s: the guest's RAM has just become a mapping of it
 *
 * Reads the devices' state into memory, and verifies it.  If that fails, the
 * load goes on, and fixed-ram-rollback will say why it is not possible.  Main
 * thread, under the BQL.
 */
void fixed_ram_rollback_keep(const FixedRamSnapshot *s);

#endif
