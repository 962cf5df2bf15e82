/*
 * fixed-ram: which content of RAM is what was saved, found out once more
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_CHECK_PAGES_H
#define TESTS_FUZZ_FIXED_RAM_CHECK_PAGES_H

#include "migration/fixed-ram/format/index.h"
#include "decode.h"

/* Pages that have one checksum. */
#define CLUSTER_PAGES   16

/** cluster_sum(): of what the file holds, from @page on */
uint64_t cluster_sum(const Decoded *d, const DecodedBlock *b, uint64_t page,
                     uint64_t key);

/** cluster_holds_data(): has any page of the cluster that begins at @page? */
bool cluster_holds_data(const Decoded *d, const DecodedBlock *b, uint64_t page);

/* Clusters that hold data, but not what was saved. */
typedef GArray BadClusters;

/** bad_clusters(): all of a file that has checksums */
BadClusters *bad_clusters(const FixedRamIndex *index, const Decoded *d);

/** bad_clusters_have(): is this page of block number @i in one of them? */
bool bad_clusters_have(const BadClusters *bad, size_t i, uint64_t page);

/** bad_clusters_named(): is it one of them that an error is about? */
bool bad_clusters_named(const BadClusters *bad, const Decoded *d,
                        const char *text);

#endif
