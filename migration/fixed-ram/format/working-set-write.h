/*
 * fixed-ram: write a working set into a complete snapshot, or drop it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_WORKING_SET_WRITE_H
#define MIGRATION_FIXED_RAM_FORMAT_WORKING_SET_WRITE_H

#include "snapshot.h"
#include "working-set.h"

/* All may be zero. */
typedef struct FixedRamSetOptions {
    bool pack;                  /* write a packed copy */
    /*
     * Asked before each read and write of at most some MiB; false ends the
     * operation, which then fails and has changed nothing.  May sleep to leave
     * the disk to others.  NULL: go on.
     */
    bool (*go_on)(void *opaque);
    void *opaque;
} FixedRamSetOptions;

/* What has been written. */
typedef struct FixedRamSetResult {
    uint64_t pages;             /* in the set */
    uint64_t data_pages;        /* of these, pages with data */
    uint64_t pack_length;       /* bytes of the packed copy; 0: none */
} FixedRamSetResult;

/**
 * fixed_ram_working_set_write(): give a snapshot this set instead of its own
 *
 * @s: a good snapshot with an index; only its source is used, which stays open
 *     and locked.  Its index remains that of before: examine the file again to
 *     see the new one.
 * @set: pages outside of all blocks, and pages after their first time, are left
 *       out; which pages have data is found out from the bitmaps in the file
 * @result: may be NULL
 *
 * Opens the file that @s was read from for writing: by its name, so an fdset
 * must hold a descriptor that is open for reading and writing.  Pages are read
 * from @s and compared with the snapshot's checksums.  At each moment, also if
 * the host fails, the file is the old snapshot or the new one.  Other processes
 * that have the file open go on undisturbed.
 *
 * The caller must not use the old set of @s any more: its space is given back
 * or reused.
 *
 * Fails if the file cannot be written, is being written or changed by another
 * process, has no index or has been replaced, and if pages cannot be read or
 * are damaged.  Then the snapshot is as it was.
 *
 * Takes seconds.  Any thread, without a lock, beside others that read from the
 * same source.
 */
bool fixed_ram_working_set_write(const FixedRamSnapshot *s,
                                 const FixedRamWorkingSet *set,
                                 const FixedRamSetOptions *options,
                                 FixedRamSetResult *result, Error **errp);

/**
 * fixed_ram_working_set_drop(): take the set out of a snapshot
 *
 * Like fixed_ram_working_set_write().
 */
bool fixed_ram_working_set_drop(const FixedRamSnapshot *s, Error **errp);

/**
 * fixed_ram_working_set_encode(): a set for a snapshot that is being saved
 *
 * @set: its runs have the right @data, no page twice, and lie in their blocks
 * @offset: where the caller writes the result to the file: behind the stream, a
 *          multiple of 8, apart from the table and the index
 * @out: index->set, to be encoded with the index by a caller that sets has_set
 *
 * The set gets no packed copy.  Returns the bytes of the list, to be freed by
 * the caller; fixed_ram_sums_built() must be true.
 */
GByteArray *fixed_ram_working_set_encode(const FixedRamWorkingSet *set,
                                         uint64_t offset,
                                         FixedRamIndexSet *out);

#endif
