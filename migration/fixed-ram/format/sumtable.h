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
 * fixed_ram_sumtable_new(): the table of @index, with one reference
 *
 * The table does not need @index afterwards.  Returns NULL if there are no
 * sums, in the index or in this build.
 */
FixedRamSumTable *fixed_ram_sumtable_new(const FixedRamIndex *index);

/** fixed_ram_sumtable_ref(): add a reference; NULL is fine.  Any thread. */
FixedRamSumTable *fixed_ram_sumtable_ref(FixedRamSumTable *table);

/**
 * fixed_ram_sumtable_unref(): drop a reference; NULL is fine
 *
 * The last one frees the table.  Any thread.
 */
void fixed_ram_sumtable_unref(FixedRamSumTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamSumTable, fixed_ram_sumtable_unref)

/**
 * fixed_ram_sumtable_expect(): the caller is going to need the whole table
 *
 * Asks the kernel to read it ahead, except for holes, and does not wait.  Of a
 * large table only the beginning is read.
 */
void fixed_ram_sumtable_expect(const FixedRamSumTable *table,
                               FixedRamSource *source);

/**
 * fixed_ram_sumtable_get(): the sum of cluster @cluster of the snapshot
 *
 * @cluster: FixedRamIndexBlock.first_cluster + number in the block
 * @source: the sum's chunk is read from here when it is needed first
 *
 * Fails if the chunk cannot be read, or if its checksum is wrong.  Any thread.
 */
bool fixed_ram_sumtable_get(FixedRamSumTable *table, FixedRamSource *source,
                            uint64_t cluster, uint64_t *sum, Error **errp);

/* A cluster in memory.  Pages whose bit is clear count as zeros. */
typedef struct FixedRamCluster {
    const uint8_t *buf;
    const unsigned long *data;  /* the block's bitmap: a bit a page */
    uint64_t page;              /* number of its first page in the block */
    size_t pages;               /* fewer at the block's end */
    size_t page_size;
} FixedRamCluster;

/** fixed_ram_sumtable_key(): sums of tables with another key differ */
uint64_t fixed_ram_sumtable_key(const FixedRamSumTable *table);

/**
 * fixed_ram_sumtable_sum_cluster(): the sum that @table should have
 *
 * Any thread.
 */
uint64_t fixed_ram_sumtable_sum_cluster(const FixedRamSumTable *table,
                                        const FixedRamCluster *cluster);

/** fixed_ram_sumtable_has_data(): does the file hold a page of the cluster? */
bool fixed_ram_sumtable_has_data(const FixedRamCluster *cluster);

/**
 * fixed_ram_sumtable_accepts(): is the cluster what was saved?
 *
 * @found: its sum, from fixed_ram_sumtable_sum_cluster()
 * @expected: what the table has for it.  For a cluster without data this is 0,
 *            or the sum of zeros: earlier versions wrote it.
 */
bool fixed_ram_sumtable_accepts(const FixedRamCluster *cluster,
                                uint64_t found, uint64_t expected);

#endif
