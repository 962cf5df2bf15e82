/*
 * qemu-snapshot info: the layers of a delta
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_CHAIN_H
#define MIGRATION_FIXED_RAM_TOOL_CHAIN_H

#include "qapi/qapi-types-fixed-ram.h"
#include "file.h"

/** tool_chain_layers(): what the index says of its layers; NULL: no delta */
FixedRamFileLayerList *tool_chain_layers(const ToolFile *file);

/** tool_chain_print(): print these layers for people */
void tool_chain_print(const FixedRamFileLayerList *layers);

/**
 * tool_chain_open(): open layer number @i, from 1 on, as a file of its own
 *
 * Returns NULL if it cannot be opened.
 */
ToolFile *tool_chain_open(const ToolFile *file, size_t i, Error **errp);

/** tool_chain_length(): the number of layers; 0: a full snapshot */
size_t tool_chain_length(const ToolFile *file);

#endif
