/*
 * fixed-ram: devices that come and go after a load
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_CHANGES_H
#define MIGRATION_FIXED_RAM_CHANGES_H

/* The main thread calls all of this under the BQL. */

/** fixed_ram_changes_watch(): take note of devices from now on; once */
void fixed_ram_changes_watch(void);

/**
 * fixed_ram_changes_check(): are the devices those of the beginning?
 *
 * A device that has come and gone does not matter.  The error names a device
 * that was plugged or unplugged.
 */
bool fixed_ram_changes_check(Error **errp);

#endif
