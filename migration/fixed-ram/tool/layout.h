/*
 * qemu-snapshot convert: where the parts of the new snapshot lie
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_LAYOUT_H
#define MIGRATION_FIXED_RAM_TOOL_LAYOUT_H

#include "file.h"

/* All offsets in these structures are offsets in the new file. */
typedef struct ToolLayoutBlock {
    GByteArray *header;
    uint64_t header_offset;
    uint64_t bitmap_offset;     /* right behind the header */
    uint64_t pages_offset;
} ToolLayoutBlock;

typedef struct ToolLayout {
    GByteArray *head;           /* the stream up to the first block's header */
    GArray *blocks;             /* of ToolLayoutBlock, in the input's order */
    uint64_t superblock;
    uint64_t ram_end;           /* where the tail begins */
    GArray *tail;               /* of ToolPiece: parts of the input */
} ToolLayout;

/**
 * tool_layout_new(): lay @file out as QEMU lays out what it saves
 *
 * @start: where the new stream begins
 * @in_end: where the stream ends in @file
 *
 * Returns NULL if @file cannot be read or has no RAM.
 */
ToolLayout *tool_layout_new(const ToolFile *file, uint64_t start,
                            uint64_t in_end, Error **errp);

void tool_layout_free(ToolLayout *layout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ToolLayout, tool_layout_free)

static inline ToolLayoutBlock *tool_layout_block(const ToolLayout *layout,
                                                 size_t i)
{
    return &g_array_index(layout->blocks, ToolLayoutBlock, i);
}

#endif
