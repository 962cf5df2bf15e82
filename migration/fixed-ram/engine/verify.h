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

/** fixed_ram_verify_wants(): is a page of the cluster at @offset claimed? */
bool fixed_ram_verify_wants(const FixedRamClaim *claim, uint64_t offset);

/**
 * fixed_ram_verify_cluster(): is @buf what was saved of the cluster at @offset?
 *
 * @buf: the cluster's pages, each at its place; pages that the file does not
 *       hold may contain anything
 * @expected: the checksum that the snapshot has
 * @source: for the error
 */
bool fixed_ram_verify_cluster(const FixedRamBlock *block, uint64_t offset,
                              const uint8_t *buf, uint64_t expected,
                              const FixedRamSource *source, Error **errp);

#endif
