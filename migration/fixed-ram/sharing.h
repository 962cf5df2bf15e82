/*
 * fixed-ram: other processes that map the guest's RAM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SHARING_H
#define MIGRATION_FIXED_RAM_SHARING_H

/** fixed_ram_sharing_note(): a vhost-user device is created.  With the BQL. */
void fixed_ram_sharing_note(void);

/**
 * fixed_ram_sharing_noted(): has there been such a device?
 *
 * Its process may still write to the shared memory.  With the BQL.
 */
bool fixed_ram_sharing_noted(void);

#endif
