/*
 * fixed-ram: the files that a delta takes its pages from
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_LAYERS_H
#define MIGRATION_FIXED_RAM_FORMAT_LAYERS_H

#include "index-layers.h"
#include "layered.h"

/*
 * A delta has the stream, all bitmaps and all checksums of its own, those of
 * the guest's whole memory.  Only the pages of some clusters lie in its layers,
 * each at the place that the layer's stream gives the block.  So a load opens
 * every layer once, and what a layer gives is verified like any other page.
 */

typedef struct FixedRamLayersConfig {
    OnOffAuto direct;           /* see fixed_ram_source_open_file() */
    /* Wraps the source of each layer, and takes it.  NULL: nothing does */
    FixedRamSource *(*wrap)(FixedRamSource *source);
} FixedRamLayersConfig;

/**
 * fixed_ram_layers_open(): open and lock the layers of @s, if it is a delta
 *
 * Each layer must be the snapshot that the delta names: the identity and the
 * digest of its index are compared, and the blocks that the map refers to.  On
 * success @s->source reads the pages of all layers, and @s->layers is set.
 * Nothing is done for a full snapshot, and for a source that has layers.
 *
 * On failure @s is as it was; the error names the delta, the layer, and what
 * was found and expected.
 */
bool fixed_ram_layers_open(FixedRamSnapshot *s,
                           const FixedRamLayersConfig *config, Error **errp);

/**
 * fixed_ram_layers_open_one(): open and lock a layer, and compare its identity
 *
 * @s: the delta
 * @named: a layer as the index of @s has it, perhaps with another path
 *
 * Returns NULL if the file is not the snapshot that @named says; the error
 * names it, and what was found and expected.  Layers of the layer are not
 * opened.  The caller frees the result.
 */
FixedRamSnapshot *fixed_ram_layers_open_one(const FixedRamSnapshot *s,
                                            const FixedRamIndexLayer *named,
                                            const FixedRamLayersConfig *config,
                                            Error **errp);

/** fixed_ram_layers_own(): the source that is the file of @s, and no layer */
const FixedRamSource *fixed_ram_layers_own(const FixedRamSnapshot *s);

/**
 * fixed_ram_layers_same_file(): are both one snapshot in one file?
 *
 * Their layers are not looked at.
 */
bool fixed_ram_layers_same_file(const FixedRamSnapshot *a,
                                const FixedRamSnapshot *b);

/**
 * fixed_ram_layers_path(): the path of a layer
 *
 * @delta: path of the delta
 * @path: as the index has it
 *
 * The caller frees the result.  Fails if @path is relative and @delta is a set
 * of descriptors, which lies in no folder.
 */
char *fixed_ram_layers_path(const char *delta, const char *path, Error **errp);

/**
 * fixed_ram_layers_name(): the path of a layer as the index is to have it
 *
 * @delta: path of the delta, which exists
 * @path: of the layer, absolute
 *
 * The result is relative if the layer lies in the delta's folder or below it,
 * so that the folder can be moved, else absolute.  The caller frees it.
 */
char *fixed_ram_layers_name(const char *delta, const char *path);

#endif
