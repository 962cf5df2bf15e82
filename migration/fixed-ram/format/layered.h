/*
 * fixed-ram: the source of a delta, whose pages lie in several files
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_LAYERED_H
#define MIGRATION_FIXED_RAM_FORMAT_LAYERED_H

#include "snapshot.h"

/* The layer lacks a block, or has it with another length. */
#define FIXED_RAM_NO_BLOCK  UINT64_MAX

typedef struct FixedRamLayer {
    FixedRamSnapshot *snapshot; /* of which only its own pages are read */
    uint64_t *pages_offset;     /* of each block of the delta, in its file */
} FixedRamLayer;

/* Where pages of the delta lie if the delta has them itself. */
typedef struct FixedRamLayeredBlock {
    uint64_t pages_offset;
    uint64_t length;
    uint64_t first_cluster;
} FixedRamLayeredBlock;

/* Does not change once it is open, so any thread may read it. */
typedef struct FixedRamLayers {
    FixedRamSource parent;      /* what reads the delta with its layers */
    FixedRamSource *own;        /* the delta's file; a reference */
    GArray *blocks;             /* of FixedRamLayeredBlock */
    GPtrArray *list;            /* of FixedRamLayer */
    uint8_t *map;               /* the layer of each cluster */
    uint64_t clusters;
} FixedRamLayers;

/** fixed_ram_layer(): layer number @i, from 1 to layers->list->len. */
static inline FixedRamLayer *fixed_ram_layer(const FixedRamLayers *layers,
                                             size_t i)
{
    return g_ptr_array_index(layers->list, i - 1);
}

/** fixed_ram_layers_new(): without blocks, layers and map; takes a reference */
FixedRamLayers *fixed_ram_layers_new(FixedRamSource *own);

/** fixed_ram_layers_add(): append a layer, and take @snapshot */
FixedRamLayer *fixed_ram_layers_add(FixedRamLayers *layers,
                                    FixedRamSnapshot *snapshot);

/**
 * fixed_ram_layers_source(): from now on layers->parent is a source
 *
 * It has one reference.  The last one frees @layers.
 */
void fixed_ram_layers_source(FixedRamLayers *layers);

/** fixed_ram_layers_free(): free what did not become a source */
void fixed_ram_layers_free(FixedRamLayers *layers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamLayers, fixed_ram_layers_free)

#endif
