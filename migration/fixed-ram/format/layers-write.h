/*
 * fixed-ram: write into a complete delta where its layers lie
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_LAYERS_WRITE_H
#define MIGRATION_FIXED_RAM_FORMAT_LAYERS_WRITE_H

#include "snapshot.h"

/**
 * fixed_ram_layers_write(): give a delta other paths of its layers
 *
 * @s: a good delta; only its source is used, which stays open and locked.  Its
 *     index remains as it is.
 * @layers: the layers of @s and their map, with the new paths.  Whether these
 *          are the right files is the caller's business.
 *
 * Opens the file that @s was read from for writing.  At each moment, also if
 * the host fails, the file has the old paths or the new ones.  Nothing else
 * changes, neither identity nor fixed_ram_index_digest(), so deltas that have
 * @s for a layer still load.  Processes that load from the file are not
 * disturbed.
 *
 * Fails as fixed_ram_append_begin() does, and if the file cannot be written.
 * Then the delta is as it was.
 */
bool fixed_ram_layers_write(const FixedRamSnapshot *s,
                            const FixedRamIndexLayers *layers, Error **errp);

#endif
