/*
 * fixed-ram: the index's section about the layers of a delta
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_INDEX_LAYERS_H
#define MIGRATION_FIXED_RAM_FORMAT_INDEX_LAYERS_H

#include "index-types.h"

/*
 * A delta holds the clusters that differ from its base.  It takes all others
 * from its *layers*: the base and, if that is a delta, the layers of the base.
 * The section names the layers and has the place of a map, which says for each
 * cluster where it lies.  layers.h opens the layers and reads the map.
 */

/* In the map: the cluster lies in the delta, or has no data. */
#define FIXED_RAM_LAYER_OWN     0

/** fixed_ram_index_layers_new(): no layers; the caller frees the result */
FixedRamIndexLayers *fixed_ram_index_layers_new(void);

/** fixed_ram_index_layers_free(): free @layers; NULL is fine */
void fixed_ram_index_layers_free(FixedRamIndexLayers *layers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamIndexLayers, fixed_ram_index_layers_free)

/** fixed_ram_index_layers_add(): append a copy of @layer */
void fixed_ram_index_layers_add(FixedRamIndexLayers *layers,
                                const FixedRamIndexLayer *layer);

/** fixed_ram_index_layer(): layer number @i, from 1 to layers->list->len. */
static inline FixedRamIndexLayer *
fixed_ram_index_layer(const FixedRamIndexLayers *layers, size_t i)
{
    return g_ptr_array_index(layers->list, i - 1);
}

/** fixed_ram_index_layers_encode(): append the section's payload to @out */
void fixed_ram_index_layers_encode(const FixedRamIndexLayers *layers,
                                   GByteArray *out);

/**
 * fixed_ram_index_layers_read(): parse and check the section's payload
 *
 * @r: at the payload, and limited to it
 * @index: has its blocks and its table already
 *
 * Neither the map nor other files are read.  The first failure is @r->error.
 * The caller frees the result.
 */
FixedRamIndexLayers *
fixed_ram_index_layers_read(FixedRamReader *r, const FixedRamSuperblock *sb,
                            const FixedRamIndex *index);

#endif
