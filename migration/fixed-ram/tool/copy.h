/*
 * qemu-snapshot convert: a RAM block on its way to the new snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_COPY_H
#define MIGRATION_FIXED_RAM_TOOL_COPY_H

#include "../save/page-sums.h"
#include "block.h"
#include "layout.h"
#include "writer.h"

/* All fields belong to the thread that runs the command. */
typedef struct ToolCopy {
    const ToolFile *file;       /* what is read */
    const ToolBlock *in;        /* the block there */
    const ToolLayoutBlock *out; /* its places in the new snapshot */
    bool find_zeros;            /* leave out pages whose bytes are zero, too */
    unsigned long *data;        /* a bit a page: it was written */
    unsigned long *parts;       /* of @data, after tool_copy_run() */
    FixedRamPageSums *sums;     /* NULL: this build has no checksums */
} ToolCopy;

/**
 * tool_copy_new(): prepare to copy block number @i
 *
 * @key: of the checksums in the output
 *
 * Takes all the memory that copying needs and writes nothing.  Returns NULL if
 * there is not enough.  Free the result with tool_copy_free().
 */
ToolCopy *tool_copy_new(const ToolFile *file, const ToolLayout *layout,
                        size_t i, uint64_t key, bool find_zeros, Error **errp);

void tool_copy_free(ToolCopy *copy);

/**
 * tool_copy_run(): write header, pages and bitmap
 *
 * @buf: from tool_buffer_new(); its content is lost
 * @share: percent of the command's progress that this block stands for
 *
 * Fails where the content has checksums and does not match them.
 */
bool tool_copy_run(ToolCopy *copy, ToolWriter *out, uint8_t *buf, double share,
                   Error **errp);

/** tool_copy_describe(): the block's entry in the index, once it is copied */
FixedRamIndexBlock tool_copy_describe(const ToolCopy *copy);

#endif
