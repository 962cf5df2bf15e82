/*
 * fixed-ram: clusters that were read, and their checksums
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_VERIFY_H
#define MIGRATION_FIXED_RAM_ENGINE_VERIFY_H

#include "map.h"
#include "../format/source.h"
#include "../format/sums.h"
#include "../format/sumtable.h"

/*
 * Content is verified by clusters (see sums.h): a worker that wants one page of
 * a cluster reads all of the cluster's pages that the file holds.
 */

/** fixed_ram_verify_widen(): @run, widened to whole clusters of @block */
FixedRamRun fixed_ram_verify_widen(const FixedRamBlock *block,
                                   const FixedRamRun *run);

/**
 * fixed_ram_verify_wants(): is a page of the cluster at @offset claimed?
 *
 * A cluster without data does not count: it is zero, whatever the table says.
 */
bool fixed_ram_verify_wants(const FixedRamClaim *claim, uint64_t offset);

/**
 * fixed_ram_verify_sum(): the checksum of the cluster at @offset
 *
 * @buf: the cluster's pages, each at its place; pages that the file does not
 *       hold may contain anything
 */
uint64_t fixed_ram_verify_sum(const FixedRamSumTable *sums,
                              const FixedRamBlock *block, uint64_t offset,
                              const uint8_t *buf);

/**
 * fixed_ram_verify_read(): read the pages of a cluster that the file holds
 *
 * @offset: of the cluster
 * @buf: each page gets to its place there; the others stay as they are.  It is
 *       aligned for direct reads.
 */
bool fixed_ram_verify_read(const FixedRamBlock *block, uint64_t offset,
                           FixedRamSource *source, uint8_t *buf,
                           Error **errp);

/**
 * fixed_ram_verify_cluster(): is the cluster at @offset what was saved?
 *
 * @buf: as in fixed_ram_verify_sum()
 * @source: where it was read, and where the table reads what it needs
 *
 * The error names the block and the offset.  Any thread.
 */
bool fixed_ram_verify_cluster(const FixedRamBlock *block, uint64_t offset,
                              const uint8_t *buf, FixedRamSumTable *sums,
                              FixedRamSource *source, Error **errp);

/**
 * fixed_ram_verify_error(): the cluster at @offset is not what was saved
 *
 * @found: its checksum
 * @expected: the checksum that the snapshot has
 * @source: where the cluster was read; of a delta the error names the layer
 */
void fixed_ram_verify_error(const FixedRamBlock *block, uint64_t offset,
                            uint64_t found, uint64_t expected,
                            FixedRamSource *source, Error **errp);

#endif
