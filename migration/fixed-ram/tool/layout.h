/*
 * qemu-snapshot: how a stream is laid out as a fixed-ram snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_LAYOUT_H
#define MIGRATION_FIXED_RAM_TOOL_LAYOUT_H

#include "file.h"

typedef struct ToolLayoutBlock {
    GByteArray *header;
    uint64_t header_offset;
    uint64_t bitmap_offset;     /* right behind it */
    uint64_t pages_offset;
} ToolLayoutBlock;

/* All offsets are of the file that will be written. */
typedef struct ToolLayout {
    GByteArray *head;           /* the stream up to the first block's header */
    GArray *blocks;             /* of ToolLayoutBlock, as in the input */
    uint64_t superblock;
    uint64_t ram_end;           /* where the tail goes to */
    GArray *tail;               /* of ToolPiece, in the input */
} ToolLayout;

/**
 * tool_layout_new(): as a save with fixed-ram would lay @file out
 *
 * @start: where the stream is to begin
 * @in_end: where it ends in @file
 *
 * Returns NULL if @file cannot be read.
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
