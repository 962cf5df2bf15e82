/*
 * fixed-ram: is what was read what was saved?
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
 * Content is verified by clusters (see sums.h): who wants a page of a cluster
 * reads all of the cluster that the file holds.
 */

/** fixed_ram_verify_widen(): @run, widened to whole clusters of @block */
FixedRamRun fixed_ram_verify_widen(const FixedRamBlock *block,
                                   const FixedRamRun *run);

/** fixed_ram_verify_wants(): is any of the cluster at @offset claimed? */
bool fixed_ram_verify_wants(const FixedRamClaim *claim, uint64_t offset);

/**
 * fixed_ram_verify_cluster(): is @buf what was saved of the cluster at @offset?
 *
 * @buf: the cluster's pages, each at its place; those that the file does not
 *       hold may be anything
 * @expected: the sum that the snapshot has
 * @source: for the error
 */
bool fixed_ram_verify_cluster(const FixedRamBlock *block, uint64_t offset,
                              const uint8_t *buf, uint64_t expected,
                              const FixedRamSource *source, Error **errp);

#endif
