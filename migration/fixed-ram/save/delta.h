/*
 * fixed-ram: what a save compares with, to leave out what the base has
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_DELTA_H
#define MIGRATION_FIXED_RAM_SAVE_DELTA_H

#include "../format/layers.h"

/*
 * A delta leaves out each cluster whose checksum is the one that the table of
 * its base has.  The base is read no further: neither its pages, nor anything
 * while the guest runs.
 *
 * Savers compare clusters.  A page may be written again afterwards, by a device
 * or because the guest was started.  Then its cluster is *torn*: one page lies
 * in the delta, the others in a layer.  When the content is final the caller
 * writes torn clusters whole.
 */
typedef struct FixedRamDelta FixedRamDelta;
typedef struct FixedRamDeltaBlock FixedRamDeltaBlock;

/**
 * fixed_ram_delta_new(): open and lock the base, and all of its layers
 *
 * @path: of the base
 * @page_size: of the target
 *
 * Fails if the base is no complete snapshot with checksums, if one of its
 * layers is not the one that it names, or if it has as many layers as a delta
 * can have.  Needs fixed_ram_sums_built().  The caller frees the result.
 */
FixedRamDelta *fixed_ram_delta_new(const char *path, size_t page_size,
                                   Error **errp);

/** fixed_ram_delta_free(): unlock and close all files; NULL is fine */
void fixed_ram_delta_free(FixedRamDelta *delta);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamDelta, fixed_ram_delta_free)

/** fixed_ram_delta_name(): the base, for messages */
const char *fixed_ram_delta_name(const FixedRamDelta *delta);

/** fixed_ram_delta_base(): the base; it stays the delta's */
const FixedRamSnapshot *fixed_ram_delta_base(const FixedRamDelta *delta);

/** fixed_ram_delta_is_file(): is @fd the base or one of its layers? */
bool fixed_ram_delta_is_file(const FixedRamDelta *delta, int fd);

/**
 * fixed_ram_delta_add_block(): add the next block, in the order of the file
 *
 * A block that the base lacks, or has with another length, differs throughout.
 */
void fixed_ram_delta_add_block(FixedRamDelta *delta, const char *name,
                               uint64_t length);

/** fixed_ram_delta_find(): the block that was added with @name, or NULL */
FixedRamDeltaBlock *fixed_ram_delta_find(const FixedRamDelta *delta,
                                         const char *name);

/**
 * fixed_ram_delta_compare(): does the base have this content?
 *
 * @cluster: number in the block
 * @sum: its checksum; not of a cluster without data
 * @same: true: the cluster need not be written
 *
 * Fails if the base's table cannot be read.  Any thread, each for clusters of
 * its own.
 */
bool fixed_ram_delta_compare(FixedRamDeltaBlock *block, uint64_t cluster,
                             uint64_t sum, bool *same, Error **errp);

/**
 * fixed_ram_delta_read_bitmap(): find out which pages the base has
 *
 * The base must have the block.  One thread, while no other uses @block.
 */
bool fixed_ram_delta_read_bitmap(FixedRamDeltaBlock *block, Error **errp);

/**
 * fixed_ram_delta_bitmap(): a bit for each page of the block in the base
 *
 * NULL: it was not read.  The bitmap stays @block's.
 */
const unsigned long *fixed_ram_delta_bitmap(const FixedRamDeltaBlock *block);

/** fixed_ram_delta_in_base(): does the base have the block? */
bool fixed_ram_delta_in_base(const FixedRamDeltaBlock *block);

/**
 * fixed_ram_delta_keep(): the cluster has the base's content
 *
 * @sum: receives its checksum
 *
 * For a caller that knows it without a comparison.  Fails as
 * fixed_ram_delta_compare() does.  Any thread, each for clusters of its own.
 */
bool fixed_ram_delta_keep(FixedRamDeltaBlock *block, uint64_t cluster,
                          uint64_t *sum, Error **errp);

/**
 * fixed_ram_delta_written(): pages are being written to the delta
 *
 * @offset, @length: bytes in the block
 *
 * For pages that no saver writes.  Any thread.
 */
void fixed_ram_delta_written(FixedRamDeltaBlock *block, uint64_t offset,
                             uint64_t length);

/**
 * fixed_ram_delta_next_torn(): the next cluster that must be written whole
 *
 * @cluster: where to begin; becomes the number of the cluster
 *
 * From now on the cluster is the delta's own.  Returns false if there is none.
 * One thread, while no other thread uses @block.
 */
bool fixed_ram_delta_next_torn(FixedRamDeltaBlock *block, uint64_t *cluster);

/**
 * fixed_ram_delta_write(): write the map, and describe the layers
 *
 * @fd: the delta
 * @name: its path; layers in its folder get relative paths
 * @offset: of the map in the file, where the file has zeros or ends
 *
 * Returns what the index needs, or NULL; the caller frees it.  The map has a
 * byte for each cluster of all blocks.
 */
FixedRamIndexLayers *fixed_ram_delta_write(const FixedRamDelta *delta, int fd,
                                           const char *name, uint64_t offset,
                                           Error **errp);

#endif
