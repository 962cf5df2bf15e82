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

/* Bytes that commands read at once: a multiple of clusters and of pages. */
#define TOOL_CHUNK_BYTES    (1 * MiB)

/* Consecutive pages that all have data, or that are all zero. */
typedef struct ToolRun {
    uint64_t page;              /* number of the first one in the block */
    uint64_t pages;
    bool data;                  /* their bits are set */
} ToolRun;

/**
 * tool_block_next_run(): the run that begins at @page
 *
 * @end: the run ends at this page at the latest; not beyond the block's end
 *
 * Returns false if there is no page: @page is @end.
 */
bool tool_block_next_run(const ToolBlock *block, uint64_t page, uint64_t end,
                         ToolRun *run);

/** tool_block_has_data(): does any of these pages have data? */
bool tool_block_has_data(const ToolBlock *block, uint64_t page,
                         uint64_t pages);

/** tool_block_place(): the file offset of a page that has data */
uint64_t tool_block_place(const ToolBlock *block, uint64_t page);

/** tool_buffer_new(): memory for a chunk; free it by qemu_vfree() */
static inline void *tool_buffer_new(void)
{
    return qemu_memalign(2 * MiB, TOOL_CHUNK_BYTES);
}

/**
 * tool_block_sum(): the checksum that the content of a cluster should have
 *
 * @cluster: number in the block
 *
 * For a cluster without data this is the checksum of zeros, whatever the table
 * has for it.  Fails if the table cannot be read.  Any thread.
 */
bool tool_block_sum(const ToolFile *file, const ToolBlock *block,
                    uint64_t cluster, uint64_t *sum, Error **errp);

/* Consecutive pages of a block, and memory for their content. */
typedef struct ToolPages {
    const ToolFile *file;
    const ToolBlock *block;
    uint64_t page;              /* the first one; where a cluster begins */
    uint64_t pages;
    uint8_t *buf;               /* from tool_buffer_new() */
} ToolPages;

/**
 * tool_block_read(): read what the guest had in these pages
 *
 * Pages without data become zeros.  Any thread.
 */
bool tool_block_read(const ToolPages *p, Error **errp);

/* A cluster that is not what was saved. */
typedef struct ToolBad {
    uint64_t cluster;           /* its number in the block */
    uint64_t expected;          /* checksums */
    uint64_t found;
    Error *error;               /* why @expected is unknown, or NULL */
} ToolBad;

/**
 * tool_block_find_bad(): verify the clusters of pages that were read
 *
 * @cluster: number in the block of the first cluster to verify
 * @bad: filled in with the first bad cluster; the caller frees its error
 *
 * Returns false if all clusters are good, or if there are no checksums.  Any
 * thread.
 */
bool tool_block_find_bad(const ToolPages *p, uint64_t cluster, ToolBad *bad);

/** tool_block_first_cluster(): number in the block of the first cluster */
static inline uint64_t tool_block_first_cluster(const ToolPages *p)
{
    return p->page * p->block->page_size / FIXED_RAM_CLUSTER_BYTES;
}

/** tool_block_read_good(): read pages; fails if they are not what was saved */
bool tool_block_read_good(const ToolPages *p, Error **errp);

#endif
