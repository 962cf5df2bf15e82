/*
 * fixed-ram: write the superblock, the index and the table of checksums
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_METADATA_H
#define MIGRATION_FIXED_RAM_SAVE_METADATA_H

#include "delta.h"
#include "../format/working-set.h"

/*
 * These parts of a snapshot are not in its stream: they are written to the
 * descriptor by position.  Nothing is read back, so it may be write-only.
 *
 * One thread at a time uses it, and sets all fields.
 */
typedef struct FixedRamMetadata {
    int fd;
    const char *name;           /* the file, for messages */
    FixedRamSuperblock sb;
    uint64_t sb_offset;         /* in the file; 0: not yet known */
    const FixedRamDelta *delta; /* NULL: it is a full snapshot */
} FixedRamMetadata;

/**
 * fixed_ram_metadata_begin(): mark the snapshot as being written, on disk
 *
 * The caller has set @sb_offset, and the start and id in @sb.
 */
bool fixed_ram_metadata_begin(FixedRamMetadata *file, Error **errp);

/**
 * fixed_ram_metadata_write_index(): write the index and what it refers to
 *
 * @index: complete, except for the table of checksums, the layers of a delta
 *         and the working set, which are filled in here
 * @sums: closed FixedRamPageSums, in the order of the index's blocks; unused if
 *        the index has no checksums
 * @set: as for fixed_ram_working_set_encode(); NULL: there is none
 * @stream_end: offset in the file; all is written behind it, where the file has
 *              zeros or ends
 */
bool fixed_ram_metadata_write_index(FixedRamMetadata *file,
                                    FixedRamIndex *index, const GPtrArray *sums,
                                    const FixedRamWorkingSet *set,
                                    uint64_t stream_end, Error **errp);

/** fixed_ram_metadata_sync(): wait until the whole file is on disk */
bool fixed_ram_metadata_sync(FixedRamMetadata *file, Error **errp);

/**
 * fixed_ram_metadata_complete(): mark the snapshot as complete, on disk
 *
 * The caller has called fixed_ram_metadata_sync() after the last other write.
 */
bool fixed_ram_metadata_complete(FixedRamMetadata *file, Error **errp);

/**
 * fixed_ram_metadata_revoke(): mark the snapshot as incomplete again
 *
 * Best effort, errors are ignored.
 */
void fixed_ram_metadata_revoke(FixedRamMetadata *file);

#endif
