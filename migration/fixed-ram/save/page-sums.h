/*
 * fixed-ram: the checksums of the pages of a block that is being saved
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_PAGE_SUMS_H
#define MIGRATION_FIXED_RAM_SAVE_PAGE_SUMS_H

#include "../format/index.h"

/*
 * A live save writes a page again each time the guest has changed it, and the
 * pages of a cluster at different times.  So each page has a checksum, that of
 * the bytes that were written last.  When the last page is written, the
 * checksums of clusters are computed from those of pages.  The table takes 8
 * bytes of memory for each page that is written.
 */
typedef struct FixedRamPageSums FixedRamPageSums;

/**
 * fixed_ram_page_sums_new(): a table for a block of up to @max_length bytes
 *
 * @key: of all sums, see sums.h
 *
 * Returns NULL and sets an error if the host has no memory for the table.
 */
FixedRamPageSums *fixed_ram_page_sums_new(uint64_t max_length,
                                          size_t page_size, uint64_t key,
                                          Error **errp);
void fixed_ram_page_sums_free(FixedRamPageSums *sums);

/** fixed_ram_page_sums_set(): record @sum for page @page.  Any thread. */
void fixed_ram_page_sums_set(FixedRamPageSums *sums, uint64_t page,
                             uint64_t sum);

/**
 * fixed_ram_page_sums_add(): record the checksums of the pages at @offset
 *
 * @offset: in the block
 * @mem: @length bytes, whole pages
 *
 * Any thread.  If a page is saved again, the earlier call for it must have
 * returned.  This holds: a page is saved again only in a later round, and the
 * migration thread waits for the threads of multifd between two rounds.
 */
void fixed_ram_page_sums_add(FixedRamPageSums *sums, uint64_t offset,
                             const uint8_t *mem, size_t length);

/* The largest @length for fixed_ram_page_sums_copy(). */
#define FIXED_RAM_PAGE_SUMS_COPY_BYTES   (512 * KiB)

/**
 * fixed_ram_page_sums_copy(): the same while the guest may write to @mem
 *
 * Returns a copy of the pages, whose checksums are recorded; the caller writes
 * the copy to the file.  It is not enough that a page which the guest changes
 * is dirty and is saved again: the guest may report the page as free (a hint of
 * its balloon), and then it is not saved again.
 *
 * The copy is valid until the same thread calls this function again.
 */
uint8_t *fixed_ram_page_sums_copy(FixedRamPageSums *sums, uint64_t offset,
                                  const uint8_t *mem, size_t length);

/**
 * fixed_ram_page_sums_know(): the checksum of a whole cluster is known
 *
 * @sum: 0: it is not known any more, the sums of its pages count
 *
 * One thread at a time, and no other may close the table meanwhile.
 */
void fixed_ram_page_sums_know(FixedRamPageSums *sums, uint64_t cluster,
                              uint64_t sum);

/**
 * fixed_ram_page_sums_peek(): the checksum that a cluster has so far
 *
 * @data: the block's bitmap
 * @first, @end: the pages of the cluster, the latter behind the last one
 *
 * Returns 0 for a cluster without data.  Any thread; the sums of these pages
 * must have been recorded.
 */
uint64_t fixed_ram_page_sums_peek(const FixedRamPageSums *sums,
                                  const unsigned long *data, uint64_t first,
                                  uint64_t end);

/**
 * fixed_ram_page_sums_close(): compute the checksums of clusters
 *
 * @data: the block's bitmap as it is written to the file.  A page whose bit is
 *        clear counts as zeros, even if it was written before.
 * @parts: of @data, see util/sparse.h
 * @length: of the block, in bytes
 *
 * No page may be recorded afterwards.
 */
void fixed_ram_page_sums_close(FixedRamPageSums *sums,
                               const unsigned long *data,
                               const unsigned long *parts, uint64_t length);

/* The rest is for after fixed_ram_page_sums_close(). */

/** fixed_ram_page_sums_clusters(): the number of clusters */
uint64_t fixed_ram_page_sums_clusters(const FixedRamPageSums *sums);

/**
 * fixed_ram_page_sums_cluster(): what the snapshot's table has for a cluster
 *
 * Returns 0 for a cluster without data.
 */
uint64_t fixed_ram_page_sums_cluster(const FixedRamPageSums *sums,
                                     uint64_t cluster);

/**
 * fixed_ram_page_sums_next(): the next cluster that may have data
 *
 * Returns @cluster or a later one, or the number of clusters if there is none.
 */
uint64_t fixed_ram_page_sums_next(const FixedRamPageSums *sums,
                                  uint64_t cluster);

#endif
