/*
 * qemu-snapshot: the pages of a RAM block
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_BLOCK_H
#define MIGRATION_FIXED_RAM_TOOL_BLOCK_H

#include "qemu/memalign.h"
#include "file.h"
#include "../format/sums.h"

/* Pages are read and compared by so many bytes: whole clusters, and pages. */
#define TOOL_CHUNK_BYTES    (1 * MiB)

/* A part of a block: pages that lie one behind the other. */
typedef struct ToolRun {
    uint64_t page;              /* its first page */
    uint64_t pages;
    bool data;                  /* their bits are set */
} ToolRun;

/**
 * tool_block_next_run(): pages from @page on whose bits are alike
 *
 * Returns false where the block ends.
 */
bool tool_block_next_run(const ToolBlock *block, uint64_t page, ToolRun *run);

/** tool_block_has_data(): is any of these pages not zero? */
bool tool_block_has_data(const ToolBlock *block, uint64_t page,
                         uint64_t pages);

/** tool_buffer_new(): memory for a chunk, as direct reads want it */
static inline void *tool_buffer_new(void)
{
    return qemu_memalign(2 * MiB, TOOL_CHUNK_BYTES);
}

/**
 * tool_block_read(): what the guest had in these pages
 *
 * Pages whose bit is clear become zeros.  Any thread.
 */
bool tool_block_read(const ToolFile *file, const ToolBlock *block,
                     uint64_t page, uint64_t pages, void *buf, Error **errp);

/** tool_block_place(): where in the file a page is whose bit is set */
uint64_t tool_block_place(const ToolBlock *block, uint64_t page);

/* A cluster that is not what was saved. */
typedef struct ToolBad {
    uint64_t cluster;           /* in the block */
    uint64_t expected;
    uint64_t found;
} ToolBad;

/**
 * tool_block_next_bad(): verify clusters that were read
 *
 * @buf: pages from the beginning of cluster @cluster on, up to @end bytes
 * @cluster: where to begin; when this returns, where to go on
 * @bad: a cluster whose sum is wrong, if there is one
 *
 * Returns 1 if there is one, 0 if all are good or there are no sums, -1 if the
 * sums cannot be read.  Any thread.
 */
int tool_block_next_bad(const ToolFile *file, const ToolBlock *block,
                        const uint8_t *buf, uint64_t end, uint64_t *cluster,
                        ToolBad *bad, Error **errp);

/**
 * tool_block_read_good(): read pages and fail if they are not what was saved
 *
 * @page: the first one of a cluster
 */
bool tool_block_read_good(const ToolFile *file, const ToolBlock *block,
                          uint64_t page, uint64_t pages, void *buf,
                          Error **errp);

#endif
