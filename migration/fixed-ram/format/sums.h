/*
 * fixed-ram: content checksums
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_SUMS_H
#define MIGRATION_FIXED_RAM_FORMAT_SUMS_H

#include "qemu/units.h"

/*
 * All checksums are XXH3-64 (https://xxhash.com) by libxxhash.  They reveal
 * damage and mistakes, not forgery.
 *
 * RAM is summed in two steps: a sum for each page, and for each *cluster* of
 * pages the sum of its pages' sums, as little-endian words in the order of the
 * pages.  A saver writes pages in any order, and some of them again; it keeps
 * the sum of each page that it wrote last and need not read anything back.
 * The sums are those of the guest's memory: a page whose bit is clear counts
 * as zeros, whatever the file holds at its offset.
 *
 * These two kinds have a *key*, the seed of XXH3.  A delta leaves out clusters
 * whose sum is the one in its base, and a guest that does not know the key
 * cannot give a page another content with the same sum.  0 is the same as no
 * seed: earlier versions used none.  All other checksums have no seed.
 */
#define FIXED_RAM_CLUSTER_BYTES     (64 * KiB)

/** fixed_ram_sums_built(): was QEMU built with libxxhash? */
bool fixed_ram_sums_built(void);

/** fixed_ram_sums_get(): the sum of @length bytes; if fixed_ram_sums_built() */
uint64_t fixed_ram_sums_get(const void *buf, size_t length);

/** fixed_ram_sums_page(): the sum of a page of @page_size bytes */
uint64_t fixed_ram_sums_page(uint64_t key, const void *page, size_t page_size);

/** fixed_ram_sums_zero_page(): the sum of a page of zeros */
uint64_t fixed_ram_sums_zero_page(uint64_t key, size_t page_size);

/**
 * fixed_ram_sums_sparse(): the sum of a bitmap of @length bytes
 *
 * @parts: of the bitmap, see util/sparse.h; what is zero is not touched
 */
uint64_t fixed_ram_sums_sparse(const unsigned long *bits,
                               const unsigned long *parts, size_t length);

/** fixed_ram_sums_cluster(): a cluster's sum from those of its @count pages */
uint64_t fixed_ram_sums_cluster(uint64_t key, const uint64_t *page_sums,
                                size_t count);

/** fixed_ram_sums_clusters(): the number of clusters of @length bytes of RAM */
static inline uint64_t fixed_ram_sums_clusters(uint64_t length)
{
    return DIV_ROUND_UP(length, FIXED_RAM_CLUSTER_BYTES);
}

/* Computes the sum of bytes that are added one after the other. */
typedef struct FixedRamSumStream FixedRamSumStream;

/** fixed_ram_sums_stream_new(): the sum of no bytes; the caller frees it */
FixedRamSumStream *fixed_ram_sums_stream_new(void);

/** fixed_ram_sums_stream_free(): free @stream; NULL is fine */
void fixed_ram_sums_stream_free(FixedRamSumStream *stream);

/** fixed_ram_sums_stream_reset(): start again with no bytes */
void fixed_ram_sums_stream_reset(FixedRamSumStream *stream);

/** fixed_ram_sums_stream_add(): append @length bytes */
void fixed_ram_sums_stream_add(FixedRamSumStream *stream, const void *buf,
                               size_t length);

/** fixed_ram_sums_stream_get(): the sum so far; more may be added */
uint64_t fixed_ram_sums_stream_get(const FixedRamSumStream *stream);

#endif
