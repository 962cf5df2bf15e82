/*
 * fixed-ram: a stopped guest's RAM is saved in bulk
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_OUTGOING_BULK_H
#define MIGRATION_FIXED_RAM_OUTGOING_BULK_H

#include "save/file.h"

/**
 * fixed_ram_save_bulk_prepare(): it begins with the first page, if the guest
 * is stopped then
 *
 * @file: stays as it is until fixed_ram_outgoing_bulk_end()
 *
 * All blocks have their places in the file, and nothing has been sent yet.
 */
void fixed_ram_save_bulk_prepare(const FixedRamSaveFile *file);

#endif
