/*
 * fixed-ram: the table of content checksums, read as it is needed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_SUMTABLE_H
#define MIGRATION_FIXED_RAM_FORMAT_SUMTABLE_H

#include "index.h"

typedef struct FixedRamSumTable FixedRamSumTable;

/**
 * fixed_ram_sumtable_new(): the table of @index, which may go afterwards
 *
 * Returns NULL if there are no sums, in the index or in this build.
 */
FixedRamSumTable *fixed_ram_sumtable_new(const FixedRamIndex *index);

/** fixed_ram_sumtable_ref(): one more reference; NULL is fine. */
FixedRamSumTable *fixed_ram_sumtable_ref(FixedRamSumTable *table);

/** fixed_ram_sumtable_unref(): drop one; the last frees it.  NULL is fine. */
void fixed_ram_sumtable_unref(FixedRamSumTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamSumTable, fixed_ram_sumtable_unref)

/**
 * fixed_ram_sumtable_expect(): all of it will be wanted
 *
 * Has the host read it ahead; does not wait.
 */
void fixed_ram_sumtable_expect(const FixedRamSumTable *table,
                               FixedRamSource *source);

/**
 * fixed_ram_sumtable_get(): the sum of cluster @cluster of the snapshot
 *
 * @cluster: FixedRamIndexBlock.first_cluster + number in the block
 * @source: where the chunk that it lies in is read from, the first time
 *
 * Fails where the chunk cannot be read or is not what was saved.  Any thread.
 */
bool fixed_ram_sumtable_get(FixedRamSumTable *table, FixedRamSource *source,
                            uint64_t cluster, uint64_t *sum, Error **errp);

/* A cluster as it was read.  Pages whose bit is clear count as zeros. */
typedef struct FixedRamCluster {
    const uint8_t *buf;
    const unsigned long *data;  /* the block's bitmap: a bit a page */
    uint64_t page;              /* number of its first page in the block */
    size_t pages;               /* fewer at the block's end */
    size_t page_size;
} FixedRamCluster;

/** fixed_ram_sumtable_sum_cluster(): the sum of a cluster that was read */
uint64_t fixed_ram_sumtable_sum_cluster(const FixedRamCluster *cluster);

#endif
