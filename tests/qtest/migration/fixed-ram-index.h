/*
 * What a snapshot's superblock and index say
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_INDEX_H
#define TEST_FIXED_RAM_INDEX_H

#include "migration/fixed-ram-snapshot.h"

/*
 * A decoder of its own, too, written by docs/interop/fixed-ram.rst.
 */

#define SUPERBLOCK_BYTES            4096
#define SUPERBLOCK_BEING_WRITTEN    1
#define SUPERBLOCK_COMPLETE         2

typedef struct SnapshotSuperblock {
    uint32_t state;
    uint8_t id[16];
    uint64_t start;
    uint64_t stream_end;        /* these only if complete */
    uint64_t index_offset;
    uint64_t index_length;
    uint32_t index_crc;
} SnapshotSuperblock;

/*
 * Decodes the superblock at @bytes.  False if there are zeros; what is neither
 * ends the test.
 */
bool snapshot_superblock(const uint8_t *bytes, SnapshotSuperblock *sb);

/*
 * The superblock of a file that need not be more than begun, which has no more
 * than this one: of the first block, before the first or second MiB.  False if
 * there is none.
 */
bool snapshot_find_superblock(const char *path, SnapshotSuperblock *sb);

typedef struct SnapshotIndex {
    SnapshotSuperblock sb;
    bool has_machine;
    uint64_t time;
    uint64_t ram_bytes;
    uint8_t uuid[16];
    char *machine_type;
    char *version;
    char *name;
    bool has_sums;
    uint64_t table_offset;
    uint64_t table_length;
} SnapshotIndex;

/* Decodes the index; fails unless every field is what it must be. */
SnapshotIndex *snapshot_index_open(const Snapshot *s);
void snapshot_index_close(SnapshotIndex *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SnapshotIndex, snapshot_index_close)

/*
 * Fails unless there is a complete index, every sum in it is that of what is in
 * the file, and the file ends with it.
 * @sums: are there sums of content?
 */
void snapshot_check_index(const Snapshot *s, bool sums);

/* Where the stream ends, if the superblock says it: else with the file. */
uint64_t snapshot_stream_end(const Snapshot *s);

/* Fails if there is anything that looks like a superblock. */
void snapshot_check_no_index(const Snapshot *s);

#endif
