/*
 * qemu-snapshot: plain migration streams, in which pages lie in any order
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_PLAIN_H
#define MIGRATION_FIXED_RAM_TOOL_PLAIN_H

#include "../format/ramsection.h"

/*
 * A live save sends a page again when the guest has changed it, so the last
 * record of a page counts.
 */
typedef struct ToolPlainBlock {
    uint64_t length;            /* bytes */
    unsigned long *data;        /* a bit a page: it is not zero */
    /* File offsets of pages, in tables that are allocated when needed. */
    uint64_t **places;
    uint64_t tables;
} ToolPlainBlock;

/* A range of the stream. */
typedef struct ToolPiece {
    uint64_t offset;            /* in the file */
    uint64_t length;
} ToolPiece;

typedef struct ToolPlain {
    FixedRamRamSection *ram;    /* names and lengths of blocks; ram_end */
    GPtrArray *blocks;          /* of ToolPlainBlock, in the same order */
    /* Ranges that close RAM's section when the pages are left out. */
    GArray *pieces;             /* of ToolPiece */
} ToolPlain;

/**
 * tool_plain_read(): read the whole of RAM's sections
 *
 * @r: at @head->end
 *
 * Streams that hold more than pages, of multifd or xbzrle for example, are not
 * understood.  Nothing is trusted.  Returns NULL on failure, with the reason
 * in @r->error.
 */
ToolPlain *tool_plain_read(FixedRamReader *r, const FixedRamStreamHead *head,
                           uint64_t page_size);

/** tool_plain_free(): free @plain; NULL is fine */
void tool_plain_free(ToolPlain *plain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ToolPlain, tool_plain_free)

static inline ToolPlainBlock *tool_plain_block(const ToolPlain *plain,
                                               size_t i)
{
    return g_ptr_array_index(plain->blocks, i);
}

/** tool_plain_place(): the file offset of a page whose bit is set */
uint64_t tool_plain_place(const ToolPlainBlock *block, uint64_t page);

#endif
