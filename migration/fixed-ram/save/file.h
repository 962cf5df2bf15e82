/*
 * fixed-ram: the file that a snapshot is saved to, beside the stream
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_FILE_H
#define MIGRATION_FIXED_RAM_SAVE_FILE_H

#include "../format/index.h"

/*
 * Superblock, index and table of sums go straight to the descriptor, by
 * positions.  It may be write-only: nothing is read back.
 */
typedef struct FixedRamSaveFile {
    int fd;
    const char *name;           /* for messages */
    FixedRamSuperblock sb;
    uint64_t sb_offset;         /* its place; 0: not yet known */
} FixedRamSaveFile;

/**
 * fixed_ram_save_file_begin(): the snapshot is being written
 *
 * Says so in its superblock, on disk.  Its place, start and id must be known.
 */
bool fixed_ram_save_file_begin(FixedRamSaveFile *file, Error **errp);

/**
 * fixed_ram_save_file_index(): write table and index
 *
 * @index: all of it but for the table
 * @sums: FixedRamSaveSums of its blocks, closed; unused without sums
 * @stream_end: where there is room for both
 */
bool fixed_ram_save_file_index(FixedRamSaveFile *file, FixedRamIndex *index,
                               const GPtrArray *sums, uint64_t stream_end,
                               Error **errp);

/** fixed_ram_save_file_sync(): wait until all that was written is on disk */
bool fixed_ram_save_file_sync(FixedRamSaveFile *file, Error **errp);

/**
 * fixed_ram_save_file_complete(): the snapshot is complete
 *
 * All else must be on disk, and the superblock is when this returns.
 */
bool fixed_ram_save_file_complete(FixedRamSaveFile *file, Error **errp);

/** fixed_ram_save_file_revoke(): no, it is not; as far as that can be said */
void fixed_ram_save_file_revoke(FixedRamSaveFile *file);

#endif
