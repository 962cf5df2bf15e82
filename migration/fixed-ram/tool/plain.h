/*
 * qemu-snapshot: plain migration streams, in which pages lie in any order
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_PLAIN_H
#define MIGRATION_FIXED_RAM_TOOL_PLAIN_H

#include "stream.h"

/*
 * What a stream says last about a page counts: a live save sends it again
 * when the guest has changed it.
 */
typedef struct ToolPlainBlock {
    char name[FIXED_RAM_NAME_MAX + 1];
    uint64_t length;            /* bytes */
    unsigned long *data;        /* a bit a page: it is not zero */
    /* Where pages lie in the file: tables of so many, made as needed. */
    uint64_t **places;
    uint64_t tables;
} ToolPlainBlock;

/* Bytes of the stream. */
typedef struct ToolPiece {
    uint64_t offset;
    uint64_t length;
} ToolPiece;

typedef struct ToolPlain {
    uint64_t page_size;
    GPtrArray *blocks;          /* of ToolPlainBlock, in their order */
    /* What closes RAM's section once the pages are left out. */
    GArray *pieces;             /* of ToolPiece */
    uint64_t ram_end;           /* where the stream goes on after RAM */
} ToolPlain;

/**
 * tool_plain_read(): read the whole of RAM's sections
 *
 * @r: at @head->end
 *
 * Refused, with the reason, is all that is not just pages: multifd, xbzrle
 * and so on.  Nothing is trusted.  Returns NULL on failure.
 */
ToolPlain *tool_plain_read(FixedRamReader *r, const ToolHead *head,
                           uint64_t page_size, Error **errp);

void tool_plain_free(ToolPlain *plain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ToolPlain, tool_plain_free)

static inline ToolPlainBlock *tool_plain_block(const ToolPlain *plain,
                                               size_t i)
{
    return g_ptr_array_index(plain->blocks, i);
}

/** tool_plain_place(): where a page whose bit is set lies in the file */
uint64_t tool_plain_place(const ToolPlainBlock *block, uint64_t page);

#endif
